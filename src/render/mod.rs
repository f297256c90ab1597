//! Answers as people see them: text, JSON, pictures. Reads reports; fetches and decides nothing.

mod print;
mod waterfall;

pub use print::{Paint, print};
pub use waterfall::waterfall;
