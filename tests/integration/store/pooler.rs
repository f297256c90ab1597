//! The ways that managed Postgres is reached by: TLS with a certificate that is checked, a password, a
//! pooler in transaction mode, a server that sleeps until somebody calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use beacon_collector::model::log_id_range;
use beacon_collector::store::{
    self, Checkpoint, ExecutionQuestion, SpanQuestion, Store, StoreError,
};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::support::database::{Postgres, pooler_tls_url};
use crate::support::lines::{batch, start, success};

/// Tasks that ask at the same time, and what each of them asks.
const TASKS: usize = 40;
const OPERATIONS: usize = 250;

/// The URL of another database, its parameters kept.
fn in_database(url: &str, name: &str) -> String {
    let (base, query) = url.split_once('?').unwrap();
    let (server, _) = base.rsplit_once('/').unwrap();
    format!("{server}/{name}?{query}")
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_reads_and_writes_at_once_come_back_right_through_tls_and_a_pooler() {
    let db = Postgres::of_the_runner().await;
    db.execute(
        "insert into jobs (id, jobspec_id, jobspec_data) \
         select n, 'job-' || n, '{}' from generate_series(1, 10000) n; \
         insert into executions (id, job_id, provider_id, region) \
         select n, n, 'modal', 'region-' || n from generate_series(1, 10000) n",
    )
    .await;
    let url = in_database(&pooler_tls_url(), &db.name);
    // Four processes with five connections each, over eight of the pooler's.
    let mut stores = Vec::new();
    for _ in 0..4 {
        let store = store::open(&url).await.unwrap();
        store.migrate().await.unwrap();
        stores.push(store);
    }
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| tokio::spawn(ask(Arc::clone(&stores[task % stores.len()]), task)))
        .collect();
    let mut asked = 0;
    for task in tasks {
        asked += task.await.unwrap();
    }
    assert_eq!(asked, 10_000);
    for store in stores {
        store.close().await;
    }
    let rows = "select count(*) || ' ' || count(distinct span_id) from trace_spans";
    assert_eq!(db.texts(rows).await, ["1000 1000"]);
    let locks = "select count(*)::text from pg_locks where locktype = 'advisory' \
        and database = (select oid from pg_database where datname = current_database())";
    assert_eq!(db.texts(locks).await, ["0"]);
}

/// Writes and reads with parameters that no other task uses; any answer that is another's shows.
async fn ask(store: Arc<dyn Store>, task: usize) -> usize {
    for operation in 0..OPERATIONS {
        let number = task * OPERATIONS + operation + 1;
        let (written, step) = (number - operation % 10, operation % 10);
        let id = format!("{written:08x}");
        let took = i64::try_from(written).unwrap();
        match (step, step % 4) {
            (0, _) => {
                let mut lines = batch([start(&id, 0), success(&id, took, took)]);
                lines.checkpoints.push(Checkpoint {
                    source: format!("source-{task}"),
                    position: json!({ "offset": took }),
                    fence: 0,
                });
                assert_eq!(store.write(&lines).await.unwrap().inserted, 1);
            }
            (_, 0) => {
                let (low, high) = log_id_range(&id);
                let spans = store.spans(&SpanQuestion::SpanRange(low, high), 10).await;
                let spans = spans.unwrap();
                assert_eq!(spans.len(), 1);
                assert_eq!(spans[0].text("log_id"), Some(id.as_str()));
                assert_eq!(spans[0].duration_ms, Some(took));
            }
            (_, 1) => {
                let key = i64::try_from(number).unwrap();
                let question = ExecutionQuestion::Ids(vec![key]);
                let found = store.executions(&question, 10).await.unwrap();
                assert_eq!(found.len(), 1);
                assert_eq!(
                    (found[0].id, found[0].region.clone()),
                    (key, format!("region-{key}"))
                );
            }
            (_, 2) => {
                let job = store.job(&format!("job-{number}")).await.unwrap().unwrap();
                assert_eq!(job.job_id, format!("job-{number}"));
            }
            _ => {
                let position = store.checkpoint(&format!("source-{task}")).await.unwrap();
                assert_eq!(position, Some(json!({ "offset": took })));
            }
        }
    }
    OPERATIONS
}

async fn refused(url: &str) -> String {
    let store = store::open(url).await.unwrap();
    let err = store.migrate().await.unwrap_err();
    assert!(matches!(err, StoreError::Refused { .. }), "{err}");
    err.to_string()
}

#[tokio::test]
async fn a_certificate_is_checked_against_its_authority_and_its_host() {
    let db = Postgres::create().await;
    let url = in_database(&pooler_tls_url(), &db.name);
    store::open(&url).await.unwrap().migrate().await.unwrap();
    // The public authorities don't know it.
    let (unnamed, _) = url.split_once("&sslrootcert").unwrap();
    assert!(refused(unnamed).await.contains("sslrootcert"));
    // And it is not of this name.
    let other = url.replacen("@localhost:", "@127.0.0.1:", 1);
    assert!(refused(&other).await.contains("sslmode"));
}

