//! `doctor`: one look at everything, printed; a failure is the exit code 1.

use std::path::Path;

use anyhow::anyhow;

use super::{elsewhere, serve, service};
use crate::cli::ServiceArguments;
use crate::config::Config;
use crate::doctor::{Surroundings, Verdict, examine};
use crate::http::Tokens;
use crate::render::{self, Paint};

/// Looks and prints.
pub(super) async fn doctor(
    config: &Config,
    password_in_flag: bool,
    json: bool,
) -> anyhow::Result<()> {
    let tokens = serve::sources(&config.http)
        .map_err(|error| error.to_string())
        .and_then(|named| Tokens::read(&named).map_err(|error| error.to_string()));
    let around = Surroundings {
        place: service::place(&ServiceArguments::default()).ok(),
        other_database: elsewhere::remark(config, Path::new("/")),
        tokens: tokens.map(|tokens| tokens.count()),
        password_in_flag,
    };
    let report = examine(config, &around).await;
    let paint = Paint::for_stdout();
    let text = match json {
        true => serde_json::to_string_pretty(&report)? + "\n",
        false => report.in_words(|verdict, word| match verdict {
            Verdict::Ok => paint.green(word),
            Verdict::Warn => paint.yellow(word),
            Verdict::Fail => paint.red(word),
        }),
    };
    render::print(&text)?;
    match report.count(Verdict::Fail) {
        0 => Ok(()),
        failed => Err(anyhow!(
            "{failed} of {} checks failed",
            report.findings.len()
        )),
    }
}
