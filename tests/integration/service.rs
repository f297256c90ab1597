//! The process as a service: what its manager is told, what a reload changes, and how it is installed.

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::support::collector::{Collector, Home, append, span};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A service manager's end of the notify socket.
struct Manager(UnixDatagram);

impl Manager {
    fn of(home: &Home) -> Self {
        let socket = UnixDatagram::bind(home.path("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    /// The program, told of the socket and of a watchdog that waits for 1.2 s.
    fn command(home: &Home, arguments: &[&str]) -> Command {
        let mut command = home.command(arguments);
        command
            .env("NOTIFY_SOCKET", home.path("notify"))
            .env("WATCHDOG_USEC", "1200000");
        command
    }

    fn next(&self) -> String {
        let mut bytes = [0; 4096];
        let length = self.0.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    /// Reads on until a message says all of this; everything up to it.
    fn until(&self, wanted: &[&str]) -> Vec<String> {
        let patience = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        while Instant::now() < patience {
            let message = self.next();
            let found = wanted.iter().all(|part| message.contains(part));
            seen.push(message);
            if found {
                return seen;
            }
        }
        panic!("{wanted:?} never came: {seen:#?}");
    }
}

fn signal(collector: &Collector, signal: Signal) {
    kill(
        Pid::from_raw(i32::try_from(collector.id()).unwrap()),
        signal,
    )
    .unwrap();
}

fn wait_for_log(collector: &Collector, wanted: &str) {
    let patience = Instant::now() + PATIENCE;
    while !collector.log().contains(wanted) {
        assert!(Instant::now() < patience, "{wanted}\n{}", collector.log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn run(home: &Home, arguments: &[&str]) -> Output {
    home.command(arguments).output().unwrap()
}

#[test]
fn the_manager_is_told_of_start_life_reload_and_stop() {
    let home = Home::new();
    let manager = Manager::of(&home);
    let log = home.path("app.log");
    append(&log, "nothing yet\n");
    let arguments = ["--listen", "none", "--source", "file:app.log"];
    let collector = home.start(Manager::command(&home, &arguments));

    let starting = manager.until(&["READY=1", "STATUS=0 spans stored", "spool empty"]);
    assert!(starting[0].contains("STATUS=starting"), "{starting:?}");
    assert!(starting[0].contains("EXTEND_TIMEOUT_USEC="), "{starting:?}");
    manager.until(&["WATCHDOG=1"]);

    append(&log, &span(1));
    manager.until(&[
        "STATUS=1 spans stored",
        "1 of 1 sources running",
        "WATCHDOG=1",
    ]);

    signal(&collector, Signal::SIGHUP);
    manager.until(&["RELOADING=1", "MONOTONIC_USEC="]);
    manager.until(&["READY=1"]);
    manager.until(&["WATCHDOG=1"]);

    signal(&collector, Signal::SIGTERM);
    let stopping = manager.until(&["STOPPING=1", "EXTEND_TIMEOUT_USEC=", "STATUS=storing"]);
    assert!(stopping.iter().all(|message| !message.contains("READY=1")));
    collector.stop();
}

#[test]
fn a_process_that_stands_still_is_no_longer_said_to_live() {
    let home = Home::new();
    let manager = Manager::of(&home);
    let arguments = ["--listen", "none", "--source", "command:sleep 1000"];
    let collector = home.start(Manager::command(&home, &arguments));
    manager.until(&["WATCHDOG=1"]);
    signal(&collector, Signal::SIGSTOP);
    // What was on its way may come still; then there is silence for longer than the watchdog waits.
    manager
        .0
        .set_read_timeout(Some(Duration::from_millis(1500)))
        .unwrap();
    let patience = Instant::now() + PATIENCE;
    while manager.0.recv(&mut [0; 4096]).is_ok() {
        assert!(
            Instant::now() < patience,
            "it goes on although it stands still"
        );
    }
    collector.kill();
}

#[test]
fn it_is_ready_only_when_it_answers() {
    let home = Home::new();
    let manager = Manager::of(&home);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let arguments = ["--listen", &address, "--source", "command:sleep 1000"];
    let collector = home.start(Manager::command(&home, &arguments));
    manager.until(&["READY=1"]);
    std::net::TcpStream::connect(&address).unwrap();
    collector.stop();
}

#[test]
fn a_reload_takes_tokens_and_log_level_and_names_what_needs_a_restart() {
    let home = Home::new();
    let config = home.path("config.toml");
    std::fs::write(
        &config,
        "listen = \"none\"\nsources = [\"command:sleep 1000\"]\n",
    )
    .unwrap();
    let mut command = home.command(&["run", "--config", "config.toml"]);
    command.env("BEACON_BATCH_AGE_MS", "400");
    let collector = home.start(command);
    wait_until_running(&home, &collector);
    std::fs::write(
        &config,
        "listen = \"127.0.0.1:1\"\nsources = [\"command:sleep 1000\"]\n[batch]\nage_ms = 1\n[log]\nlevel = \"debug\"\n",
    )
    .unwrap();
    signal(&collector, Signal::SIGHUP);
    wait_for_log(
        &collector,
        "level of the log and tokens read again level=\"debug\"",
    );
    wait_for_log(&collector, "needs a restart to take effect key=\"listen\"");
    // The environment still wins over the file.
    assert!(
        !collector.log().contains("key=\"batch.age_ms\""),
        "{}",
        collector.log()
    );
    assert!(
        !collector.log().contains("key=\"log.level\""),
        "{}",
        collector.log()
    );

    std::fs::write(&config, "lisen = 1\n").unwrap();
    signal(&collector, Signal::SIGHUP);
    wait_for_log(&collector, "the configuration stays as it was");
    wait_for_log(
        &collector,
        "line 1, column 1: unknown key `lisen`; did you mean `listen`?",
    );
    collector.stop();
}

/// Its spool is there, so signals are listened for.
fn wait_until_running(home: &Home, collector: &Collector) {
    let patience = Instant::now() + PATIENCE;
    while !home.path("spool").exists() {
        assert!(Instant::now() < patience, "{}", collector.log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn check_config_shows_what_is_in_force_and_from_where() {
    let home = Home::new();
    let word = ["hun", "ter2"].concat();
    let url = format!("postgres://me:{word}@db.example/x");
    std::fs::write(home.path("c.toml"), "\n[batch]\nrows = 77\n").unwrap();
    let mut command = home.command(&["check-config", "--config", "c.toml", "--listen", "none"]);
    let output = command.env("DATABASE_URL", &url).output().unwrap();
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for line in [
        "batch.rows",
        "77  (c.toml line 3)",
        "none  (--listen)",
        "postgres://me:***@db.example/x  (environment variable DATABASE_URL)",
        "900  (default)",
    ] {
        assert!(shown.contains(line), "{line}\n{shown}");
    }
    assert!(!shown.contains(&word) && !text(&output.stderr).contains(&word));

    std::fs::write(home.path("c.toml"), "[bach]\nrows = 77\n").unwrap();
    let output = run(&home, &["check-config", "--config", "c.toml"]);
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    assert!(
        told.contains("line 1, column 2: unknown key `bach`; did you mean `batch`?"),
        "{told}"
    );

    // Tokens are read as well.
    std::fs::write(
        home.path("c.toml"),
        "[http]\ntokens_file = \"/no/such/file\"\n",
    )
    .unwrap();
    let output = run(&home, &["check-config", "--config", "c.toml"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
}

#[test]
fn the_example_configuration_is_printed_and_can_be_used() {
    let home = Home::new();
    let output = run(&home, &["config", "init"]);
    std::fs::write(home.path("c.toml"), &output.stdout).unwrap();
    let output = run(&home, &["check-config", "--config", "c.toml", "--json"]);
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let settings = shown["settings"].as_array().unwrap();
    assert!(settings.len() > 15);
    assert!(
        settings
            .iter()
            .all(|setting| setting["origin"] == "default"),
        "{shown:#}"
    );
}

#[test]
fn a_password_on_the_command_line_is_warned_of_and_not_repeated() {
    let home = Home::new();
    let word = ["hun", "ter2"].concat();
    let url = format!("postgres://me:{word}@127.0.0.1:1/x");
    let output = run(&home, &["--database", &url, "failures"]);
    let told = text(&output.stderr);
    assert!(
        told.contains("the password in --database can be seen"),
        "{told}"
    );
    assert!(!told.contains(&word), "{told}");
}

#[test]
fn installing_as_a_service_can_be_looked_at_first() {
    let home = Home::new();
    let mut command = home.command(&[
        "service",
        "install",
        "--user",
        "--dry-run",
        "--source",
        "modal:app",
    ]);
    let output = command.env("HOME", home.path("me")).output().unwrap();
    let script = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let me = home.path("me");
    let unit = me.join(".config/systemd/user/beacon-collector.service");
    assert!(
        script.contains(&format!("cat > {} <<'END'", unit.display())),
        "{script}"
    );
    assert!(script.contains(&format!(
        "ExecStart={} run",
        env!("CARGO_BIN_EXE_beacon-collector")
    )));
    assert!(script.contains("\nsources = [\"modal:app\"]\n"), "{script}");
    assert!(script.contains("\nsystemctl --user"), "{script}");
    assert!(!me.exists(), "nothing was written");
}

/// `service status` with a systemctl that answers this, and what it was asked.
fn status(home: &Home, answer: &str, arguments: &[&str]) -> (Output, String) {
    let folder = home.path("bin");
    std::fs::create_dir_all(&folder).unwrap();
    let fake = folder.join("systemctl");
    std::fs::write(
        &fake,
        format!("#!/bin/sh\necho \"$@\" >> asked\n{answer}\n"),
    )
    .unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&fake, executable).unwrap();
    let arguments = [&["service", "status"], arguments].concat();
    let mut command = home.command(&arguments);
    let path = format!("{}:/usr/bin:/bin", folder.display());
    let output = command
        .env("PATH", path)
        .env("HOME", home.path("me"))
        .output()
        .unwrap();
    let asked = std::fs::read_to_string(home.path("asked")).unwrap_or_default();
    (output, asked)
}

#[test]
fn the_services_status_is_what_systemd_says_in_words() {
    let home = Home::new();
    let answer = "echo LoadState=loaded; echo UnitFileState=enabled; echo ActiveState=active; \
                  echo 'StatusText=7 spans stored'; echo MainPID=12; echo NRestarts=0; \
                  echo 'ActiveEnterTimestamp=Wed 2026-03-04 05:06:07 UTC'";
    let (output, asked) = status(&home, answer, &["--system"]);
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(
        shown.contains("runs since Wed 2026-03-04 05:06:07 UTC, process 12"),
        "{shown}"
    );
    assert!(shown.contains("it says: 7 spans stored"), "{shown}");
    assert!(
        asked.starts_with("show beacon-collector.service --property="),
        "{asked}"
    );

    let (output, asked) = status(&home, "echo LoadState=not-found", &["--user"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stdout).contains("service install"),
        "{output:?}"
    );
    assert!(asked.contains("--user show "), "{asked}");

    let arguments = ["--system", "--instance", "my-app"];
    let answer = "echo LoadState=loaded; echo ActiveState=inactive";
    let (output, asked) = status(&home, answer, &arguments);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stdout);
    assert!(
        told.contains("systemctl start beacon-collector@my-app.service"),
        "{told}"
    );
    assert!(
        asked.contains("show beacon-collector@my-app.service"),
        "{asked}"
    );

    let answer = "echo 'System has not been booted with systemd' >&2; exit 1";
    let (output, _) = status(&home, answer, &["--system"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("not been booted"),
        "{output:?}"
    );
}

#[test]
fn a_question_that_names_no_database_says_that_there_is_none_yet() {
    let home = Home::new();
    let output = run(&home, &["failures"]);
    assert!(
        text(&output.stderr).contains("is not there yet"),
        "{output:?}"
    );
    let output = run(&home, &["failures"]);
    assert!(
        !text(&output.stderr).contains("is not there yet"),
        "{output:?}"
    );
    let named = format!("sqlite:{}", home.path("other.db").display());
    let output = run(&home, &["--database", &named, "failures"]);
    assert!(!text(&output.stderr).contains("note:"), "{output:?}");
}
