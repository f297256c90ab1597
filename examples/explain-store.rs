//! Asks a store every question that it answers and writes a little, on a database whose server tells its
//! plans: the statements of `scripts/explain.sh`. `explain-store DATABASE-URL`.

#[path = "../tests/integration/support/questions.rs"]
mod questions;

use beacon_collector::store;
use chrono::{TimeDelta, Utc};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Some(url) = std::env::args().nth(1) else {
        anyhow::bail!("usage: explain-store DATABASE-URL");
    };
    let store = store::open(&url).await?;
    let now = Utc::now();
    questions::ask_everything(&*store, now - TimeDelta::hours(1)..now).await?;
    store.close().await;
    Ok(())
}
