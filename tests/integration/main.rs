//! The integration tests: one binary, a module for each part of the program.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod boundaries;
mod modal_cli;
mod process;
mod sources;
mod store;
mod support;
