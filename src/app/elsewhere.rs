//! A question that names no database goes to the one of whoever asks. Where that is not the one that the
//! machine's service writes, an empty answer would mislead: it is said which was asked, and how to ask the
//! other.

use std::path::Path;

use crate::config::{Config, Origin};

/// What is said, when no database was named; `root` is where the machine's files are.
pub(super) fn remark(config: &Config, root: &Path) -> Option<String> {
    let mut settings = config.settings.iter();
    let setting = settings.find(|setting| setting.key == "database")?;
    if setting.origin != Origin::Default {
        return None;
    }
    let asked = setting.value.as_deref().unwrap_or_default();
    if let Some(how) = of_service(asked, root) {
        return Some(format!(
            "no database was named, so this is about {asked}; the service of this machine has another: {how}"
        ));
    }
    let path = asked.strip_prefix("sqlite:")?;
    (!Path::new(path).exists()).then(|| {
        format!(
            "no database was named, and {asked} is not there yet: nothing was collected by this user; \
             --database or DATABASE_URL names another"
        )
    })
}

/// How to ask the database of the service, where there is one and it is another than `asked`.
fn of_service(asked: &str, root: &Path) -> Option<String> {
    let folder = root.join("etc/beacon-collector");
    let file = folder.join("config.toml");
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    let names_one = |line: &str| {
        let key = line.split_once('=').map(|(key, _)| key.trim());
        key.is_some_and(|key| ["database", "database_file"].contains(&key))
    };
    if written.lines().any(names_one) {
        return Some(format!("--config {}", file.display()));
    }
    let url = folder.join("database-url");
    if url.exists() {
        return Some(format!("DATABASE_URL=\"$(sudo cat {})\"", url.display()));
    }
    // Under DynamicUser a link, which all can see and only root can follow.
    let state = root.join("var/lib/beacon-collector");
    let theirs = format!("sqlite:{}", state.join("beacon.db").display());
    let there = state.symlink_metadata().is_ok();
    (there && theirs != asked).then(|| format!("as root, --database {theirs}"))
}

#[cfg(test)]
mod tests {
    use crate::config::Overrides;

    use super::*;

    fn config(database: Option<&str>) -> Config {
        let overrides = Overrides {
            database: database.map(str::to_owned),
            ..Overrides::default()
        };
        Config::load(None, &overrides).unwrap()
    }

    #[test]
    fn the_services_database_is_named_when_another_is_asked_by_default() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let remark = || remark(&config(None), root.path()).unwrap_or_default();
        let before = remark();
        assert!(!before.contains("service"), "{before}");
        write("var/lib/beacon-collector/beacon.db", "");
        assert!(remark().contains("var/lib/beacon-collector/beacon.db"));
        write("etc/beacon-collector/database-url", "");
        assert!(remark().contains("etc/beacon-collector/database-url"));
        write("etc/beacon-collector/config.toml", "#database = \"\"\n");
        assert!(!remark().contains("--config"));
        write("etc/beacon-collector/config.toml", "database = \"x\"\n");
        assert!(remark().contains("--config"));
        // Who names one knows what is meant.
        let named = config(Some("sqlite:/x.db"));
        assert_eq!(super::remark(&named, root.path()), None);
    }
}
