//! A fake Modal control plane, the real CLI and SDK against it, and what a scenario must become.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::collector::{Collector, Home};
use super::faulty::Chance;

/// How long what was emitted may take to be stored, a busy machine and all.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running control plane.
pub(crate) struct Modal {
    child: Child,
    port: u16,
}

/// What a log says of a span: container, how it ended, and the numbers of its closing line.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Said {
    pub(crate) container: String,
    pub(crate) started: bool,
    pub(crate) end: Option<String>,
    pub(crate) tokens: Option<i64>,
}

/// A file of an environment that `scripts/python-env.sh` makes.
pub(crate) fn installed(environment: &str, file: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(".venv")
        .join(environment)
        .join("bin")
        .join(file);
    assert!(
        path.exists(),
        "{} is missing; run scripts/python-env.sh",
        path.display()
    );
    path
}

/// A file of the fake.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fake_modal")
        .join(name)
}

impl Modal {
    /// Plays a scenario for the app `beacon`.
    pub(crate) fn play(scenario: &Path, options: &[&str]) -> Self {
        let mut child = Command::new(installed("modal-new", "python"))
            .arg(fixture("fake_modal.py"))
            .arg("--app")
            .arg(format!("beacon={}", scenario.display()))
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let port = line.trim().parse().expect("the fake tells its port");
        Self { child, port }
    }

    /// Starts a collector that follows the app with a tool of an environment.
    pub(crate) fn follow(&self, home: &Home, environment: &str, via: &str) -> Collector {
        self.follow_app("beacon", home, environment, via)
    }

    /// The same for another app.
    pub(crate) fn follow_app(
        &self,
        app: &str,
        home: &Home,
        environment: &str,
        via: &str,
    ) -> Collector {
        home.start(self.command(app, home, environment, via))
    }

    /// The command of such a collector.
    pub(crate) fn command(&self, app: &str, home: &Home, environment: &str, via: &str) -> Command {
        let source = format!("modal:{app}");
        let arguments = ["--listen", "none", "--source", &source];
        self.program(home, environment, via, &arguments)
    }

    /// The program, configured for a tool of an environment, and told where the control plane is.
    pub(crate) fn program(
        &self,
        home: &Home,
        environment: &str,
        via: &str,
        arguments: &[&str],
    ) -> Command {
        let settings = format!(
            "[modal]\nvia = {via:?}\ncli = {:?}\npython = {:?}\nreconcile_seconds = 2\nbackfill_hours = 1\n",
            installed(environment, "modal"),
            installed(environment, "python"),
        );
        std::fs::write(home.path("beacon.toml"), settings).unwrap();
        let mut command = home.command(arguments);
        command.args(["--config", "beacon.toml"]);
        // Surroundings in which the tools would print something else than the log.
        for (name, value) in [
            ("FORCE_COLOR", "1"),
            ("TTY_COMPATIBLE", "1"),
            ("TTY_INTERACTIVE", "1"),
            ("PYTHONIOENCODING", "ascii"),
            ("TZ", "Asia/Kolkata"),
            ("LC_ALL", "C"),
        ] {
            command.env(name, value);
        }
        // Any words will do as a token.
        command
            .env(
                "MODAL_SERVER_URL",
                format!("http://127.0.0.1:{}", self.port),
            )
            .env("MODAL_TOKEN_ID", "any")
            .env("MODAL_TOKEN_SECRET", "any")
            .env("MODAL_CONFIG_PATH", "/nonexistent")
            .env("MODAL_DISABLE_API_PROXY", "1");
        command
    }
}

