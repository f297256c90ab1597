//! `service install`, `uninstall` and `status`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};

use crate::cli::{ServiceAction, ServiceArguments};
use crate::config::{ConfigError, EXAMPLE, SourceSpec};
use crate::render;
use crate::service::{Instance, Kind, Place, Plan, ServiceState, Step};

/// Does what was asked for, or prints it.
pub(super) fn service(action: ServiceAction) -> anyhow::Result<()> {
    let (plan, dry_run) = match action {
        ServiceAction::Install {
            sources,
            place: asked,
        } => {
            let place = place(&asked)?;
            let config = first_config(&sources, place.instance.as_ref())?;
            let plan = place
                .install(&config, !sources.is_empty() || place.instance.is_some())
                .map_err(|reason| anyhow!(reason))?;
            (plan, asked.dry_run)
        }
        ServiceAction::Uninstall(asked) => (place(&asked)?.uninstall(), asked.dry_run),
        ServiceAction::Status(asked) if !asked.dry_run => return status(&place(&asked)?),
        ServiceAction::Status(asked) => (place(&asked)?.status(), true),
    };
    if dry_run {
        return Ok(render::print(&plan.to_string())?);
    }
    carry_out(&plan)
}

fn carry_out(plan: &Plan) -> anyhow::Result<()> {
    plan.carry_out(|step| eprintln!("{step}"))
        .map_err(|reason| anyhow!(reason))
}

/// Prints what the manager says of the service; one that does not run is an error.
fn status(place: &Place) -> anyhow::Result<()> {
    let name = place.name();
    let file = match place.installed() {
        Some(unit) => unit.display().to_string(),
        None => format!("none; {} would be it", place.unit().display()),
    };
    let plan = place.status();
    let [Step::Run(words, _)] = plan.0.as_slice() else {
        return Ok(());
    };
    let asked = words.join(" ");
    let output = std::process::Command::new(&words[0])
        .args(&words[1..])
        .output()
        .with_context(|| format!("cannot run {}; it is the service manager's", words[0]))?;
    let (shown, why) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    if !output.status.success() {
        return Err(anyhow!(
            "`{asked}` failed: {}; the file of {name}: {file}",
            why.trim()
        ));
    }
    let state = ServiceState::read(&name, &shown);
    let (text, runs) = match place.kind {
        Kind::Launchd => (shown.to_string(), true),
        kind => (state.in_words(kind == Kind::User), state.is_running()),
    };
    render::print(&format!("{text}file: {file}\n"))?;
    match runs {
        true => Ok(()),
        false => Err(anyhow!("{name} does not run")),
    }
}

/// Where the service of this machine and user is.
pub(super) fn place(asked: &ServiceArguments) -> anyhow::Result<Place> {
    let is_root = nix::unistd::geteuid().is_root();
    let kind = match (cfg!(target_os = "macos"), asked.user, asked.system) {
        (true, _, true) => {
            return Err(anyhow!(
                "on macOS the service is an agent of the user; leave --system away"
            ));
        }
        (true, ..) => Kind::Launchd,
        (false, true, _) => Kind::User,
        (false, false, system) if system || is_root => Kind::System,
        _ => Kind::User,
    };
    if asked.root.is_some() && kind != Kind::System {
        return Err(anyhow!(
            "--root is for services of the machine; leave --user away"
        ));
    }
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let home = match kind {
        Kind::System => home.unwrap_or_else(|| "/root".into()),
        _ => home.context("HOME is not set; there is no place for a service of this user")?,
    };
    let config_home = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .unwrap_or_else(|| home.join(".config"));
    let program = std::env::current_exe().context("cannot find the program's own path")?;
    // In an image the program has the path that it will have there.
    let root = asked.root.as_deref().map(std::fs::canonicalize).transpose();
    let root = root.context("the folder of --root can't be used")?;
    let inside = root
        .as_ref()
        .and_then(|root| program.strip_prefix(root).ok());
    let program = inside.map_or(program.clone(), |inside| Path::new("/").join(inside));
    Ok(Place {
        kind,
        instance: asked.instance.clone(),
        program,
        home,
        config_home,
        user: nix::unistd::geteuid().as_raw(),
        root,
        booted: sd_notify::booted().unwrap_or(false),
    })
}

/// The example with the sources in it. An instance collects from the app of its name and, because one
/// address can be taken by one process only, serves nothing.
fn first_config(sources: &[String], instance: Option<&Instance>) -> Result<String, ConfigError> {
    let mut sources = sources.to_vec();
    if let (Some(instance), true) = (instance, sources.is_empty()) {
        sources.push(format!("modal:{instance}"));
    }
    for source in &sources {
        source.parse::<SourceSpec>()?;
    }
    let mut text = EXAMPLE.to_owned();
    if !sources.is_empty() {
        let list = serde_json::Value::from(sources);
        text = text.replace("\n#sources = []\n", &format!("\nsources = {list}\n"));
    }
    if instance.is_some() {
        text = text.replace("\n#listen = \"127.0.0.1:7410\"\n", "\nlisten = \"none\"\n");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_configuration_names_the_sources() {
        let sources = ["modal:app".to_owned(), "file:/var/log/\"x\".log".to_owned()];
        let text = first_config(&sources, None).unwrap();
        let table: toml::Table = toml::from_str(&text).unwrap();
        assert_eq!(table["sources"], toml::Value::from(sources.to_vec()));
        assert!(first_config(&["nonsense".to_owned()], None).is_err());
    }

    #[test]
    fn that_of_an_instance_collects_from_its_app_and_serves_nothing() {
        let instance: Instance = "my-app".parse().unwrap();
        let text = first_config(&[], Some(&instance)).unwrap();
        let table: toml::Table = toml::from_str(&text).unwrap();
        assert_eq!(table["sources"][0].as_str(), Some("modal:my-app"));
        assert_eq!(table["listen"].as_str(), Some("none"));
    }
}
