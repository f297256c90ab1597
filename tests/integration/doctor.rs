//! `doctor` on set-ups that work and on ones in which something does not.

use std::process::Output;
use std::time::{Duration, Instant};

use beacon_collector::model::LossEntry;
use beacon_collector::store::{self, Batch};
use serde_json::Value;

use super::support::collector::{Home, append};
use super::support::database::{self, Postgres, RUNNER_TABLES, Role, TRACE_SPANS};
use super::support::modal::{Modal, fixture};
use super::support::server::Server;

fn findings(output: &Output) -> Vec<Value> {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    });
    report["findings"].as_array().unwrap().clone()
}

/// Verdict and text of what was found about something.
fn about(findings: &[Value], what: &str) -> (String, String) {
    let found = findings.iter().find(|finding| finding["about"] == what);
    let found = found.unwrap_or_else(|| panic!("nothing about {what}: {findings:#?}"));
    let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
    (
        text("verdict"),
        format!("{} → {}", text("found"), text("remedy")),
    )
}

#[tokio::test]
async fn a_set_up_that_works_has_no_failure() {
    let home = Home::new();
    let now = chrono::Utc::now().format("%Y-%m-%d %H:%M:%S+00:00");
    let line = |what: &str| format!("{now} fc-01F1 ta-01C1 🔍 TRACE[0000abcd]: {what}\n");
    append(
        &home.path("app.log"),
        &line("Modal inference started - model=m, region=us-east"),
    );
    append(&home.path("app.log"), &line("SUCCESS - duration=0.50s"));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let sources = ["--source", "file:app.log", "--source", "command:sleep 1000"];
    let arguments = [&["--listen", &address][..], &sources].concat();
    let collector = home.start(home.command(&arguments));
    home.wait_for_completed(1).await;

    let arguments = [&["doctor", "--json", "--listen", &address][..], &sources].concat();
    let patience = Instant::now() + Duration::from_secs(60);
    let output = loop {
        let output = home.command(&arguments).output().unwrap();
        // The daemon is ready a moment after the first row.
        if output.status.success() || Instant::now() > patience {
            break output;
        }
    };
    let found = findings(&output);
    assert_eq!(output.status.code(), Some(0), "{found:#?}");
    for what in [
        "database",
        "schema",
        "rights",
        "clock",
        "spans",
        "unmatched",
        "losses",
        "daemon",
        "tokens",
        "spool",
        "source file:app.log",
    ] {
        assert_eq!(about(&found, what).0, "ok", "{found:#?}");
    }
    assert!(
        about(&found, "spans").1.contains("modal (1, collected)"),
        "{found:#?}"
    );
    assert!(about(&found, "daemon").1.contains("lag"), "{found:#?}");
    // The same for people.
    let words = [&["doctor", "--listen", &address][..], &sources].concat();
    let output = home.command(&words).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("ok    database: SQLite 3"), "{text}");
    assert!(text.contains(" 0 failed\n"), "{text}");
    collector.stop();
}

