//! SQLite runs the conformance suite, and what only a file can show.

use tempfile::TempDir;

use super::SqliteStorage;
use crate::storage::conformance::all_checks;
use crate::storage::{Error, Storage as _};

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
    let Err(refused) = SqliteStorage::open(&location(&folder)).await else { panic!("it was let in") };
    assert!(refused.to_string().contains("in use by another coordinator"), "{refused}");
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
