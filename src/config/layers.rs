//! What was written in several places, merged key by key: the place that wins is remembered, so that
//! mistakes and the list of settings can name it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use toml::de::DeTable;
use toml::{Table, Value};

use super::error::{explained, position};
use super::example;
use super::secret::first_line;
use super::written::ConfigFile;
use super::{ConfigError, Overrides};

/// Where a setting was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere.
    Default,
    /// In the configuration file, at this line.
    File(PathBuf, usize),
    /// By a credential of this name that the service manager has passed.
    Credential(&'static str),
    /// By an environment variable.
    Environment(String),
    /// By a flag.
    Flag(&'static str),
}

impl Origin {
    /// Later places win over earlier ones.
    const fn rank(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File(..) => 1,
            Self::Credential(_) => 2,
            Self::Environment(_) => 3,
            Self::Flag(_) => 4,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{} line {line}", path.display()),
            Self::Credential(name) => write!(f, "credential {name}"),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// Looks up an environment variable.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// All that was written.
#[derive(Debug, Clone, Default)]
pub(super) struct Layers {
    values: BTreeMap<String, (Value, Origin)>,
}

impl Layers {
    /// Reads the file and the surroundings; flags win.
    pub(super) fn read(
        file: Option<&Path>,
        environment: Environment<'_>,
        flags: &Overrides,
    ) -> Result<Self, ConfigError> {
        let mut layers = Self::default();
        if let Some(path) = file {
            layers.add_file(path)?;
        }
        layers.add_credentials(environment)?;
        layers.add_environment(environment)?;
        layers.add_flags(flags);
        Ok(layers)
    }

    /// Where a key was set.
    pub(super) fn origin(&self, key: &str) -> Origin {
        self.values
            .get(key)
            .map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    /// What a key was set to.
    pub(super) fn value(&self, key: &str) -> Option<&Value> {
        self.values.get(key).map(|(value, _)| value)
    }

    /// All of it as one file.
    pub(super) fn written(&self) -> Result<ConfigFile, ConfigError> {
        let mut table = Table::new();
        for (path, (value, _)) in &self.values {
            insert(&mut table, path, value.clone());
        }
        // Each part was read before; what remains are conflicts between the parts, of which there are none.
        ConfigFile::deserialize(table).map_err(|error| ConfigError::Conflict(error.to_string()))
    }

    /// The URL of the database: named, or in a file that is named in a place of higher rank.
    pub(super) fn database(&self) -> Result<Option<(String, Origin)>, ConfigError> {
        let (named, in_file) = (self.origin("database"), self.origin("database_file"));
        if in_file.rank() > named.rank() {
            let path = self.value("database_file").and_then(Value::as_str);
            let path = Path::new(path.unwrap_or_default());
            let url = first_line("the file with the database URL", path)
                .map_err(|error| error.at(&in_file))?;
            let url = url.ok_or_else(|| {
                ConfigError::Value {
                    what: "database_file",
                    value: path.display().to_string(),
                    reason: "it is empty; write the database URL into it".to_owned(),
                }
                .at(&in_file)
            })?;
            return Ok(Some((url, in_file)));
        }
        if named != Origin::Default && named.rank() == in_file.rank() {
            return Err(ConfigError::Conflict(format!(
                "both database ({named}) and database_file ({in_file}) are set; keep one of them"
            )));
        }
        let url = self.value("database").and_then(Value::as_str);
        Ok(url.map(|url| (url.to_owned(), named)))
    }

    fn add(&mut self, path: &str, value: Value, origin: Origin) {
        self.values.insert(path.to_owned(), (value, origin));
    }

    fn add_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            what: "the configuration",
            path: path.to_owned(),
            source,
        })?;
        let wrong = |error: &toml::de::Error| ConfigError::of_toml(path, &text, error);
        toml::from_str::<ConfigFile>(&text).map_err(|error| wrong(&error))?;
        let spans = DeTable::parse(&text).map_err(|error| wrong(&error))?;
        let table: Table = toml::from_str(&text).map_err(|error| wrong(&error))?;
        let line = |at: usize| Origin::File(path.to_owned(), position(&text, at).0);
        self.add_table("", &table, spans.get_ref(), &line);
        Ok(())
    }

    /// Enters the keys of a table; sections within it that the example knows no keys of, such as those
    /// that are named by the user, are entered whole.
    fn add_table(
        &mut self,
        prefix: &str,
        table: &Table,
        places: &DeTable<'_>,
        line: &impl Fn(usize) -> Origin,
    ) {
        for (key, place) in places {
            let Some(written) = table.get(key.get_ref().as_ref()) else {
                continue;
            };
            let path = format!("{prefix}{}", key.get_ref());
            let inner = format!("{path}.");
            let is_section = example::keys()
                .iter()
                .any(|key| key.path.starts_with(&inner));
            match (written, place.get_ref().as_table()) {
                (Value::Table(written), Some(places)) if is_section => {
                    self.add_table(&inner, written, places, line);
                }
                _ => self.add(&path, written.clone(), line(key.span().start)),
            }
        }
    }

    /// What systemd's `LoadCredential=` passes; an empty one counts as absent.
    fn add_credentials(&mut self, environment: Environment<'_>) -> Result<(), ConfigError> {
        let Some(folder) = environment("CREDENTIALS_DIRECTORY").map(PathBuf::from) else {
            return Ok(());
        };
        for (name, key) in [("database-url", "database"), ("tokens", "http.tokens_file")] {
            let path = folder.join(name);
            if !path.exists() {
                continue;
            }
            let Some(line) = first_line("the credential", &path)? else {
                continue;
            };
            let value = match key {
                "database" => line,
                _ => path.to_string_lossy().into_owned(),
            };
            self.add(key, value.into(), Origin::Credential(name));
        }
        Ok(())
    }

    fn add_environment(&mut self, environment: Environment<'_>) -> Result<(), ConfigError> {
        let set = |name: &str| {
            let value = environment(name).filter(|value| !value.is_empty())?;
            Some(value.to_string_lossy().into_owned())
        };
        if let Some(url) = set("DATABASE_URL") {
            self.add(
                "database",
                url.into(),
                Origin::Environment("DATABASE_URL".into()),
            );
        }
        for key in example::keys() {
            let name = variable(&key.path);
            let Some(text) = set(&name) else { continue };
            let value = read_as(&text, &key.value).map_err(|reason| ConfigError::Variable {
                name: name.clone(),
                reason,
            })?;
            let mut table = Table::new();
            insert(&mut table, &key.path, value.clone());
            ConfigFile::deserialize(table).map_err(|error| ConfigError::Variable {
                name: name.clone(),
                reason: explained(error.message()),
            })?;
            self.add(&key.path, value, Origin::Environment(name));
        }
        Ok(())
    }

    fn add_flags(&mut self, flags: &Overrides) {
        if let Some(url) = &flags.database {
            self.add("database", url.as_str().into(), Origin::Flag("--database"));
        }
        if let Some(address) = &flags.listen {
            self.add("listen", address.as_str().into(), Origin::Flag("--listen"));
        }
        if !flags.sources.is_empty() {
            self.add(
                "sources",
                flags.sources.clone().into(),
                Origin::Flag("--source"),
            );
        }
        if let Some(host) = &flags.host {
            self.add("host", host.as_str().into(), Origin::Flag("--host"));
        }
        if let Some(format) = flags.log_format {
            self.add(
                "log.format",
                format.as_str().into(),
                Origin::Flag("--log-format"),
            );
        }
    }
}

/// The environment variable of a key.
pub(super) fn variable(path: &str) -> String {
    format!("BEACON_{}", path.to_uppercase().replace('.', "_"))
}

/// The value of a variable, of the same type as the one in the example.
fn read_as(text: &str, like: &Value) -> Result<Value, String> {
    let wrong = |expected: &str| format!("expected {expected}");
    Ok(match like {
        Value::Integer(_) => text
            .trim()
            .parse::<i64>()
            .map_err(|_| wrong("a number"))?
            .into(),
        Value::Float(_) => text
            .trim()
            .parse::<f64>()
            .map_err(|_| wrong("a number"))?
            .into(),
        Value::Boolean(_) => text
            .trim()
            .parse::<bool>()
            .map_err(|_| wrong("true or false"))?
            .into(),
        Value::Array(_) => text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect::<Vec<_>>()
            .into(),
        _ => text.into(),
    })
}

fn insert(table: &mut Table, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            table.insert(path.to_owned(), value);
        }
        Some((section, rest)) => {
            let inner = table
                .entry(section)
                .or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}
