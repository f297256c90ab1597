//! Each configured source: whether it could be read now.

use super::Report;
use crate::config::{Config, SourceSpec};
use crate::source::{examine_file, examine_modal, examine_url, is_program};

/// Looks at all of them.
pub(super) async fn examine(report: &mut Report, config: &Config) {
    if config.sources.is_empty() {
        report.warn(
            "sources",
            "none is configured; only standard input and pushed logs are read",
            "name one with --source or under sources in the configuration",
        );
    }
    for spec in &config.sources {
        let about = format!("source {spec}");
        let found = match spec {
            SourceSpec::Stdin => Ok("read while something writes to it".to_owned()),
            SourceSpec::File(pattern) => examine_file(pattern),
            SourceSpec::Http(url) => examine_url(url).await,
            SourceSpec::Command(_) => match spec.program() {
                Some(name) if !is_program(name) => Err(format!(
                    "{name} is not on the search path of this process; install it, or write its path in full"
                )),
                _ => Ok("its program can be found".to_owned()),
            },
            SourceSpec::Modal { app, environment } => {
                let mut options = config.modal.clone();
                options.app.clone_from(app);
                options.environment = environment.clone().or(options.environment);
                examine_modal(&options).await
            }
        };
        match found {
            Ok(found) => report.fine(&about, &found),
            // What is wrong; what to do.
            Err(said) => match said.split_once("; ") {
                Some((found, remedy)) => report.fail(&about, found, remedy),
                None => report.fail(
                    &about,
                    &said,
                    "mend this source; the others go on without it",
                ),
            },
        }
    }
}
