//! What is installed to read Modal's logs with, best first: the Python SDK, a CLI that can fetch, an
//! older CLI that can only follow.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::ModalOptions;
use crate::source::child;

/// The first SDK with logs of apps.
const SDK_WITH_LOGS: Version = Version(1, 5, 4);
/// The first CLI that can fetch what was missed.
const CLI_WITH_FETCH: Version = Version(1, 4, 0);
/// How long a tool may take to tell its version, on a busy machine with a cold disk.
const PATIENCE: Duration = Duration::from_secs(60);

/// A released version; what stands behind the third number does not matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::source) struct Version(u32, u32, u32);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Version {
    /// Finds `1.6.4` in a text such as `modal client version: 1.6.4`.
    fn find(text: &str) -> Option<Self> {
        text.split_whitespace().rev().find_map(|word| {
            let mut numbers = word.split('.').map(|part| {
                let digits = part
                    .find(|c: char| !c.is_ascii_digit())
                    .unwrap_or(part.len());
                part.get(..digits)?.parse().ok()
            });
            let mut next = || numbers.next().flatten();
            Some(Self(next()?, next()?, next()?))
        })
    }
}

/// A way to read logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::source) enum Tool {
    /// A Python with the SDK.
    Sdk(PathBuf),
    /// A CLI that follows and fetches.
    Cli(PathBuf),
    /// A CLI that only follows.
    OldCli(PathBuf, Version),
}

/// Which tools may be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// The best that is installed.
    #[default]
    Best,
    /// The Python SDK alone.
    Sdk,
    /// The CLI alone.
    Cli,
}

impl std::fmt::Display for Tool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sdk(path) => write!(f, "the SDK of {}", path.display()),
            Self::Cli(path) => write!(f, "the CLI {}", path.display()),
            Self::OldCli(path, version) => write!(f, "the CLI {} {version}", path.display()),
        }
    }
}

impl Tool {
    /// Finds the best tool; the error says what to do.
    pub(in crate::source) async fn find(options: &ModalOptions) -> Result<Self, String> {
        let cli = match &options.cli {
            Some(path) => Some(path.clone()),
            None => on_search_path("modal"),
        };
        if options.via != Via::Cli && !options.app.starts_with("ap-") {
            let own = cli.as_deref().and_then(interpreter);
            let other = || on_search_path("python3");
            let python = options.python.clone().or(own).or_else(other);
            if let Some(python) = python
                && version_of(&python, &["-c", "import modal; print(modal.__version__)"])
                    .await
                    .is_ok_and(|version| version >= SDK_WITH_LOGS)
            {
                return Ok(Self::Sdk(python));
            }
        }
        if options.via == Via::Sdk {
            return Err(format!(
                "no Python with modal {SDK_WITH_LOGS} or newer; install it with `pip install -U modal`, or \
                 name the Python in [modal] python"
            ));
        }
        let cli = cli.ok_or(
            "the modal CLI is not installed; install it with `pip install modal`, or name it in \
             [modal] cli",
        )?;
        match version_of(&cli, &["--version"]).await? {
            version if version >= CLI_WITH_FETCH => Ok(Self::Cli(cli)),
            version => Ok(Self::OldCli(cli, version)),
        }
    }

    /// The command that follows.
    pub(super) fn follow(&self, options: &ModalOptions) -> Command {
        match self {
            Self::Sdk(python) => sdk(python, options, "follow"),
            Self::Cli(path) => {
                let mut command = cli(path, options);
                command.arg("-f").args(SHOWING);
                command
            }
            Self::OldCli(path, _) => {
                let mut command = cli(path, options);
                command.arg("--timestamps");
                command
            }
        }
    }

    /// The command that fetches `[since, until)`, ISO times; none where the tool can't.
    pub(in crate::source) fn fetch(
        &self,
        options: &ModalOptions,
        since: &str,
        until: &str,
    ) -> Option<Command> {
        match self {
            Self::Sdk(python) => {
                let mut command = sdk(python, options, "fetch");
                command.args([since, until]);
                Some(command)
            }
            Self::Cli(path) => {
                let mut command = cli(path, options);
                command
                    .args(["--since", since, "--until", until])
                    .args(SHOWING);
                Some(command)
            }
            Self::OldCli(..) => None,
        }
    }
}

/// Lines of the app's own output, with times and ids.
const SHOWING: [&str; 5] = [
    "-s",
    "stdout",
    "--timestamps",
    "--show-function-call-id",
    "--show-container-id",
];

fn sdk(python: &Path, options: &ModalOptions, mode: &str) -> Command {
    let mut command = child::command(python);
    command.args(["-u", "-c", include_str!("logs.py"), mode, &options.app]);
    command.arg(options.environment.as_deref().unwrap_or_default());
    surroundings(&mut command, options);
    command
}

fn cli(path: &Path, options: &ModalOptions) -> Command {
    let mut command = child::command(path);
    command.args(["app", "logs", &options.app]);
    if let Some(environment) = &options.environment {
        command.args(["-e", environment]);
    }
    surroundings(&mut command, options);
    command
}

/// Times in UTC, text in UTF-8, no colours, and reconnections told on stderr.
fn surroundings(command: &mut Command, options: &ModalOptions) {
    for name in ["FORCE_COLOR", "TTY_INTERACTIVE"] {
        command.env_remove(name);
    }
    command
        .env("TTY_COMPATIBLE", "0")
        .env("NO_COLOR", "1")
        .env("TZ", "UTC")
        .env("PYTHONIOENCODING", "utf-8")
        .env("MODAL_LOGLEVEL", "DEBUG");
    if let Some(profile) = &options.profile {
        command.env("MODAL_PROFILE", profile);
    }
}

async fn version_of(program: &Path, arguments: &[&str]) -> Result<Version, String> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output())
        .await
        .map_err(|_| format!("{program:?} does not answer"))?
        .map_err(|error| {
            format!("cannot run {program:?}: {error}; install it with `pip install modal`, or name it in [modal]")
        })?;
    let said = String::from_utf8_lossy(&output.stdout);
    Version::find(&said).ok_or_else(|| format!("{program:?} does not tell its version"))
}

fn on_search_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// The Python in the first line of a script that pip installed.
fn interpreter(script: &Path) -> Option<PathBuf> {
    let text = std::fs::read(script).ok()?;
    let line = text
        .split(|byte| *byte == b'\n')
        .next()?
        .strip_prefix(b"#!")?;
    let words: OsString = String::from_utf8(line.to_vec()).ok()?.trim().into();
    let python = PathBuf::from(words);
    let name = python.file_name()?.to_str()?;
    (name.starts_with("python") && python.is_file()).then_some(python)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_and_compared_by_number() {
        let version = |text| Version::find(text).unwrap();
        assert_eq!(version("modal client version: 1.6.4\n"), Version(1, 6, 4));
        assert_eq!(version("1.10.0rc1"), Version(1, 10, 0));
        assert!(version("1.10.0.dev3") > SDK_WITH_LOGS);
        assert_eq!(Version::find("usage: modal"), None);
    }
}
