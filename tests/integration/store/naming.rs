//! Statements that keep a name on the server, and the connections where they must not.

use beacon_collector::store::{self, ExecutionQuestion, Opening, Store};

use crate::support::collector::Home;
use crate::support::database::{Postgres, pooler_url, url_of};
use crate::support::proxy::Proxy;

/// A part of the statement that finds a job, as it is sent.
const STATEMENT: &str = "jobspec_id = $1";

/// The URL by a link that can read what is sent.
fn in_plain_text(proxy: &Proxy, url: &str) -> String {
    format!("{}?sslmode=disable", proxy.url(url))
}

fn several() -> Opening {
    Opening {
        connections: Some(4),
        ..Opening::default()
    }
}

/// Whether a question's statement is sent when it is asked a second time.
async fn is_sent_again(url: &str) -> bool {
    let proxy = Proxy::to(url).await;
    let url = in_plain_text(&proxy, url);
    let store = store::open(&url).await.unwrap();
    store.migrate().await.unwrap();
    proxy.break_at(STATEMENT);
    assert!(store.job("none").await.is_err());
    assert!(proxy.was_sprung(), "it was not sent at all");

    assert_eq!(store.job("none").await.unwrap(), None);
    proxy.break_at(STATEMENT);
    let again = store.job("none").await;
    assert_eq!(again.is_err(), proxy.was_sprung());
    proxy.was_sprung()
}

#[tokio::test]
async fn what_each_answer_needs_is_prepared_once_where_the_connection_leads_to_the_server() {
    let db = Postgres::of_the_runner().await;
    assert!(!is_sent_again(&db.url).await);
}

#[tokio::test]
async fn it_is_sent_each_time_where_a_pooler_stands_between() {
    let db = Postgres::of_the_runner().await;
    assert!(is_sent_again(&url_of(&pooler_url(), &db.name)).await);
}

/// Whether the execution can be read; the region's type is what changes.
async fn reads(store: &dyn Store) -> bool {
    let question = ExecutionQuestion::Ids(vec![1]);
    match store.executions(&question, 1).await {
        Ok(found) => {
            assert_eq!(found[0].region, "US");
            true
        }
        Err(err) => {
            assert!(err.is_transient(), "{err}");
            false
        }
    }
}

#[tokio::test]
async fn a_table_that_changes_its_types_costs_one_answer_at_most() {
    let db = Postgres::of_the_runner().await;
    db.execute("insert into executions (id, provider_id, region) values (1, 'modal', 'US')")
        .await;
    let store = store::open_with(&db.url, several()).await.unwrap();
    // Several connections that know the statement.
    let asked = (0..8).map(|_| reads(&*store));
    let asked = futures_util::future::join_all(asked).await;
    assert_eq!(asked, [true; 8]);

    db.execute("alter table executions alter column region type text")
        .await;
    reads(&*store).await;
    for _ in 0..4 {
        assert!(reads(&*store).await);
    }
}

#[tokio::test]
async fn who_is_hung_up_on_for_a_setting_logs_in_without() {
    let db = Postgres::of_the_runner().await;
    let proxy = Proxy::to(&db.url).await;
    let url = in_plain_text(&proxy, &db.url);
    let store = store::open_with(&url, several()).await.unwrap();
    proxy.break_at("beacon_collector.login");
    assert_eq!(store.job("none").await.unwrap(), None);
    assert!(proxy.was_sprung());

    // And does not try again.
    proxy.break_at("beacon_collector.login");
    let asked = (0..8).map(|_| store.job("none"));
    for found in futures_util::future::join_all(asked).await {
        assert_eq!(found.unwrap(), None);
    }
    assert!(!proxy.was_sprung());
}

#[tokio::test]
async fn a_command_that_answers_and_ends_does_not_ask_who_is_there() {
    let db = Postgres::of_the_runner().await;
    let proxy = Proxy::to(&db.url).await;
    let url = in_plain_text(&proxy, &db.url);
    proxy.break_at("beacon_collector.login");
    for arguments in [["failures", "--json"], ["doctor", "--json"]] {
        let home = Home::new();
        let mut command = home.command(&arguments);
        command.env("DATABASE_URL", &url);
        let output = tokio::task::spawn_blocking(move || command.output());
        let output = output.await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
    }
    assert!(!proxy.was_sprung());
}
