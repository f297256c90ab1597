//! Answers as people see them: text, JSON, pictures. Reads reports; fetches and decides nothing.

mod lists;
mod print;
mod report;
mod waterfall;

pub use lists::{failures, overview, performance, spans, status};
pub use print::{Paint, print};
pub use report::{comparison, diagnosis, gaps, job};
pub use waterfall::{Marks, waterfall};
