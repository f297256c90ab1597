//! Puts the commit into the version of a release build. A debug build names none: it would be built anew
//! after every commit.

use std::path::Path;
use std::process::Command;

/// What `git archive` filled in; in a checkout it still holds the placeholder.
const ARCHIVED: &str = include_str!(".commit");

fn main() {
    println!("cargo::rerun-if-env-changed=BEACON_COMMIT");
    println!("cargo::rerun-if-changed=build.rs");
    let root = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let root = Path::new(&root);
    let given = std::env::var("BEACON_COMMIT").ok();
    let release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = match given {
        Some(commit) => Some(commit),
        None if release => {
            // The first two move with every commit and checkout; what is built from tells of changes since.
            let watched = [
                ".git/HEAD",
                ".git/logs/HEAD",
                "src",
                "parsers/src",
                "migrations",
            ];
            for path in watched.map(|path| root.join(path)) {
                if path.exists() {
                    println!("cargo::rerun-if-changed={}", path.display());
                }
            }
            commit(root).or_else(|| archived(ARCHIVED))
        }
        None => None,
    };
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    match commit.filter(|commit| !commit.is_empty()) {
        Some(commit) => println!("cargo::rustc-env=BEACON_VERSION={version} ({commit})"),
        None => println!("cargo::rustc-env=BEACON_VERSION={version}"),
    }
}

/// The commit of the checkout at `root`, with `-dirty` behind it when files were changed. `None` in a source
/// archive, also in one that lies within the checkout of something else, and without git.
pub(crate) fn commit(root: &Path) -> Option<String> {
    if !root.join(".git").exists() {
        return None;
    }
    let said = Command::new("git")
        .args([
            "describe",
            "--always",
            "--dirty",
            "--abbrev=12",
            "--exclude=*",
        ])
        .current_dir(root)
        .output()
        .ok()?;
    let text = String::from_utf8(said.stdout).ok()?;
    let commit = text.trim();
    (said.status.success() && !commit.is_empty()).then(|| commit.to_owned())
}

/// The commit that an archive was made of.
pub(crate) fn archived(text: &str) -> Option<String> {
    let commit = text.trim();
    let hash = commit.len() >= 12 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    hash.then(|| commit.chars().take(12).collect())
}
