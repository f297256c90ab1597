//! A Postgres server of a test's own, which may be restarted, starved, filled up and replaced.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sqlx::{AssertSqlSafe, Executor as _};

use super::database::{connect, url_of};

/// A running server; dropping it stops it and takes everything away.
pub(crate) struct Cluster {
    dir: tempfile::TempDir,
    /// Where it listens.
    pub(crate) port: u16,
    mounted: Option<PathBuf>,
    /// Settings beyond the usual ones.
    settings: &'static str,
}

impl Cluster {
    /// Starts one with room for 60 connections.
    pub(crate) fn start() -> Self {
        let cluster = Self::prepare();
        let data = cluster.data();
        cluster.tool(
            "initdb",
            &[
                "-D",
                &data,
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-locale",
            ],
        );
        cluster.control("start");
        cluster
    }

    /// A folder, and a port that is free.
    fn prepare() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("beacon-faults")
            .tempdir_in("/tmp")
            .unwrap();
        // The server's user must reach its data; Postgres refuses to run as root.
        as_owner(dir.path());
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        Self {
            dir,
            port,
            mounted: None,
            settings: "",
        }
    }

    /// Starts a standby, which from then on has all that this one has told anybody to be committed.
    pub(crate) fn standby(&mut self) -> Self {
        let standby = Self::prepare();
        let (from, data) = (self.port.to_string(), standby.data());
        let copy = [
            "-h",
            "127.0.0.1",
            "-p",
            &from,
            "-U",
            "postgres",
            "-D",
            &data,
            "-R",
            "-c",
            "fast",
        ];
        standby.tool("pg_basebackup", &copy);
        standby.control("start");
        self.settings = "-c synchronous_standby_names=*";
        self.restart();
        standby
    }

    /// Ends the server as a crash does.
    pub(crate) fn stop(&self) {
        self.control("stop");
    }

    /// Makes a standby a server that may be written to.
    pub(crate) fn promote(&self) {
        self.tool("pg_ctl", &["-D", &self.data(), "-w", "-s", "promote"]);
    }

    fn data(&self) -> String {
        self.dir.path().join("data").display().to_string()
    }

    fn control(&self, action: &str) {
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -k {} -c max_connections=60 -c checkpoint_timeout=30min {}",
            self.port,
            self.dir.path().display(),
            self.settings
        );
        let log = self.dir.path().join("server.log").display().to_string();
        self.tool(
            "pg_ctl",
            &[
                "-D",
                &self.data(),
                "-l",
                &log,
                "-w",
                "-s",
                "-m",
                "immediate",
                "-o",
                &options,
                action,
            ],
        );
    }

    /// Ends the server without a checkpoint, as a crash does, and starts it again.
    pub(crate) fn restart(&self) {
        self.control("restart");
    }

    /// The URL of a database, through another port where one is named.
    pub(crate) fn url(&self, database: &str, port: Option<u16>) -> String {
        let port = port.unwrap_or(self.port);
        url_of(
            &format!("postgres://postgres@127.0.0.1:{port}/postgres"),
            database,
        )
    }

    /// Runs one statement.
    pub(crate) async fn execute(&self, sql: &str) {
        let mut conn = connect(&self.url("postgres", None)).await;
        conn.execute(AssertSqlSafe(sql)).await.unwrap();
    }

    /// A folder of the server's on a small file system of its own.
    pub(crate) fn small_disk(&mut self) -> PathBuf {
        let folder = self.dir.path().join("small");
        std::fs::create_dir(&folder).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=24m,mode=0777", "beacon-test"])
            .arg(&folder)
            .status()
            .is_ok_and(|status| status.success());
        assert!(
            mounted,
            "a full disk can only be tried where mounting is permitted; run the tests as root"
        );
        self.mounted = Some(folder.clone());
        let place = folder.join("space");
        std::fs::create_dir(&place).unwrap();
        as_owner(&place);
        place
    }

    fn tool(&self, name: &str, arguments: &[&str]) {
        let mut command = as_server_user(&bin(name));
        let status = command
            .args(arguments)
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "{name} {arguments:?} failed");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Errors: it has ended already, and all of it is thrown away.
        let mut stop = as_server_user(&bin("pg_ctl"));
        stop.args(["-D", &self.data(), "-m", "immediate", "-s", "stop"]);
        let _ = stop.current_dir("/").status();
        if let Some(folder) = &self.mounted {
            let _ = Command::new("umount").arg(folder).status();
        }
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.trim_ascii() == b"0"
}

fn as_owner(folder: &Path) {
    if is_root() {
        let status = Command::new("chown").arg("postgres").arg(folder).status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "there is no user postgres"
        );
    }
}

fn as_server_user(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program);
    command
}

/// A program of the newest server installed, else the one on the search path.
fn bin(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let newest = versions
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .max();
    newest.map_or_else(
        || PathBuf::from(name),
        |version| format!("/usr/lib/postgresql/{version}/bin/{name}").into(),
    )
}
