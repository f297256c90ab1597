//! This machine: settings, disk, the daemon on the listen address and the installed service.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::{Report, Surroundings};
use crate::config::Config;
use crate::service::Place;

/// Less room than this, in bytes, is no room.
const NO_ROOM: u64 = 100 << 20;
/// How long the daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is configured.
pub(super) fn settings(report: &mut Report, config: &Config, around: &Surroundings) {
    if let Some(other) = &around.other_database {
        report.warn("which database", other, "look at the one that is meant");
    }
    if around.password_in_flag {
        report.warn(
            "secrets",
            "the password in --database can be seen by every user of this machine (ps)",
            "put the URL into DATABASE_URL or a file named by database_file",
        );
    }
    let exposed = config
        .listen
        .map(|listen| !listen.address.ip().to_canonical().is_loopback());
    match (&around.tokens, exposed) {
        (Err(reason), _) => {
            report.fail("tokens", reason, "mend section [http] of the configuration")
        }
        (Ok(0), Some(true)) => report.fail(
            "tokens",
            "others can reach the listen address, and there is no token",
            "name one in section [http]; the collector does not start without",
        ),
        (Ok(0), _) => report.fine("tokens", "none; only this machine can ask"),
        (Ok(count), _) => report.fine("tokens", &format!("{count} can be read")),
    }
}

/// Room for the spool and, beside it, the state.
pub(super) fn disk(report: &mut Report, config: &Config) {
    let folder = config.spool.directory.as_path();
    // The folder may not be there yet.
    let Some(there) = folder.ancestors().find(|folder| folder.is_dir()) else {
        return;
    };
    let is_ours = nix::unistd::access(there, nix::unistd::AccessFlags::W_OK).is_ok();
    if !is_ours {
        report.fail(
            "disk",
            &format!("{} can't be written by this user", there.display()),
            "run as the user of the collector, or name another [spool] directory",
        );
    }
    #[allow(
        clippy::unnecessary_cast,
        reason = "the types are narrower on other systems"
    )]
    let free = match nix::sys::statvfs::statvfs(there) {
        Ok(disk) => disk.blocks_available() as u64 * disk.fragment_size() as u64,
        Err(error) => {
            return report.fail(
                "disk",
                &format!("{}: {error}", there.display()),
                "look at the disk",
            );
        }
    };
    let told = format!("{} MiB free in {}", free >> 20, there.display());
    match free {
        free if free < NO_ROOM => report.fail("disk", &told, "make room"),
        free if free < config.spool.max_bytes => report.warn(
            "disk",
            &format!("{told}, less than the spool may take"),
            "make room, or lower [spool] max_mib",
        ),
        _ if is_ours => report.fine("disk", &told),
        _ => {}
    }
    let waiting = bytes_in(folder);
    match waiting {
        0 => report.fine("spool", "empty"),
        bytes => report.warn(
            "spool",
            &format!("{bytes} bytes wait for the database"),
            "they are stored when the collector runs and the database is back",
        ),
    }
}

/// Bytes of the segments in a spool.
fn bytes_in(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(about) if about.is_dir() => bytes_in(&entry.path()),
        // Beside the segments stands a file that is locked.
        Ok(about)
            if entry
                .path()
                .extension()
                .is_some_and(|ending| ending == "spool") =>
        {
            about.len()
        }
        Ok(_) | Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

/// Whether a collector serves on the listen address, and what it says of itself.
pub(super) async fn daemon(report: &mut Report, config: &Config) {
    let Some(listen) = config.listen else {
        return report.fine("daemon", "serves nothing, as configured");
    };
    let mut address: SocketAddr = listen.address;
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let state = match ask(address).await {
        Ok(state) => state,
        Err(reason) => {
            return report.warn(
                "daemon",
                &format!("none answers on {address}: {reason}"),
                "start it: `beacon-collector run`, or `beacon-collector service install`",
            );
        }
    };
    let collecting = &state["collecting"];
    let lag = collecting["lag_s"].as_f64().unwrap_or_default();
    let problems = collecting["problems"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let problems: Vec<&str> = problems.iter().filter_map(Value::as_str).collect();
    match (state["ready"].as_bool(), problems.as_slice()) {
        (Some(true), _) => report.fine("daemon", &format!("answers on {address}; lag {lag:.1} s")),
        (None, _) => report.warn(
            "daemon",
            &format!("what answers on {address} is no collector"),
            "name another address with --listen",
        ),
        (_, []) => report.fail(
            "daemon",
            &state["database"].to_string(),
            "see the database above",
        ),
        (_, problems) => report.fail(
            "daemon",
            &format!("not ready, lag {lag:.1} s: {}", problems.join("; ")),
            "what it names is to be mended",
        ),
    }
}

async fn ask(address: SocketAddr) -> Result<Value, String> {
    let client = reqwest::Client::builder()
        .timeout(PATIENCE)
        .no_proxy()
        .build()
        .map_err(|error| error.to_string())?;
    let answer = client.get(format!("http://{address}/readyz")).send().await;
    let answer = answer.map_err(|error| match error.is_connect() {
        true => "nobody listens".to_owned(),
        false => error.to_string(),
    })?;
    let text = answer.text().await.map_err(|error| error.to_string())?;
    Ok(serde_json::from_str(&text).unwrap_or_default())
}

/// Whether the service is installed.
pub(super) fn service(report: &mut Report, place: &Place) {
    match place.installed() {
        Some(unit) => report.fine("service", &format!("{} is installed", unit.display())),
        None => report.warn(
            "service",
            &format!("{} is not installed", place.unit().display()),
            "`beacon-collector service install`, unless something else keeps it running",
        ),
    }
}
