//! The settings in force, each with its value as it may be printed and the place where it was set.

use serde::Serialize;
use toml::Value;

use super::layers::Layers;
use super::secret::masked;
use super::{Config, Origin, example};

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Section and name, such as `batch.rows`.
    pub key: String,
    /// Its value, secrets masked; none where it has neither a value nor a default.
    pub value: Option<String>,
    /// Where it was set.
    #[serde(serialize_with = "as_text")]
    pub origin: Origin,
}

fn as_text<S: serde::Serializer>(origin: &Origin, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(origin)
}

/// All settings, in the order of the example, and the tokens after them.
pub(super) fn list(layers: &Layers, config: &Config, database: &Origin) -> Vec<Setting> {
    let mut all: Vec<Setting> = example::keys()
        .iter()
        .map(|key| Setting {
            key: key.path.clone(),
            value: value(key, layers, config),
            origin: match key.path.as_str() {
                "database" => database.clone(),
                path => layers.origin(path),
            },
        })
        .collect();
    let kept: Vec<String> = match layers.value("retention.sources") {
        Some(Value::Table(sources)) => sources.keys().cloned().collect(),
        _ => Vec::new(),
    };
    if !kept.is_empty() {
        all.push(Setting {
            key: "retention.sources".to_owned(),
            value: Some(kept.join(", ")),
            origin: layers.origin("retention.sources"),
        });
    }
    let names: Vec<&str> = config
        .http
        .tokens
        .iter()
        .map(|token| token.name.as_str())
        .collect();
    if !names.is_empty() {
        all.push(Setting {
            key: "http.tokens".to_owned(),
            value: Some(names.join(", ")),
            origin: layers.origin("http.tokens"),
        });
    }
    all
}

fn value(key: &example::Key, layers: &Layers, config: &Config) -> Option<String> {
    match key.path.as_str() {
        "database" => Some(masked(&config.database)),
        "sources" => {
            let names = config.sources.iter().map(ToString::to_string);
            Some(format!("[{}]", names.collect::<Vec<_>>().join(", ")))
        }
        "host" => Some(config.host.clone()),
        // Their defaults depend on the database.
        "batch.rows" => Some(config.batch.rows.to_string()),
        "batch.bytes" => Some(config.batch.bytes.to_string()),
        "spool.directory" => Some(config.spool.directory.display().to_string()),
        path => layers
            .value(path)
            .or_else(|| key.is_default.then_some(&key.value))
            .map(shown),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(shown).collect();
            format!("[{}]", values.join(", "))
        }
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(yes) => yes.to_string(),
        Value::Datetime(_) | Value::Table(_) => "(set)".to_owned(),
    }
}

/// The settings that differ, by key.
pub fn changed<'a>(before: &'a [Setting], after: &'a [Setting]) -> Vec<&'a str> {
    let find = |all: &'a [Setting], key: &str| {
        all.iter()
            .find(|setting| setting.key == key)
            .and_then(|setting| setting.value.clone())
    };
    let mut keys: Vec<&str> = before
        .iter()
        .chain(after)
        .map(|one| one.key.as_str())
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys.retain(|key| find(before, key) != find(after, key));
    keys
}
