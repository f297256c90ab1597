//! What is in force, from where, and how mistakes are told.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::*;

/// A folder for files, and the environment that the configuration is read in.
struct Place {
    folder: tempfile::TempDir,
    variables: BTreeMap<String, OsString>,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state").into_os_string();
        Self {
            folder,
            variables: BTreeMap::from([("STATE_DIRECTORY".to_owned(), state)]),
        }
    }

    fn with(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn read(&self, text: &str, flags: &Overrides) -> Result<Config, ConfigError> {
        let file = self.file("config.toml", text);
        Config::read(Some(&file), flags, &|name| {
            self.variables.get(name).cloned()
        })
    }

    fn config(&self, text: &str) -> Config {
        self.read(text, &Overrides::default()).unwrap()
    }

    fn mistake(&self, text: &str) -> String {
        let error = self.read(text, &Overrides::default()).unwrap_err();
        error.to_string()
    }
}

fn shown(config: &Config, key: &str) -> (String, String) {
    let setting = config.settings.iter().find(|setting| setting.key == key);
    let setting = setting.unwrap();
    (
        setting.value.clone().unwrap_or_default(),
        setting.origin.to_string(),
    )
}

#[test]
fn the_defaults_of_the_example_are_the_defaults_of_the_program() {
    let place = Place::new();
    let bare = |mut config: Config| {
        config.settings.clear();
        // The same, whether named or not: but a taken address is an error only when it was named.
        config.listen = config.listen.map(|listen| Listen {
            explicit: false,
            ..listen
        });
        config.http.requests_per_second = None;
        format!("{config:#?}")
    };
    let spelled_out = place.config(&example::uncommented(true));
    assert_eq!(bare(spelled_out), bare(place.config("")));
}

#[test]
fn a_batch_is_larger_for_sqlite_unless_it_is_said_how_large() {
    let place = Place::new();
    for (text, rows, bytes) in [
        ("", 6_000, 4 << 20),
        ("database = \"postgres://host/db\"", 5_000, 4 << 20),
        ("[batch]\nrows = 7\nbytes = 9", 7, 9),
    ] {
        let config = place.config(text);
        assert_eq!((config.batch.rows, config.batch.bytes), (rows, bytes));
        assert_eq!(shown(&config, "batch.rows").0, rows.to_string());
        assert_eq!(shown(&config, "batch.bytes").0, bytes.to_string());
    }
}

#[test]
fn flags_win_over_the_environment_and_that_over_credentials_and_the_file() {
    let text = "listen = \"127.0.0.1:1\"\ndatabase = \"sqlite:/file\"\n[batch]\nrows = 7\n";
    let place = Place::new();
    let config = place.config(text);
    assert_eq!(config.database, "sqlite:/file");
    assert!(shown(&config, "database").1.ends_with("config.toml line 2"));
    assert!(
        shown(&config, "batch.rows")
            .1
            .ends_with("config.toml line 4")
    );

    place.file("database-url", "# from the vault\nsqlite:/credential\n");
    let folder = place.folder.path().as_os_str().to_owned();
    let place = place.with("CREDENTIALS_DIRECTORY", folder);
    let config = place.config(text);
    assert_eq!(config.database, "sqlite:/credential");
    assert_eq!(shown(&config, "database").1, "credential database-url");

    let place = place
        .with("DATABASE_URL", "sqlite:/environment")
        .with("BEACON_LISTEN", "127.0.0.1:2")
        .with("BEACON_BATCH_ROWS", "8")
        .with("BEACON_SOURCES", "stdin\nmodal:app\n");
    let config = place.config(text);
    assert_eq!(config.database, "sqlite:/environment");
    assert_eq!(config.batch.rows, 8);
    assert_eq!(config.sources.len(), 2);
    let (value, origin) = shown(&config, "listen");
    assert_eq!(
        (value.as_str(), origin.as_str()),
        ("127.0.0.1:2", "environment variable BEACON_LISTEN")
    );

    let flags = Overrides {
        listen: Some("none".to_owned()),
        database: Some("sqlite:/flag".to_owned()),
        ..Overrides::default()
    };
    let config = place.read(text, &flags).unwrap();
    assert_eq!(config.database, "sqlite:/flag");
    assert_eq!(config.listen, None);
    assert_eq!(shown(&config, "database").1, "--database");
}

