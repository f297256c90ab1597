//! The program in a folder of its own, started, killed and started again, and the rows it leaves.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tempfile::TempDir;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder in which the program keeps its state and finds its logs.
pub(crate) struct Home(TempDir);

/// A running collector; dropping it kills it.
pub(crate) struct Collector {
    child: Child,
    log: PathBuf,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The program with its state here; logs are named relative to the folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_beacon-collector"));
        command
            .args(arguments)
            .current_dir(self.0.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("STATE_DIRECTORY", self.0.path())
            .stdin(Stdio::null());
        command
    }

    /// Starts collecting from sources.
    pub(crate) fn collect(&self, sources: &[&str]) -> Collector {
        let mut arguments = vec!["--listen", "none"];
        for source in sources {
            arguments.extend(["--source", source]);
        }
        self.start(self.command(&arguments))
    }

    /// Starts a command; its own log is appended to one file.
    pub(crate) fn start(&self, mut command: Command) -> Collector {
        let log = self.path("collector.log");
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let child = command.stdout(Stdio::null()).stderr(file).spawn().unwrap();
        Collector { child, log }
    }

    /// All spans, a text a row, sorted by id.
    pub(crate) async fn rows(&self) -> Vec<String> {
        let path = self.path("beacon.db");
        if !path.exists() {
            return Vec::new();
        }
        let options = SqliteConnectOptions::new().filename(path).read_only(true);
        let mut conn = SqliteConnection::connect_with(&options).await.unwrap();
        let rows = sqlx::query_scalar(
            "select json_array(trace_id, span_id, parent_span_id, service, operation, started_at, \
             completed_at, duration_ms, status, job_id, execution_id, model_id, region, metadata, \
             error_message, error_type) from trace_spans order by span_id",
        )
        .fetch_all(&mut conn)
        .await;
        // The schema may be on its way still.
        rows.unwrap_or_default()
    }

    /// Answer of one query to the embedded database; none while there is no such table.
    pub(crate) async fn ask(&self, query: &'static str) -> Option<i64> {
        let options = SqliteConnectOptions::new()
            .filename(self.path("beacon.db"))
            .read_only(true);
        let mut conn = SqliteConnection::connect_with(&options).await.ok()?;
        sqlx::query_scalar(query).fetch_one(&mut conn).await.ok()
    }

    /// Waits until a query gives a number.
    pub(crate) async fn wait_for(&self, query: &'static str, expected: i64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.ask(query).await;
            if found == Some(expected) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{query} gives {found:?}, not {expected}\n{}",
                std::fs::read_to_string(self.path("collector.log")).unwrap_or_default()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until so many spans are completed.
    pub(crate) async fn wait_for_completed(&self, expected: i64) {
        let query = "select count(*) from trace_spans where status = 'completed'";
        self.wait_for(query, expected).await;
    }
}

impl Collector {
    /// Kills the process at once.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Tells the process to end and waits until it has.
    pub(crate) fn stop(mut self) {
        let id = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(id, Signal::SIGTERM).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{}", self.log());
    }

    /// What the process logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Id of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // An error: it was waited for already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Both lines of a span, as Modal's CLI prints them.
pub(crate) fn span(number: usize) -> String {
    let second = |at: usize| {
        format!(
            "2026-03-{:02} {:02}:{:02}:{:02}+00:00",
            1 + at / 86_400,
            at / 3600 % 24,
            at / 60 % 60,
            at % 60
        )
    };
    let (start, end) = (second(number / 50), second(number / 50 + 2));
    let container = number % 7;
    format!(
        "{start} fc-01F{number} ta-01C{container} 🔍 TRACE[{number:08x}]: Modal inference started - model=llama3.2-1b, region=us-east\n\
         {end} fc-01F{number} ta-01C{container} 🔍 TRACE[{number:08x}]: SUCCESS - duration=2.45s, tokens={number}\n"
    )
}

/// Many spans.
pub(crate) fn spans(numbers: std::ops::Range<usize>) -> String {
    numbers.map(span).collect()
}

/// Appends to a file, as a program that logs does.
pub(crate) fn append(path: &Path, text: &str) {
    use std::io::Write as _;
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}
