//! A fake Modal control plane, the real CLI and SDK against it, and what a scenario must become.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::collector::{Collector, Home};

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
        let source = format!("modal:{app}");
        let settings = format!(
            "[modal]\nvia = {via:?}\ncli = {:?}\npython = {:?}\nreconcile_seconds = 2\nbackfill_hours = 1\n",
            installed(environment, "modal"),
            installed(environment, "python"),
        );
        std::fs::write(home.path("beacon.toml"), settings).unwrap();
        let arguments = [
            "--listen",
            "none",
            "--config",
            "beacon.toml",
            "--source",
            &source,
        ];
        let mut command = home.command(&arguments);
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
        home.start(command)
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

/// What is stored, in the same words; a span that is stored twice shows as two.
pub(crate) async fn stored(home: &Home) -> BTreeMap<String, Said> {
    let mut spans = BTreeMap::new();
    for row in home.rows().await {
        let row: Value = serde_json::from_str(&row).unwrap();
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
