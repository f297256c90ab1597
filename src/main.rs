//! Arguments, runtime, exit code.

use std::process::ExitCode;

use beacon_collector::{app, cli};

/// A span is made of some thirty small strings that one thread allocates and another frees: with the
/// system's allocator that took half of the time (`docs/performance.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = cli::parse();
    app::start(arguments)
}
