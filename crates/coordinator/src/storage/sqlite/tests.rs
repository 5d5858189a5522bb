//! SQLite runs the conformance suite, and what only a file can show.

use counterstain_api::Digest;
use tempfile::TempDir;

use super::SqliteStorage;
use crate::storage::conformance::all_checks;
use crate::storage::{Artifact, Error, Storage as _};

async fn open() -> (SqliteStorage, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let storage = SqliteStorage::open(&location(&folder)).await.unwrap();
    (storage, folder)
}

fn location(folder: &TempDir) -> String {
    format!("sqlite:{}", folder.path().join("new/coordinator.sqlite").display())
}

all_checks!(open);

#[tokio::test]
async fn a_second_coordinator_is_kept_out() {
    let (storage, folder) = open().await;
    let refused = SqliteStorage::open(&location(&folder)).await.err();
    assert!(matches!(refused, Some(Error::InUse { .. })), "{refused:?}");
    storage.close().await;
    drop(storage);
    SqliteStorage::open(&location(&folder)).await.unwrap();
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused() {
    let (storage, folder) = open().await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (9999, 'from the future', TRUE, x'00', 0)";
    sqlx::query(newer).execute(&storage.writer).await.unwrap();
    storage.close().await;
    drop(storage);
    let refused = SqliteStorage::open(&location(&folder)).await.err();
    assert!(matches!(refused, Some(Error::NewerSchema { .. })), "{refused:?}");
}

#[tokio::test]
async fn locations_that_name_no_file_are_refused() {
    for location in ["postgres://x", "sqlite:", "sqlite::memory:", "/plain/path"] {
        assert!(
            matches!(SqliteStorage::open(location).await.err(), Some(Error::Location { .. })),
            "{location}"
        );
    }
}

#[tokio::test]
async fn changes_are_synced_when_they_are_acknowledged() {
    let (storage, _folder) = open().await;
    let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&storage.writer).await.unwrap();
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&storage.writer).await.unwrap();
    assert_eq!((synchronous, journal.as_str()), (2, "wal"));
    assert_eq!(storage.revision().await.unwrap(), 0);
}

#[tokio::test]
async fn a_full_disk_is_said_and_what_was_written_stays() {
    let (storage, _folder) = open().await;
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&storage.writer).await.unwrap();
    // SQLite's own limit answers as a full disk does.
    let limit = format!("PRAGMA max_page_count = {}", pages + 8);
    sqlx::query(sqlx::AssertSqlSafe(limit)).execute(&storage.writer).await.unwrap();
    let artifact = |number: u32| Artifact {
        digest: Digest::of(&number.to_le_bytes()),
        kind: "result".to_owned(),
        key: None,
        manifest: "x".repeat(4_000),
        inputs: Vec::new(),
        job: None,
        created_at: 0,
        tags: Vec::new(),
        cursor: 0,
    };
    let mut kept = 0;
    let refused = loop {
        let mut transaction = storage.begin().await.unwrap();
        let outcome = async {
            transaction.put_artifact(&artifact(kept)).await?;
            transaction.commit().await
        };
        match outcome.await {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::Full { .. }), "{refused}");
    assert!(kept > 0);
    for number in 0..=kept {
        let known = storage.artifact(&Digest::of(&number.to_le_bytes())).await.unwrap();
        assert_eq!(known.is_some(), number < kept);
    }
    sqlx::query("PRAGMA max_page_count = 100000").execute(&storage.writer).await.unwrap();
    let mut transaction = storage.begin().await.unwrap();
    transaction.put_artifact(&artifact(kept)).await.unwrap();
    transaction.commit().await.unwrap();
}
