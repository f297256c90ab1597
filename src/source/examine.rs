//! Whether a source could be read, for people who look for a fault. Nothing is read into the pipeline.
//!
//! Each answer is what was found, or what is wrong with its remedy.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use chrono::{SecondsFormat, TimeDelta, Utc};

use super::ModalOptions;
use super::file::expand;
use super::modal::{Tool, explain};

/// How long an answer may take: Modal's tools need seconds to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether Modal's tool is there, logged in, and knows the app: a second of its log is fetched.
pub async fn examine_modal(options: &ModalOptions) -> Result<String, String> {
    let tool = Tool::find(options).await?;
    let now = Utc::now();
    let time = |at: chrono::DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let since = time(now - TimeDelta::seconds(1));
    let Some(mut fetch) = tool.fetch(options, &since, &time(now)) else {
        return Err(format!(
            "{tool} can only follow: what is printed while it is away is lost; `pip install -U modal`"
        ));
    };
    fetch
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = fetch
        .spawn()
        .map_err(|error| format!("cannot run {tool}: {error}"))?;
    // Until it has ended: to the tool, an end of this is the end of whoever reads it.
    let _reader = child.stdin.take();
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output())
        .await
        .map_err(|_| format!("{tool} gives no answer within {} s", PATIENCE.as_secs()))?
        .map_err(|error| format!("cannot run {tool}: {error}"))?;
    if output.status.success() {
        return Ok(format!("{tool}, logged in, knows the app"));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{tool}: {}", explain(&said, &options.app)))
}

/// Whether files match and can be read.
pub fn examine_file(pattern: &Path) -> Result<String, String> {
    let found = expand(pattern);
    if found.is_empty() {
        return Err("no such file yet; name another, or leave it: it is waited for".to_owned());
    }
    for path in &found {
        if let Err(error) = std::fs::File::open(path) {
            return Err(format!(
                "cannot open {}: {error}; let the user of the collector read it",
                path.display()
            ));
        }
    }
    Ok(format!("{} files can be read", found.len()))
}

/// Whether a URL answers.
pub async fn examine_url(url: &str) -> Result<String, String> {
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(10))
        .build()
        .map_err(|error| error.without_url().to_string())?;
    match client.get(url).send().await {
        Ok(answer) if answer.status().is_success() => Ok(format!("answers {}", answer.status())),
        Ok(answer) => Err(format!(
            "answers {}; look at the URL and its token",
            answer.status()
        )),
        Err(error) if error.is_timeout() => Err("does not answer within 10 s".to_owned()),
        Err(error) => Err(format!("cannot be reached: {}", error.without_url())),
    }
}

/// Whether a command's program is on the search path.
pub fn is_program(name: &str) -> bool {
    if name.contains('/') {
        return Path::new(name).is_file();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}
