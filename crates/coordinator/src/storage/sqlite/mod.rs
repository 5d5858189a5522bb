//! SQLite: one writer, many readers, every acknowledged change synced.
//!
//! All writes go through one connection whose transactions begin with `BEGIN IMMEDIATE`, so they are
//! serialised without ever failing as busy. The journal is a write-ahead log, so readers see the latest
//! committed state and never wait. `synchronous=FULL` syncs the log at each commit. A lock file beside the
//! database keeps a second coordinator out.

mod convert;
mod reads;
mod rows;
#[cfg(test)]
mod tests;
mod writes;

use std::borrow::Cow;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use super::{Error, Result};

/// Readers beside the one writer.
const READERS: u32 = 4;

/// The numbered migrations, oldest first. Those that were released are never changed.
const MIGRATIONS: [(i64, &str, &str); 3] = [
    (1, "initial", include_str!("migrations/0001_initial.sql")),
    (2, "pictures", include_str!("migrations/0002_pictures.sql")),
    (3, "places of checkpoints", include_str!("migrations/0003_places_of_checkpoints.sql")),
];

/// A coordinator's database in one SQLite file.
pub struct SqliteStorage {
    writer: SqlitePool,
    readers: SqlitePool,
    name: String,
    _lock: File,
}

impl SqliteStorage {
    /// Opens `sqlite:PATH`, making the file (and its folder) where missing, and brings its schema up to date.
    ///
    /// # Errors
    /// The location is faulty, the file cannot be used, another coordinator uses it, or a newer program wrote it.
    pub async fn open(location: &str) -> Result<Self> {
        let path = path_of(location)?;
        let lock = lock_beside(&path)?;
        let name = format!("sqlite:{}", path.display());
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(30));
        let opening = "open it";
        let fail = |error| backend(&name, opening, error);
        // Connections are kept for good: closing the last one would fold the write-ahead log at odd moments.
        let pool = || SqlitePoolOptions::new().idle_timeout(None).max_lifetime(None);
        let writer = pool()
            .max_connections(1)
            .min_connections(1)
            // Undoes what was not committed; after a commit there is nothing to undo, and it says so.
            .after_release(|connection, _| {
                Box::pin(async {
                    let _ = sqlx::query("ROLLBACK").execute(connection).await;
                    Ok(true)
                })
            })
            .connect_with(options.clone())
            .await
            .map_err(fail)?;
        migrate(&writer, &name).await?;
        let readers = pool()
            .max_connections(READERS)
            .connect_with(options.read_only(true).create_if_missing(false))
            .await
            .map_err(fail)?;
        Ok(Self { writer, readers, name, _lock: lock })
    }

    /// Closes all connections, after folding the write-ahead log into the database.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

fn path_of(location: &str) -> Result<PathBuf> {
    let fail = |reason: &str| Error::Location { location: location.to_owned(), reason: reason.to_owned() };
    let path = location.strip_prefix("sqlite:").ok_or_else(|| fail("must look like sqlite:PATH"))?;
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path == ":memory:" {
        return Err(fail("must name a file: sqlite:PATH"));
    }
    Ok(PathBuf::from(path))
}

/// Locks `PATH.lock` for as long as the file is open. The system frees it when the process dies.
fn lock_beside(path: &Path) -> Result<File> {
    let fail = |reason: String| Error::Location { location: format!("sqlite:{}", path.display()), reason };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|error| fail(format!("has a folder that cannot be made: {error}")))?;
    }
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock_path)
        .map_err(|error| fail(format!("cannot be locked through {}: {error}", lock_path.display())))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Error::InUse { database: format!("sqlite:{}", path.display()) }),
        Err(TryLockError::Error(error)) => {
            Err(fail(format!("cannot be locked through {}: {error}", lock_path.display())))
        }
    }
}

async fn migrate(writer: &SqlitePool, name: &str) -> Result<()> {
    let migrations = MIGRATIONS.map(|(version, description, sql)| {
        let sql = sqlx::SqlSafeStr::into_sql_str(sql);
        Migration::new(version, description.into(), MigrationType::Simple, sql, false)
    });
    let migrator = Migrator { migrations: Cow::Owned(migrations.into()), ..Migrator::DEFAULT };
    match migrator.run(writer).await {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..)) => {
            Err(Error::NewerSchema { database: name.to_owned() })
        }
        Err(error) => Err(Error::Backend {
            database: name.to_owned(),
            action: "bring its schema up to date",
            source: error.into(),
        }),
    }
}

/// An error of the database, with a full disk told apart.
fn backend(database: &str, action: &'static str, error: sqlx::Error) -> Error {
    const SQLITE_FULL: &str = "13";
    let database = database.to_owned();
    let full = error.as_database_error().is_some_and(|error| error.code().as_deref() == Some(SQLITE_FULL));
    let source = error.into();
    if full { Error::Full { database, source } } else { Error::Backend { database, action, source } }
}
