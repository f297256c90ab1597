//! Answers as people see them: text, JSON, pictures. Reads reports; fetches and decides nothing.

mod diagnosis;
mod fold;
mod lists;
mod page;
mod print;
mod report;
mod waterfall;

pub use diagnosis::diagnosis;
pub use fold::folded;
pub use lists::{failures, overview, performance, spans, status};
pub use page::{STYLESHEET, error_page, execution_page, failures_page, job_page, trace_page};
pub use print::{Paint, print};
pub use report::{comparison, gaps, job};
pub use waterfall::{Marks, waterfall};
