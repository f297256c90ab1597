//! Arguments, runtime, exit code.

use std::process::ExitCode;

use beacon_collector::{app, cli};

fn main() -> ExitCode {
    let arguments = cli::parse();
    app::start(arguments)
}
