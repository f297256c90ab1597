//! Answers as people see them: text, JSON, pictures. Reads reports; fetches and decides nothing.

mod lists;
mod page;
mod print;
mod report;
mod waterfall;

pub use lists::{failures, overview, performance, spans, status};
pub use page::{STYLESHEET, error_page, execution_page, failures_page, job_page, trace_page};
pub use print::{Paint, print};
pub use report::{comparison, diagnosis, gaps, job};
pub use waterfall::{Marks, waterfall};
