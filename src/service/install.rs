//! Installing the service: a plan of files and commands, which can be printed or carried out.
//!
//! Invariants: a plan changes nothing; what the user may have written (the configuration) is never
//! overwritten or removed.

use std::fmt;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::state::PROPERTIES;
use super::unit::{Instance, Kind, LABEL};

/// Where the service is installed, and how it is run.
#[derive(Debug, Clone)]
pub struct Place {
    /// Which manager runs it.
    pub kind: Kind,
    /// The app that it is for, where several have one each.
    pub instance: Option<Instance>,
    /// The program.
    pub program: PathBuf,
    /// Home of the user.
    pub home: PathBuf,
    /// Where the user's configuration is.
    pub config_home: PathBuf,
    /// Id of the user.
    pub user: u32,
    /// A folder that stands for `/`, when an image is made; nothing is started then.
    pub root: Option<PathBuf>,
    /// Whether systemd runs this machine.
    pub booted: bool,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Write a file.
    Write {
        /// The file.
        path: PathBuf,
        /// Its text.
        text: String,
        /// Whether one that is there stays as it is.
        keep: bool,
    },
    /// Remove a file; one that is not there is no error.
    Remove(PathBuf),
    /// Run a command; `true` where its failure is no failure of the whole.
    Run(Vec<String>, bool),
    /// Tell the user.
    Say(String),
}

/// What is to be done, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan(pub Vec<Step>);

impl Place {
    /// Writes the files, enables and starts the service. `config` is written where there is none;
    /// `has_sources` says whether it names any.
    pub fn install(&self, config: &str, has_sources: bool) -> Result<Plan, String> {
        let instance = self.instance.as_ref();
        if instance.is_some() && self.kind != Kind::System {
            return Err("only systemd's system services have instances; run it as root".to_owned());
        }
        let text = self.kind.text(instance, &self.program, Some(&self.home))?;
        let unit = self.unit();
        let settings = self.config();
        let mut steps = Vec::new();
        let packaged = self.installed().filter(|installed| *installed != unit);
        match packaged {
            // A file of ours would stand before it, and before each newer one that an upgrade brings.
            Some(packaged) if self.kind.runs(&self.program) => {
                steps.push(Step::Say(format!(
                    "the package's {} is used",
                    packaged.display()
                )));
            }
            _ => steps.push(Step::Write {
                path: unit.clone(),
                text,
                keep: false,
            }),
        }
        steps.push(Step::Write {
            path: settings.clone(),
            text: config.to_owned(),
            keep: true,
        });
        let name = self.kind.service_name(instance);
        match self.kind {
            Kind::Launchd => {
                let domain = format!("gui/{}", self.user);
                steps.push(run(
                    &["launchctl", "bootout", &format!("{domain}/{LABEL}")],
                    true,
                ));
                let unit = unit.display().to_string();
                steps.push(run(&["launchctl", "bootstrap", &domain, &unit], false));
            }
            Kind::System | Kind::User if self.starts() => {
                steps.push(self.systemctl(&["daemon-reload"], false));
                steps.push(self.systemctl(&["enable", &name], false));
                // Not `start`: a new unit is to take effect where an old one runs.
                steps.push(self.systemctl(&["restart", &name], false));
            }
            Kind::System | Kind::User => steps.push(self.systemctl(&["enable", &name], false)),
        }
        steps.push(Step::Say(self.what_next(&settings, &name, has_sources)));
        Ok(Plan(steps))
    }

    /// Stops and disables the service and removes its file.
    pub fn uninstall(&self) -> Plan {
        let name = self.kind.service_name(self.instance.as_ref());
        let mut steps = Vec::new();
        match self.kind {
            Kind::Launchd => {
                let service = format!("gui/{}/{LABEL}", self.user);
                steps.push(run(&["launchctl", "bootout", &service], true));
            }
            Kind::System | Kind::User if self.starts() => {
                steps.push(self.systemctl(&["disable", "--now", &name], true));
            }
            Kind::System | Kind::User => steps.push(self.systemctl(&["disable", &name], true)),
        }
        // The template stays for other instances.
        if self.instance.is_none() {
            steps.push(Step::Remove(self.unit()));
        }
        if self.kind != Kind::Launchd && self.starts() {
            steps.push(self.systemctl(&["daemon-reload"], false));
        }
        steps.push(Step::Say(format!(
            "configuration and data stay: {} and the state directory; remove them by hand if you want",
            self.config().display()
        )));
        Plan(steps)
    }

    /// Asks the manager what it knows of the service.
    pub fn status(&self) -> Plan {
        Plan(vec![match self.kind {
            Kind::Launchd => run(
                &["launchctl", "print", &format!("gui/{}/{LABEL}", self.user)],
                false,
            ),
            _ => self.systemctl(&["show", &self.name(), PROPERTIES], false),
        }])
    }

    /// The service's name.
    pub fn name(&self) -> String {
        self.kind.service_name(self.instance.as_ref())
    }

