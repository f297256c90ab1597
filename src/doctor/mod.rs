//! One look at everything that a question for help would ask about: each finding with its remedy.
//! Looking changes nothing.

mod database;
mod finding;
mod machine;
mod sources;

use std::sync::Arc;

pub use finding::{Finding, Report, Verdict};

use crate::config::Config;
use crate::service::Place;
use crate::store::{self, Opening, Store};

/// What only the caller knows.
#[derive(Debug)]
pub struct Surroundings {
    /// Where the service is, or would be, installed.
    pub place: Option<Place>,
    /// How many tokens there are, or why they can't be read.
    pub tokens: Result<usize, String>,
    /// Why the database that is looked at may not be the one that is meant.
    pub other_database: Option<String>,
    /// Whether a password stands on the command line.
    pub password_in_flag: bool,
}

/// Looks at everything.
pub async fn examine(config: &Config, around: &Surroundings) -> Report {
    let mut report = Report::default();
    machine::settings(&mut report, config, around);
    machine::disk(&mut report, config);
    let opened = match database::is_missing_file(&config.database) {
        true => {
            report.warn(
                "database",
                "the SQLite file is not there yet",
                "it is made when the collector first runs, or by `beacon-collector migrate`",
            );
            None
        }
        false => open(&mut report, config).await,
    };
    if let Some(store) = opened {
        database::examine(&mut report, store.as_ref()).await;
        store.close().await;
    }
    sources::examine(&mut report, config).await;
    machine::daemon(&mut report, config).await;
    if let Some(place) = &around.place {
        machine::service(&mut report, place);
    }
    report
}

async fn open(report: &mut Report, config: &Config) -> Option<Arc<dyn Store>> {
    match store::open_with(&config.database, Opening::BRIEF).await {
        Ok(store) => Some(store),
        Err(error) => {
            report.fail(
                "database",
                &error.to_string(),
                "name a database that can be opened",
            );
            None
        }
    }
}