#[test]
fn each_fault_is_found_and_has_a_remedy() {
    let home = Home::new();
    let word = ["hun", "ter2"].concat();
    let url = format!("postgres://me:{word}@127.0.0.1:1/x");
    let config = "[http]\ntokens_file = \"/no/such/tokens\"\n[modal]\ncli = \"/no/such/modal\"\nvia = \"cli\"\n";
    std::fs::write(home.path("c.toml"), config).unwrap();
    let output = home
        .command(&[
            "doctor",
            "--json",
            "--config",
            "c.toml",
            "--database",
            &url,
            "--listen",
            "127.0.0.1:1",
            "--source",
            "file:none.log",
            "--source",
            "command:no-such-program -x",
            "--source",
            "modal:app",
            "--source",
            "http://127.0.0.1:1/x",
        ])
        .output()
        .unwrap();
    let found = findings(&output);
    assert_eq!(output.status.code(), Some(1), "{found:#?}");
    for (what, verdict, says) in [
        ("secrets", "warn", "database_file"),
        ("tokens", "fail", "/no/such/tokens"),
        ("database", "fail", "start the database"),
        ("source file:none.log", "fail", "no such file yet"),
        ("source modal:app", "fail", "[modal]"),
        (
            "source http:http://127.0.0.1:1/x",
            "fail",
            "cannot be reached",
        ),
        ("daemon", "warn", "nobody listens"),
    ] {
        let (told, text) = about(&found, what);
        assert_eq!(told, verdict, "{what}: {text}");
        assert!(text.contains(says), "{what}: {text}");
    }
    let command = found.iter().find(|finding| {
        let about = finding["about"].as_str().unwrap();
        about.starts_with("source command:no-such-program#")
    });
    assert_eq!(command.unwrap()["verdict"], "fail", "{found:#?}");
    let everything = format!("{found:?}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!everything.contains(&word), "{everything}");
    // Everything that is not well says what to do.
    for finding in &found {
        assert!(
            finding["verdict"] == "ok" || finding["remedy"].is_string(),
            "{finding}"
        );
    }
}

#[test]
fn looking_makes_no_database() {
    let home = Home::new();
    let output = home
        .command(&["doctor", "--json", "--listen", "none", "--source", "stdin"])
        .output()
        .unwrap();
    let (verdict, _) = about(&findings(&output), "database");
    assert_eq!(verdict, "warn");
    assert!(!home.path("beacon.db").exists());
    assert!(!home.path("spool").exists());
}

/// What is found in a database, by `doctor` as a role of it.
fn look(url: &str) -> Vec<Value> {
    let home = Home::new();
    let mut command = home.command(&["doctor", "--json", "--listen", "none", "--source", "stdin"]);
    findings(&command.env("DATABASE_URL", url).output().unwrap())
}

#[tokio::test]
async fn in_postgres_everything_that_a_working_database_has_is_well() {
    let db = Postgres::create().await;
    db.execute(TRACE_SPANS).await;
    db.execute(RUNNER_TABLES).await;
    store::open(&db.url).await.unwrap().migrate().await.unwrap();
    let role = Role::create(&db).await;
    db.execute(&store::grants_sql(false).replace("beacon_writer", &role.name))
        .await;
    db.execute(
        "insert into trace_spans (trace_id, span_id, service, operation, started_at, status, metadata) \
         select gen_random_uuid(), gen_random_uuid(), 'modal', 'inference', now(), 'started', \
             '{\"collector\": \"beacon-collector\"}'::jsonb from generate_series(1, 30) \
         union all \
         select gen_random_uuid(), gen_random_uuid(), 'runner', 'execute', now(), 'started', '{}'::jsonb \
             from generate_series(1, 7)",
    )
    .await;
    let found = look(&role.url);
    for what in [
        "database",
        "schema",
        "rights",
        "clock",
        "spans",
        "unmatched",
        "losses",
    ] {
        assert_eq!(about(&found, what).0, "ok", "{what}: {found:#?}");
    }
    assert!(
        about(&found, "database").1.contains("Postgres 1"),
        "{found:#?}"
    );
    let writers = about(&found, "spans").1;
    assert!(
        writers.contains("modal (30, collected), runner (7)"),
        "{writers}"
    );
    role.drop(&db).await;
}

#[tokio::test]
async fn in_postgres_what_is_wrong_with_the_data_is_found() {
    let db = database::postgres().await;
    let span = "insert into trace_spans (trace_id, span_id, service, operation, started_at, status, metadata) \
                values (gen_random_uuid(), gen_random_uuid(), 'modal', 'inference', now(), 'completed', \
                '{\"collector\": \"beacon-collector\", \"start_inferred\": true}')";
    db.execute(span).await;
    // A table of others need not have an index that forbids it.
    db.execute(
        "do $$ declare name text; begin for name in select indexrelid::regclass from pg_index \
         where indrelid = 'trace_spans'::regclass and indisunique and not indisprimary loop \
         execute 'drop index ' || name; end loop; end $$; \
         insert into trace_spans (trace_id, span_id, service, operation, started_at, status) \
         select '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002', \
             'router', 'route', now(), 'started' from generate_series(1, 2)",
    )
    .await;
    let now = chrono::Utc::now();
    let loss = LossEntry {
        source: "modal:app".into(),
        from: now,
        to: now,
        reason: "Modal dropped lines".into(),
        lost: 3,
    };
    let batch = Batch {
        losses: vec![loss],
        ..Batch::default()
    };
    db.store.write(&batch).await.unwrap();
    let found = look(&db.url);
    for (what, says) in [
        ("unmatched", "1 of 1 spans have no start line"),
        ("duplicates", "1 spans"),
        ("index", "create"),
        ("losses", "modal:app: Modal dropped lines"),
    ] {
        let (verdict, text) = about(&found, what);
        assert_eq!(verdict, "warn", "{what}: {text}");
        assert!(text.contains(says), "{what}: {text}");
    }
}

#[tokio::test]
async fn a_postgres_that_refuses_says_why_and_what_to_do() {
    let db = Postgres::create().await;
    let word = ["hun", "ter2"].concat();
    let (_, place) = db.url.split_once('@').unwrap();
    let wrong_password = format!("postgres://beacon_scram:{word}@{place}");
    let unknown = format!("{}x", db.url);
    for (url, says) in [
        (wrong_password.as_str(), "check user, password"),
        (unknown.as_str(), "create the database, or correct its name"),
        (
            "postgres://me@127.0.0.1:1/x",
            "start the database, or mend host",
        ),
        (
            "postgres://me@no-such-host.invalid/x",
            "mend host, port and network",
        ),
    ] {
        let found = look(url);
        let (verdict, text) = about(&found, "database");
        assert_eq!(verdict, "fail", "{url}: {text}");
        assert!(text.contains(says), "{url}: {text}");
        assert!(!format!("{found:?}").contains(&word), "{found:#?}");
    }
}

#[tokio::test]
async fn in_postgres_missing_rights_are_named_one_by_one() {
    let db = Postgres::create().await;
    db.execute(TRACE_SPANS).await;
    db.execute(RUNNER_TABLES).await;
    store::open(&db.url).await.unwrap().migrate().await.unwrap();
    let role = Role::create(&db).await;
    let (verdict, text) = about(&look(&role.url), "rights");
    assert_eq!(verdict, "fail", "{text}");
    for right in [
        "select on public.trace_spans",
        "usage on sequence public.trace_spans_id_seq",
        "insert on beacon_collector.checkpoints",
        "delete on beacon_collector.leases",
        "migrate --print-grants",
    ] {
        assert!(text.contains(right), "{right}: {text}");
    }
    let name = &role.name;
    db.execute(&store::grants_sql(false).replace("beacon_writer", name))
        .await;
    db.execute(&format!("revoke update on trace_spans from {name}"))
        .await;
    let (verdict, text) = about(&look(&role.url), "rights");
    assert_eq!(verdict, "fail", "{text}");
    assert!(
        text.starts_with("missing: update on public.trace_spans →"),
        "{text}"
    );
    role.drop(&db).await;
}

#[tokio::test]
async fn in_postgres_a_schema_that_is_behind_or_ahead_is_told_apart() {
    let db = Postgres::create().await;
    let (verdict, text) = about(&look(&db.url), "schema");
    assert_eq!(verdict, "fail", "{text}");
    assert!(text.starts_with("at step 0 of "), "{text}");
    assert!(text.contains("beacon-collector migrate"), "{text}");
    store::open(&db.url).await.unwrap().migrate().await.unwrap();
    assert_eq!(about(&look(&db.url), "schema").0, "ok");
    let latest = "(select max(version) from beacon_collector.migrations)";
    db.execute(&format!(
        "update beacon_collector.migrations set version = 77 where version = {latest}"
    ))
    .await;
    let (verdict, text) = about(&look(&db.url), "schema");
    assert_eq!(verdict, "warn", "{text}");
    assert!(
        text.contains("run the newer collector everywhere"),
        "{text}"
    );
    db.execute("delete from beacon_collector.migrations where version = 77")
        .await;
    assert_eq!(about(&look(&db.url), "schema").0, "fail");
}

#[tokio::test]
async fn a_daemon_whose_database_is_away_is_not_ready_and_says_why() {
    let server = Server::start("postgres://me@127.0.0.1:1/x", &[]);
    let home = Home::new();
    let arguments = [
        "doctor",
        "--json",
        "--listen",
        &server.address,
        "--source",
        "stdin",
    ];
    let (verdict, text) = about(
        &findings(&home.command(&arguments).output().unwrap()),
        "daemon",
    );
    assert_eq!(verdict, "fail", "{text}");
    assert!(text.contains("see the database above"), "{text}");
}

#[test]
fn modals_tool_its_login_and_the_app_are_told_apart() {
    let scenario = fixture("quiet-day.jsonl");
    let home = Home::new();
    let look = |modal: &Modal, environment: &str, via: &str, app: &str| {
        let source = format!("modal:{app}");
        let arguments = ["doctor", "--json", "--listen", "none", "--source", &source];
        let output = modal.program(&home, environment, via, &arguments).output();
        about(&findings(&output.unwrap()), &format!("source {source}"))
    };
    let modal = Modal::play(&scenario, &[]);
    let stranger = Modal::play(&scenario, &["--token", "some:other"]);
    for via in ["cli", "sdk"] {
        let (verdict, text) = look(&modal, "modal-new", via, "beacon");
        assert_eq!(verdict, "ok", "{via}: {text}");
        assert!(text.contains("logged in, knows the app"), "{text}");
        let (verdict, text) = look(&modal, "modal-new", via, "nobody");
        assert_eq!(verdict, "fail", "{via}: {text}");
        assert!(text.contains("knows no app nobody"), "{text}");
        assert!(text.contains("modal app list"), "{text}");
        let (verdict, text) = look(&stranger, "modal-new", via, "beacon");
        assert_eq!(verdict, "fail", "{via}: {text}");
        assert!(text.contains("modal setup"), "{text}");
    }
    let (verdict, text) = look(&modal, "modal-1.3", "cli", "beacon");
    assert_eq!(verdict, "fail", "{text}");
    assert!(text.contains("pip install -U modal"), "{text}");
    let (verdict, text) = look(&modal, "modal-1.3", "sdk", "beacon");
    assert_eq!(verdict, "fail", "{text}");
    assert!(
        text.contains("no Python with modal 1.5.4 or newer"),
        "{text}"
    );
    assert!(text.contains("pip install -U modal"), "{text}");

    let mut command = home.command(&[
        "doctor",
        "--json",
        "--listen",
        "none",
        "--source",
        "modal:beacon",
    ]);
    let output = command.env("PATH", "/no/such/folder").output().unwrap();
    let (verdict, text) = about(&findings(&output), "source modal:beacon");
    assert_eq!(verdict, "fail", "{text}");
    assert!(text.contains("the modal CLI is not installed"), "{text}");
}