    /// The file that describes the service, where there is one: ours, else that of a package.
    pub fn installed(&self) -> Option<PathBuf> {
        let name = self.kind.file_name(self.instance.as_ref());
        let packaged = self.kind.packaged().map(|folder| folder.join(name));
        let packaged = packaged.map(|path| self.under_root(path));
        let mut all = [Some(self.unit()), packaged].into_iter().flatten();
        all.find(|path| path.exists())
    }

    /// The file that describes the service, where we write it.
    pub fn unit(&self) -> PathBuf {
        let folder = self.kind.folder(&self.home, &self.config_home);
        self.under_root(folder.join(self.kind.file_name(self.instance.as_ref())))
    }

    /// Its configuration.
    pub fn config(&self) -> PathBuf {
        self.under_root(
            self.kind
                .config(&self.home, &self.config_home, self.instance.as_ref()),
        )
    }

    /// Whether the service can be started now.
    fn starts(&self) -> bool {
        self.root.is_none() && self.booted
    }

    fn under_root(&self, path: PathBuf) -> PathBuf {
        match &self.root {
            Some(root) => root.join(path.strip_prefix("/").unwrap_or(&path)),
            None => path,
        }
    }

    fn systemctl(&self, words: &[&str], may_fail: bool) -> Step {
        let mut command = vec!["systemctl".to_owned()];
        if self.kind == Kind::User {
            command.push("--user".to_owned());
        }
        if let Some(root) = &self.root {
            command.push(format!("--root={}", root.display()));
        }
        command.extend(words.iter().map(|word| (*word).to_owned()));
        Step::Run(command, may_fail)
    }

    fn what_next(&self, settings: &Path, name: &str, has_sources: bool) -> String {
        // A configuration that was there stays, and may name others or none.
        let is_ours = has_sources && !settings.exists();
        let settings = settings.display();
        let user = if self.kind == Kind::User {
            "--user "
        } else {
            ""
        };
        let mut text = match is_ours {
            true => format!("settings are in {settings}; after a change: "),
            false => format!("name the sources in {settings}, then: "),
        };
        match self.kind {
            Kind::Launchd => text.push_str("launchctl kickstart -k gui/$(id -u)/"),
            _ => text.push_str(&format!("systemctl {user}restart ")),
        }
        text.push_str(name);
        text.push_str("\nhow it is: beacon-collector service status");
        if self.kind == Kind::User {
            text.push_str("\nto run without being logged in: loginctl enable-linger");
        }
        if self.kind != Kind::Launchd && !self.starts() {
            text.push_str("\nsystemd does not run here: the service starts with the next boot");
        }
        text
    }
}

fn run(words: &[&str], may_fail: bool) -> Step {
    Step::Run(
        words.iter().map(|word| (*word).to_owned()).collect(),
        may_fail,
    )
}

impl fmt::Display for Plan {
    /// The plan as a shell script, which does the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.0 {
            match step {
                Step::Write { path, text, keep } => {
                    let path = path.display();
                    let unless = if *keep { " (unless it is there)" } else { "" };
                    writeln!(
                        f,
                        "# write {path}{unless}:\ncat > {path} <<'END'\n{text}END"
                    )?;
                }
                Step::Remove(path) => writeln!(f, "rm -f {}", path.display())?,
                Step::Run(words, may_fail) => {
                    let or = if *may_fail { " || true" } else { "" };
                    writeln!(f, "{}{or}", words.join(" "))?;
                }
                Step::Say(text) => writeln!(f, "# {}", text.replace('\n', "\n# "))?,
            }
        }
        Ok(())
    }
}

impl Plan {
    /// Does it; says each step through `tell`.
    pub fn carry_out(&self, mut tell: impl FnMut(&str)) -> Result<(), String> {
        for step in &self.0 {
            match step {
                Step::Write { path, keep, .. } if *keep && path.exists() => {
                    tell(&format!("{} is there and stays as it is", path.display()));
                }
                Step::Write { path, text, .. } => {
                    write(path, text)
                        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
                    tell(&format!("wrote {}", path.display()));
                }
                Step::Remove(path) => match std::fs::remove_file(path) {
                    Ok(()) => tell(&format!("removed {}", path.display())),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                        tell(&format!("{} was not there", path.display()));
                    }
                    Err(error) => {
                        return Err(format!("cannot remove {}: {error}", path.display()));
                    }
                },
                Step::Run(words, may_fail) => {
                    tell(&words.join(" "));
                    let done = Command::new(&words[0]).args(&words[1..]).status();
                    let failed = match done {
                        Ok(status) if status.success() => continue,
                        Ok(status) => format!("{} failed: {status}", words.join(" ")),
                        Err(error) => format!("cannot run {}: {error}", words[0]),
                    };
                    if *may_fail {
                        tell(&failed);
                    } else {
                        return Err(failed);
                    }
                }
                Step::Say(text) => tell(text),
            }
        }
        Ok(())
    }
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o644)
        .open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests;
