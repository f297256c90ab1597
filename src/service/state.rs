//! What systemd knows of the service, in words.

use std::collections::BTreeMap;

/// What is asked of `systemctl show`.
pub(super) const PROPERTIES: &str = "--property=LoadState,UnitFileState,ActiveState,SubState,StatusText,\
     Result,ExecMainStatus,NRestarts,MainPID,ActiveEnterTimestamp";

/// The service as its manager sees it.
#[derive(Debug)]
pub struct ServiceState<'a> {
    name: &'a str,
    said: BTreeMap<&'a str, &'a str>,
}

impl<'a> ServiceState<'a> {
    /// Reads what `systemctl show` printed.
    pub fn read(name: &'a str, shown: &'a str) -> Self {
        let said = shown.lines().filter_map(|line| line.split_once('='));
        Self {
            name,
            said: said.collect(),
        }
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        ["active", "reloading"].contains(&self.of("ActiveState"))
    }

    fn of(&self, property: &str) -> &'a str {
        self.said.get(property).copied().unwrap_or_default()
    }

    /// Some lines for people, with what to do where something is to be done.
    pub fn in_words(&self, is_of_user: bool) -> String {
        let (name, user) = (self.name, if is_of_user { "--user " } else { "" });
        if self.of("LoadState") != "loaded" {
            return format!(
                "{name}: systemd does not know it\n  → `beacon-collector service install`; where its file is there \
                 already, systemctl {user}daemon-reload\n"
            );
        }
        let enabled = self.of("UnitFileState");
        let mut text = format!("{name}: {}", self.activity(user));
        text.push_str(match enabled {
            "enabled" => "\nstarts by itself: yes",
            _ => "\nstarts by itself: no",
        });
        if enabled != "enabled" {
            text.push_str(&format!("\n  → systemctl {user}enable {name}"));
        }
        if !self.of("StatusText").is_empty() && self.is_running() {
            text.push_str(&format!("\nit says: {}", self.of("StatusText")));
        }
        text.push('\n');
        text
    }

    fn activity(&self, user: &str) -> String {
        let of = |property| self.of(property);
        let log = format!("journalctl {user}-n 50 -u {}", self.name);
        match of("ActiveState") {
            "active" | "reloading" => format!(
                "runs since {}, process {}, restarts: {}",
                of("ActiveEnterTimestamp"),
                of("MainPID"),
                of("NRestarts")
            ),
            "inactive" => format!("does not run\n  → systemctl {user}start {}", self.name),
            _ if of("ExecMainStatus") == "2" => format!(
                "does not run: its configuration has a mistake\n  → `beacon-collector check-config --config FILE` names \
                 it, and {log}"
            ),
            "failed" => format!("does not run: {}\n  → {log}", of("Result")),
            state => format!(
                "{state} ({}), restarts: {}\n  → {log}",
                of("SubState"),
                of("NRestarts")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "beacon-collector.service";

    fn words(shown: &str) -> String {
        ServiceState::read(NAME, shown).in_words(false)
    }

    #[test]
    fn one_that_runs_tells_since_when_and_what_it_says() {
        let shown = "LoadState=loaded\nUnitFileState=enabled\nActiveState=active\nSubState=running\n\
            StatusText=7 spans stored\nNRestarts=2\nMainPID=12\nActiveEnterTimestamp=Wed 2026-03-04\n";
        assert!(ServiceState::read(NAME, shown).is_running());
        assert_eq!(
            words(shown),
            "beacon-collector.service: runs since Wed 2026-03-04, process 12, restarts: 2\n\
             starts by itself: yes\nit says: 7 spans stored\n"
        );
    }

    #[test]
    fn one_that_does_not_run_says_what_to_do() {
        for (shown, remedy) in [
            ("LoadState=not-found", "service install"),
            ("LoadState=loaded\nActiveState=inactive", "systemctl start"),
            (
                "LoadState=loaded\nActiveState=failed\nResult=exit-code\nExecMainStatus=2",
                "check-config",
            ),
            (
                "LoadState=loaded\nActiveState=failed\nResult=watchdog",
                "journalctl -n 50",
            ),
            (
                "LoadState=loaded\nActiveState=activating\nSubState=auto-restart",
                "auto-restart",
            ),
            (
                "LoadState=loaded\nUnitFileState=disabled\nActiveState=active",
                "systemctl enable",
            ),
        ] {
            assert!(words(shown).contains(remedy), "{shown}: {}", words(shown));
            assert_eq!(
                ServiceState::read(NAME, shown).is_running(),
                shown.ends_with("=active")
            );
        }
    }
}