#[test]
fn an_empty_credential_counts_as_absent() {
    let place = Place::new();
    place.file("database-url", "# none\n");
    let folder = place.folder.path().as_os_str().to_owned();
    let place = place.with("CREDENTIALS_DIRECTORY", folder);
    assert!(place.config("").database.ends_with("/state/beacon.db"));
}

#[test]
fn the_database_url_can_stand_in_a_file_of_its_own() {
    let place = Place::new();
    let path = place.file("url", "sqlite:/from/file\n");
    let config = place.config(&format!("database_file = {path:?}"));
    assert_eq!(config.database, "sqlite:/from/file");
    let both = format!("database = \"sqlite:/x\"\ndatabase_file = {path:?}");
    assert!(place.mistake(&both).contains("keep one of them"));
    let missing = place.mistake("database_file = \"/no/such/file\"");
    assert!(missing.contains("config.toml line 1"), "{missing}");
    // One that comes from a place of higher rank wins.
    let place = place.with("DATABASE_URL", "sqlite:/environment");
    let config = place.config(&format!("database_file = {path:?}"));
    assert_eq!(config.database, "sqlite:/environment");
}

#[test]
fn mistakes_are_told_with_line_and_column() {
    let place = Place::new();
    for (text, expected) in [
        (
            "# a\nlisen = \"none\"\n",
            "line 2, column 1: unknown key `lisen`; did you mean `listen`?",
        ),
        (
            "[batch]\nrows = 3\nbites = 4\n",
            "line 3, column 1: unknown key `bites`; did you mean `bytes`?",
        ),
        (
            "[batch]\nrows = \"many\"\n",
            "line 2, column 8: expected usize, not a text",
        ),
        ("listen = \n", "line 1, column 10: "),
        (
            "listen = \"nowhere\"\n",
            "config.toml line 1: listen address \"nowhere\"",
        ),
        (
            "\n[log]\nlevel = \"loud\"\n",
            "config.toml line 3: log level \"loud\"",
        ),
        (
            "[redact]\noff = [\"bearers\"]",
            "config.toml line 2: form of secrets \"bearers\"",
        ),
        (
            "[redact]\nalso = [\"(\"]",
            "config.toml line 2: pattern \"(\"",
        ),
        (
            "sources = [\n \"modal:\",\n]",
            "config.toml line 1: source \"modal:…\"",
        ),
    ] {
        let told = place.mistake(text);
        assert!(told.contains(expected), "{told}\n{expected}");
    }
    let place = place.with("BEACON_BATCH_ROWS", "many");
    let told = place.mistake("");
    assert_eq!(
        told,
        "environment variable BEACON_BATCH_ROWS: expected a number"
    );
}

#[test]
fn no_mistake_and_no_setting_shows_a_secret() {
    let place = Place::new();
    let word = ["hun", "ter2"].concat();
    for text in [
        format!("databse = \"postgres://me:{word}@db.example/x\""),
        format!("http = \"{word}\""),
        format!("[http]\ntokens = \"{word}\""),
        format!("sources = [\"postgres://me:{word}@db.example/x\"]"),
        format!("database = \"postgres://me:{word}@db.example/x\" oops"),
    ] {
        let told = place.mistake(&text);
        assert!(!told.contains(&word), "{told}");
    }
    let config = place.config(&format!(
        "database = \"postgres://me:{word}@db.example/x\"\nsources = [\"https://me:{word}@logs.example/x\"]"
    ));
    for setting in &config.settings {
        assert!(!format!("{setting:?}").contains(&word), "{setting:?}");
    }
}

#[test]
fn what_has_changed_is_named_by_key() {
    let place = Place::new();
    let before = place.config("deadline_seconds = 5").settings;
    let after = place
        .config("[log]\nlevel = \"debug\"\n[batch]\nrows = 9")
        .settings;
    assert_eq!(
        changed(&before, &after),
        ["batch.rows", "deadline_seconds", "log.level"]
    );
    assert!(changed(&after, &after).is_empty());
}