/// The driver can't bind the channel: what it is asked for is to know the server, and that it does by its
/// certificate and name.
#[tokio::test]
async fn required_channel_binding_insists_on_the_servers_identity() {
    let db = Postgres::create().await;
    let url = in_database(&pooler_tls_url(), &db.name);
    let (base, root) = url.split_once("?sslmode=verify-full&").unwrap();
    let asked = format!("{base}?sslmode=require&channel_binding=require");
    assert!(refused(&asked).await.contains("sslrootcert"));
    let known = format!("{asked}&{root}");
    store::open(&known).await.unwrap().migrate().await.unwrap();
    let stranger = known.replacen("@localhost:", "@127.0.0.1:", 1);
    assert!(refused(&stranger).await.contains("sslmode"));
    let plain = format!("{base}?sslmode=disable&channel_binding=require");
    let err = store::open(&plain).await.unwrap_err().to_string();
    assert!(err.contains("channel binding needs TLS"), "{err}");
}

/// How long the sleeper takes to wake up.
const WAKING: Duration = Duration::from_secs(3);

/// A server that is put to sleep when nobody asks, as some providers do.
struct Sleeper {
    port: u16,
    asleep: Arc<AtomicBool>,
    connections: std::sync::Mutex<CancellationToken>,
}

impl Sleeper {
    async fn before(url: &str) -> Arc<Self> {
        let (_, rest) = url.split_once('@').unwrap();
        let server = rest.split_once('/').unwrap().0.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sleeper = Arc::new(Self {
            port: listener.local_addr().unwrap().port(),
            asleep: Arc::default(),
            connections: std::sync::Mutex::default(),
        });
        let state = Arc::clone(&sleeper);
        tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let (asleep, server) = (Arc::clone(&state.asleep), server.clone());
                let end = state.connections.lock().unwrap().clone();
                tokio::spawn(async move {
                    if asleep.load(Relaxed) {
                        tokio::time::sleep(WAKING).await;
                        asleep.store(false, Relaxed);
                    }
                    let mut server = TcpStream::connect(server).await.unwrap();
                    tokio::select! {
                        // Whoever hangs up first.
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                        () = end.cancelled() => {}
                    }
                });
            }
        });
        sleeper
    }

    fn fall_asleep(&self) {
        self.asleep.store(true, Relaxed);
        let mut connections = self.connections.lock().unwrap();
        std::mem::take(&mut *connections).cancel();
    }
}

#[tokio::test]
async fn a_server_that_takes_seconds_to_wake_up_is_waited_for() {
    let db = Postgres::create().await;
    let sleeper = Sleeper::before(&db.url).await;
    let (_, name) = db.url.rsplit_once('/').unwrap();
    let url = format!("postgres://postgres@127.0.0.1:{}/{name}", sleeper.port);
    let store = store::open(&url).await.unwrap();
    sleeper.fall_asleep();
    store.migrate().await.unwrap();
    for number in 0..2 {
        sleeper.fall_asleep();
        let began = Instant::now();
        let id = format!("{number:08x}");
        store.write(&batch([start(&id, 0)])).await.unwrap();
        assert!(began.elapsed() >= WAKING);
        sleeper.fall_asleep();
        let (low, high) = log_id_range(&id);
        let spans = store.spans(&SpanQuestion::SpanRange(low, high), 10).await;
        assert_eq!(spans.unwrap().len(), 1);
    }
}

/// Stands for a pooler whose server sleeps: it lets a client in at once, and what a new client says first waits
/// for longer than a connection that was used before may take to show that it lives.
async fn let_in_at_once(server: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut server = TcpStream::connect(&server).await.unwrap();
            tokio::spawn(async move {
                let (mut asked, mut answer) = client.split();
                let (mut answered, mut question) = server.split();
                let questions = async {
                    let mut bytes = [0; 1024];
                    let length = asked.read(&mut bytes).await?;
                    question.write_all(&bytes[..length]).await?;
                    let length = asked.read(&mut bytes).await?;
                    tokio::time::sleep(WAKING + Duration::from_secs(1)).await;
                    question.write_all(&bytes[..length]).await?;
                    tokio::io::copy(&mut asked, &mut question).await
                };
                tokio::select! {
                    _ = questions => {}
                    _ = tokio::io::copy(&mut answered, &mut answer) => {}
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn a_pooler_whose_server_has_to_wake_up_is_waited_for() {
    let db = Postgres::create().await;
    let store = store::open(&db.url).await.unwrap();
    store.migrate().await.unwrap();
    let (_, rest) = db.url.split_once('@').unwrap();
    let (server, name) = rest.split_once('/').unwrap();
    let port = let_in_at_once(server.to_owned()).await;
    // Without the question for TLS: the second thing that is said is the first after the login.
    let url = format!("postgres://postgres@127.0.0.1:{port}/{name}?sslmode=disable");
    let store = store::open(&url).await.unwrap();
    let began = Instant::now();
    let snapshot = store.snapshot();
    let spans = snapshot.spans(&SpanQuestion::Traces(vec![]), 10).await;
    assert_eq!(spans.unwrap(), []);
    assert!(began.elapsed() > WAKING);
    snapshot.rest().await;
    let store = store::open(&url).await.unwrap();
    let written = store.write(&batch([start("abc12345", 0)])).await.unwrap();
    assert_eq!(written.inserted, 1);
}
