//! The files that describe the service to its manager: those of `systemd/`, with the paths of this
//! machine.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

const SYSTEM: &str = include_str!("../../systemd/beacon-collector.service");
const TEMPLATE: &str = include_str!("../../systemd/beacon-collector@.service");
const USER: &str = include_str!("../../systemd/user/beacon-collector.service");
const LAUNCHD: &str = include_str!("../../systemd/org.projectbeacon.collector.plist");

/// Where the program stands in those files.
const PROGRAM: (&str, &str) = (
    "/usr/bin/beacon-collector",
    "/usr/local/bin/beacon-collector",
);
/// Name of the launchd agent.
pub(super) const LABEL: &str = "org.projectbeacon.collector";

/// Which manager runs the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// systemd, for the machine.
    System,
    /// systemd, for one user.
    User,
    /// launchd, for one user of macOS.
    Launchd,
}

/// The name of an app that has a service of its own: what systemd takes in a unit's name without
/// changing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance(String);

impl FromStr for Instance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
        if text.is_empty() || text.starts_with('.') || !text.chars().all(fits) {
            return Err("letters, digits and -_.: only, as in the name of a Modal app".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Kind {
    /// Name of the file.
    pub(super) fn file_name(self, instance: Option<&Instance>) -> String {
        match (self, instance) {
            (Self::Launchd, _) => format!("{LABEL}.plist"),
            (_, None) => "beacon-collector.service".to_owned(),
            (_, Some(_)) => "beacon-collector@.service".to_owned(),
        }
    }

    /// What the manager calls the service.
    pub(super) fn service_name(self, instance: Option<&Instance>) -> String {
        match (self, instance) {
            (Self::Launchd, _) => LABEL.to_owned(),
            (_, None) => "beacon-collector.service".to_owned(),
            (_, Some(instance)) => format!("beacon-collector@{instance}.service"),
        }
    }

    /// The file's text, with the program and the configuration of this machine.
    pub(super) fn text(
        self,
        instance: Option<&Instance>,
        program: &Path,
        home: Option<&Path>,
    ) -> Result<String, String> {
        let path = program.display().to_string();
        if path
            .chars()
            .any(|c| c.is_whitespace() || "\"'\\%$&<>".contains(c))
        {
            return Err(format!(
                "the program's path {path:?} has characters that a unit file can't hold; copy it to \
                 /usr/local/bin first"
            ));
        }
        let hidden = ["/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/"];
        if self == Self::System && hidden.iter().any(|folder| path.starts_with(folder)) {
            return Err(format!(
                "the service can't see {path}, because it has no access to home and temporary \
                 directories; copy it first: install -m 755 {path} /usr/local/bin/ and run \
                 /usr/local/bin/beacon-collector service install"
            ));
        }
        Ok(match self {
            Self::System if instance.is_some() => TEMPLATE.replace(PROGRAM.0, &path),
            Self::System => SYSTEM.replace(PROGRAM.0, &path),
            Self::User => USER.replace(PROGRAM.0, &path),
            Self::Launchd => {
                let home = home
                    .unwrap_or(Path::new("/Users/USER"))
                    .display()
                    .to_string();
                LAUNCHD
                    .replace(PROGRAM.1, &path)
                    .replace("/Users/USER", &home)
            }
        })
    }

    /// The folder of the file.
    pub(super) fn folder(self, home: &Path, config_home: &Path) -> PathBuf {
        match self {
            Self::System => PathBuf::from("/etc/systemd/system"),
            Self::User => config_home.join("systemd/user"),
            Self::Launchd => home.join("Library/LaunchAgents"),
        }
    }

    /// The folder in which a package has the file, where packages have one.
    pub(super) fn packaged(self) -> Option<&'static Path> {
        match self {
            Self::System => Some(Path::new("/usr/lib/systemd/system")),
            Self::User => Some(Path::new("/usr/lib/systemd/user")),
            Self::Launchd => None,
        }
    }

    /// Whether a package's file runs this program.
    pub(super) fn runs(self, program: &Path) -> bool {
        program == Path::new(PROGRAM.0)
    }

    /// The configuration that the service is started with.
    pub(super) fn config(
        self,
        home: &Path,
        config_home: &Path,
        instance: Option<&Instance>,
    ) -> PathBuf {
        let name = instance.map_or("config.toml".to_owned(), |instance| {
            format!("{instance}.toml")
        });
        let folder = match self {
            Self::System => PathBuf::from("/etc"),
            Self::User => config_home.to_owned(),
            Self::Launchd => home.join(".config"),
        };
        folder.join("beacon-collector").join(name)
    }
}