impl Drop for Modal {
    fn drop(&mut self) {
        // An error: it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the entries of a scenario say, span by span; entries are joined to lines by origin.
pub(crate) fn emitted(scenario: &Path) -> BTreeMap<String, Said> {
    let mut held: HashMap<String, String> = HashMap::new();
    let mut spans = BTreeMap::new();
    for line in std::fs::read_to_string(scenario).unwrap().lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| entry[key].as_str().unwrap_or_default();
        if !text("event").is_empty() || text("fd") == "stderr" || text("fd") == "system" {
            continue;
        }
        let origin = format!("{} {}", text("function_call"), text("container"));
        let whole = held.remove(&origin).unwrap_or_default() + text("data");
        let (lines, rest) = whole.rsplit_once('\n').unwrap_or(("", &whole));
        for line in lines.lines() {
            note(&mut spans, line, text("container"));
        }
        if !rest.is_empty() {
            held.insert(origin, rest.to_owned());
        }
    }
    spans
}

fn note(spans: &mut BTreeMap<String, Said>, line: &str, container: &str) {
    let Some((id, rest)) = line
        .trim()
        .strip_prefix("🔍 TRACE[")
        .and_then(|rest| rest.split_once("]: "))
    else {
        return;
    };
    let said = spans.entry(id.to_owned()).or_default();
    said.container = container.to_owned();
    if rest.contains(" started") {
        said.started = true;
    } else if rest.starts_with("SUCCESS") || rest.starts_with("FAILED") {
        said.end = rest.split_whitespace().next().map(str::to_owned);
        let tokens = rest.rsplit_once("tokens=").map(|(_, number)| number);
        said.tokens = tokens.and_then(|number| number.parse().ok());
    }
}

/// What is stored in rows as [`Home::rows`] gives them, in the same words; a span that is stored twice shows
/// as two.
pub(crate) fn stored(rows: &[String]) -> BTreeMap<String, Said> {
    let mut spans = BTreeMap::new();
    for row in rows {
        let row: Value = serde_json::from_str(row).unwrap();
        let metadata: Value = serde_json::from_str(row[13].as_str().unwrap()).unwrap();
        let text = |key: &str| metadata[key].as_str().unwrap_or_default().to_owned();
        let mut id = text("log_id");
        while spans.contains_key(&id) {
            id.push_str(" again");
        }
        let end = match row[8].as_str() {
            Some("completed") => Some("SUCCESS".to_owned()),
            Some("failed") => Some("FAILED".to_owned()),
            _ => None,
        };
        let said = Said {
            container: text("container_id"),
            started: metadata.get("start_inferred").is_none(),
            end,
            tokens: metadata["tokens"].as_i64(),
        };
        spans.insert(id, said);
    }
    spans
}

/// Waits until what is stored equals what was emitted.
pub(crate) async fn wait_for_equal(
    expected: &BTreeMap<String, Said>,
    stored: impl AsyncFn() -> BTreeMap<String, Said>,
) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = stored().await;
        if found == *expected {
            return;
        }
        if Instant::now() > deadline {
            for (id, said) in expected {
                if found.get(id) != Some(said) {
                    eprintln!("{id}: emitted {said:?}, stored {:?}", found.get(id));
                }
            }
            for id in found.keys().filter(|id| !expected.contains_key(*id)) {
                eprintln!("{id}: stored, never emitted");
            }
            panic!("not equal");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Twenty seconds of spans on five containers, with every kind of trouble between them.
pub(crate) fn random_night(seed: u64) -> String {
    let mut chance = Chance(seed);
    let mut events: Vec<(u64, String)> = Vec::new();
    for number in 0..150_u64 {
        let at = chance.below(18_000);
        let took = 200 + chance.below(1_800);
        let container = chance.below(5);
        let entry = |at: u64, text: &str, more: &str| {
            let data = serde_json::Value::from(text);
            let line = format!(
                "{{\"at_ms\":{at},\"container\":\"ta-01R{container}\",\"function\":\"fu-01R\",\
                 \"function_call\":\"fc-01R{number:04}\",\"data\":{data}{more}}}"
            );
            (at, line)
        };
        let live = if chance.below(20) == 0 {
            ",\"live\":false"
        } else {
            ""
        };
        let header = format!("🔍 TRACE[{number:08x}]: ");
        let start = format!("{header}Modal inference started - model=mistral-7b, region=eu-west\n");
        events.push(entry(at, &start, live));
        events.push(entry(
            at + 1,
            "[INFERENCE] Using preloaded mistral-7b\n",
            "",
        ));
        match chance.below(10) {
            0 => {}
            1 => {
                let end = format!("{header}FAILED - error=RuntimeError: no, duration=0.5s\n");
                events.push(entry(at + took, &end, live));
            }
            2 => {
                // One line in two entries, as an unbuffered print gives it.
                events.push(entry(at + took, &format!("{header}SUCCESS - dura"), ""));
                let rest = format!("tion=0.50s, tokens={number}\n");
                events.push(entry(at + took + 5, &rest, ""));
            }
            3 => {
                // Stamped before what was emitted earlier.
                let end = format!("{header}SUCCESS - duration=0.50s, tokens={number}\n");
                let late = format!(",\"ts\":{}", at + 1);
                events.push(entry(at + took + 3_000, &end, &late));
            }
            _ => {
                let seconds = took as f64 / 1000.0;
                let end = format!("{header}SUCCESS - duration={seconds:.2}s, tokens={number}\n");
                events.push(entry(at + took, &end, live));
            }
        }
    }
    for _ in 0..6 {
        let at = 2_000 + chance.below(16_000);
        let redeliver = chance.below(30);
        let lose = chance.below(2) == 0;
        let event = match chance.below(5) {
            0 => format!("\"drop_connection\",\"redeliver\":{redeliver}"),
            1 => format!("\"unavailable_for_ms\",\"ms\":1500,\"lose\":{lose}"),
            2 => "\"unavailable_for_ms\",\"ms\":700,\"mode\":\"refuse\"".to_owned(),
            3 => "\"restart\",\"ms\":400".to_owned(),
            _ => "\"end_stream\"".to_owned(),
        };
        events.push((at, format!("{{\"at_ms\":{at},\"event\":{event}}}")));
    }
    events.sort();
    let mut scenario = String::new();
    for (_, line) in events {
        writeln!(scenario, "{line}").unwrap();
    }
    scenario
}
