//! The configuration on the command line: an example of it, and what is in force.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;

use super::serve;
use crate::cli::ConfigAction;
use crate::config::{Config, EXAMPLE};
use crate::http::Tokens;
use crate::render;

/// Works on the configuration file.
pub(super) fn config(action: ConfigAction) -> anyhow::Result<()> {
    match action {
        ConfigAction::Init => Ok(render::print(EXAMPLE)?),
    }
}

/// Shows what is in force; mistakes have ended the process before.
pub(super) fn check(config: &Config, file: Option<&Path>, json: bool) -> anyhow::Result<()> {
    Tokens::read(&serve::sources(&config.http)?).map_err(serve::refused)?;
    let text = if json {
        let file = file.map(|path| path.display().to_string());
        format!(
            "{:#}\n",
            json!({ "file": file, "settings": config.settings })
        )
    } else {
        in_words(config, file)
    };
    Ok(render::print(&text)?)
}

fn in_words(config: &Config, file: Option<&Path>) -> String {
    let mut text = match file {
        Some(path) => format!("{} has no mistake; in force are:\n", path.display()),
        None => "no configuration file; in force are:\n".to_owned(),
    };
    let of_key = config.settings.iter().map(|setting| setting.key.len());
    let width = of_key.max().unwrap_or_default();
    for setting in &config.settings {
        let value = setting.value.as_deref().unwrap_or("-");
        // Writing to a String can't fail.
        let _ = writeln!(
            text,
            "{:width$}  {value}  ({})",
            setting.key, setting.origin
        );
    }
    text
}
