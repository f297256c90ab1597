//! The commit that a build puts into `--version`.

use std::path::Path;
use std::process::Command;

#[path = "../../build.rs"]
#[expect(
    clippy::print_stdout,
    dead_code,
    reason = "its main belongs to cargo, which reads what it prints"
)]
mod build;

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.invalid"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_build_is_named_by_its_checkout_and_says_when_that_was_changed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    git(root, &["init", "-q"]);
    std::fs::write(root.join("file"), "one").unwrap();
    git(root, &["add", "file"]);
    git(root, &["commit", "-q", "-m", "one"]);
    let commit = git(root, &["rev-parse", "--short=12", "HEAD"]);
    assert_eq!(build::commit(root), Some(commit.clone()));
    std::fs::write(root.join("file"), "two").unwrap();
    assert_eq!(build::commit(root), Some(format!("{commit}-dirty")));
    // A source archive that was unpacked somewhere in it is not that checkout.
    let archive = root.join("archive");
    std::fs::create_dir(&archive).unwrap();
    assert_eq!(build::commit(&archive), None);
}

#[test]
fn an_archive_is_named_by_the_commit_that_git_wrote_into_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let kept = std::fs::read_to_string(root.join(".commit")).unwrap();
    let attributes = std::fs::read_to_string(root.join(".gitattributes")).unwrap();
    assert!(attributes.contains("/.commit export-subst"));
    let hash = "0123456789abcdef0123456789abcdef01234567";
    let filled = kept.replace("$Format:%H$", hash);
    assert_eq!(build::archived(&filled).as_deref(), Some("0123456789ab"));
    assert_eq!(build::archived("$Format:%H$\n"), None);
}
