//! What only the embedded store has: a file, and who may read it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use beacon_collector::store::{self, StoreError};

use crate::support::lines::{batch, start};

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn the_file_and_its_directory_are_made_and_are_their_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("state/deep/beacon.db");
    let store = store::open(&format!("sqlite:{}", file.display()))
        .await
        .unwrap();
    store.migrate().await.unwrap();
    store.write(&batch([start("abc12345", 0)])).await.unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let file = format!("{}{suffix}", file.display());
        assert_eq!(mode(Path::new(&file)), 0o600, "{file}");
    }
    assert_eq!(mode(file.parent().unwrap()), 0o700);
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_named() {
    let err = store::open("sqlite:/proc/no/beacon.db").await.unwrap_err();
    assert!(matches!(err, StoreError::Configuration(_)), "{err}");
    assert!(err.to_string().contains("/proc/no/beacon.db"), "{err}");
}

#[tokio::test]
async fn a_url_that_names_no_file_is_refused() {
    for url in [
        "sqlite:",
        "sqlite::memory:",
        "sqlite://",
        "beacon.db",
        "mysql://host/db",
    ] {
        let err = store::open(url).await.unwrap_err();
        assert!(matches!(err, StoreError::Configuration(_)), "{url}: {err}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("beacon.db");
    std::fs::write(&file, "not a database ".repeat(1_000)).unwrap();
    let url = format!("sqlite:{}", file.display());
    let err = match store::open(&url).await {
        Ok(store) => store.migrate().await.unwrap_err(),
        Err(err) => err,
    };
    assert!(matches!(err, StoreError::Refused { .. }), "{err}");
}

#[tokio::test]
async fn two_processes_write_to_one_file_in_turn() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", dir.path().join("beacon.db").display());
    store::open(&url).await.unwrap().migrate().await.unwrap();
    let tasks: Vec<_> = (0..4)
        .map(|writer| {
            let url = url.clone();
            tokio::spawn(async move {
                let store = store::open(&url).await.unwrap();
                for number in 0..25 {
                    let id = format!("{writer:04x}{number:04x}");
                    let written = store.write(&batch([start(&id, 0)])).await.unwrap();
                    assert_eq!(written.inserted, 1);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}
