//! A source as the user names it, and the name under which it is known everywhere, which holds no secret.

use std::path::PathBuf;
use std::str::FromStr;

use xxhash_rust::xxh3::xxh3_64;

use super::ConfigError;

/// A source, as named by the user.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SourceSpec {
    /// Standard input.
    Stdin,
    /// A Modal app, and the environment it is in where that was named.
    Modal {
        /// Name or id of the app.
        app: String,
        /// Modal environment.
        environment: Option<String>,
    },
    /// A command for the shell.
    Command(String),
    /// A path or pattern.
    File(PathBuf),
    /// A URL that answers with a stream of lines.
    Http(String),
}

impl FromStr for SourceSpec {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, rest) = text
            .split_once(':')
            .map_or((text, ""), |(kind, rest)| (kind, rest.trim()));
        match (kind, rest) {
            ("stdin" | "-", "") => Ok(Self::Stdin),
            ("modal", app) if !app.is_empty() => Ok(match app.rsplit_once('@') {
                Some((app, environment)) => Self::Modal {
                    app: app.to_owned(),
                    environment: Some(environment.to_owned()),
                },
                None => Self::Modal {
                    app: app.to_owned(),
                    environment: None,
                },
            }),
            ("command", command) if !command.is_empty() => Ok(Self::Command(command.to_owned())),
            ("file", path) if !path.is_empty() => Ok(Self::File(path.into())),
            ("http" | "https", rest) if rest.starts_with("//") => Ok(Self::Http(text.to_owned())),
            ("http", url) if url.starts_with("http://") || url.starts_with("https://") => {
                Ok(Self::Http(url.to_owned()))
            }
            _ => Err(ConfigError::Value {
                what: "source",
                // What stands behind the kind can hold a secret.
                value: format!("{kind}:…"),
                reason: "expected stdin, modal:APP, modal:APP@ENVIRONMENT, command:COMMAND, \
                         file:PATH-OR-PATTERN or http:URL"
                    .into(),
            }),
        }
    }
}

impl std::fmt::Display for SourceSpec {
    /// The name under which the source is known everywhere.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stdin => f.write_str("stdin"),
            Self::Modal {
                app,
                environment: None,
            } => write!(f, "modal:{app}"),
            Self::Modal {
                app,
                environment: Some(environment),
            } => write!(f, "modal:{app}@{environment}"),
            Self::Command(command) => {
                let hash = short_hash(command);
                write!(f, "command:{}#{hash}", program(command))
            }
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Http(url) => write!(f, "http:{}", without_secrets(url)),
        }
    }
}

/// Tells sources apart whose names would be the same, and too short to tell anything of a secret.
fn short_hash(text: &str) -> String {
    format!("{:04x}", xxh3_64(text.as_bytes()) & 0xffff)
}

/// The program that a command begins with. What stands behind it, or before it as `NAME=VALUE`, can
/// hold a secret; so can any word where quotes come first.
fn program(command: &str) -> &str {
    let is_plain = |word: &str| {
        word.chars()
            .all(|c| c.is_ascii_alphanumeric() || "/._+-".contains(c))
    };
    command
        .split_whitespace()
        .take_while(|word| !word.contains(['"', '\'', '\\', '`', '$']))
        .find(|word| !word.contains('='))
        .filter(|word| is_plain(word))
        .unwrap_or("sh")
}

/// Words by which the parameters of a URL that hold secrets are known.
const SECRETS: [&str; 9] = [
    "token", "key", "secret", "pass", "pwd", "sig", "auth", "cred", "session",
];

/// A URL without user, password, query and fragment, which can hold secrets. Of a query that says more
/// than who asks a hash stays, so that two streams of one server are two sources, and remain the same
/// ones when a token is replaced.
fn without_secrets(url: &str) -> String {
    let url = url.split('#').next().unwrap_or_default();
    let (plain, query) = url.split_once('?').unwrap_or((url, ""));
    let (scheme, rest) = plain.split_once("://").unwrap_or(("http", plain));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let telling: Vec<_> = query
        .split('&')
        .filter(|pair| {
            let key = pair.split('=').next().unwrap_or_default().to_lowercase();
            !key.is_empty() && !SECRETS.iter().any(|word| key.contains(word))
        })
        .collect();
    let mark = match telling.as_slice() {
        [] => String::new(),
        telling => format!("#{}", short_hash(&telling.join("&"))),
    };
    format!("{scheme}://{host}/{path}{mark}")
}

impl SourceSpec {
    /// The program that a command begins with; none where that can't be told.
    pub fn program(&self) -> Option<&str> {
        match self {
            Self::Command(command) => Some(program(command)),
            _ => None,
        }
    }

    /// Name of the lease under which collectors that share a database share the source; none where it
    /// can't be shared. Files and commands are those of a host.
    pub fn lease(&self, host: &str) -> Option<String> {
        match self {
            Self::Stdin => None,
            Self::Modal { .. } | Self::Http(_) => Some(self.to_string()),
            Self::Command(_) | Self::File(_) => Some(format!("{self} on {host}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(spec: &str) -> String {
        spec.parse::<SourceSpec>().unwrap().to_string()
    }

    #[test]
    fn a_source_is_named_without_what_can_be_secret() {
        assert_eq!(name("modal:app@prod"), "modal:app@prod");
        assert_eq!(name("file: /var/log/*.log"), "file:/var/log/*.log");
        let word = ["hid", "den"].concat();
        for (command, program) in [
            (format!("KEY={word} flyctl logs --token {word}"), "flyctl"),
            (format!("KEY=\"a {word}\" flyctl logs"), "sh"),
            (format!("KEY=$(cat {word}) flyctl logs"), "sh"),
            (format!("curl https://me:{word}@logs.example/x"), "curl"),
        ] {
            let name = name(&format!("command:{command}"));
            assert!(name.starts_with(&format!("command:{program}#")), "{name}");
            assert!(!name.contains(&word), "{name}");
        }
        let url = |query: &str| name(&format!("https://me:{word}@logs.example/stream{query}"));
        assert_eq!(url(""), "http:https://logs.example/stream");
        assert_eq!(url(&format!("?access_token={word}")), url(""));
    }

    #[test]
    fn streams_of_one_server_are_told_apart_and_survive_a_new_token() {
        let url = |query: &str| name(&format!("https://logs.example/stream?{query}"));
        assert_ne!(url("app=a"), url("app=b"));
        assert_eq!(url("app=a&token=1"), url("app=a&token=2"));
    }

    #[test]
    fn a_mistake_in_a_source_is_told_without_what_can_be_secret() {
        let word = ["hid", "den"].concat();
        for text in [format!("htps://me:{word}@x"), format!("comand:KEY={word}")] {
            let error = text.parse::<SourceSpec>().unwrap_err().to_string();
            assert!(!error.contains(&word), "{error}");
        }
    }

    #[test]
    fn a_source_that_is_none_says_what_is_expected() {
        let error = "modal:".parse::<SourceSpec>().unwrap_err().to_string();
        assert!(error.contains("modal:APP"), "{error}");
    }
}
