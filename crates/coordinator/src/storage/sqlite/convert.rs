//! Between columns and the types of the machine. What does not parse names its column.

use std::str::FromStr;

use counterstain_api::error::ErrorCode;
use counterstain_api::proto::job::v1::JobKind;
use counterstain_api::{Digest, Profile, spec};
use serde_json::Value;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::machine::{Checkpoint, Failure, JobState, Lease, Level, Part, PartState};
use crate::storage::{Error, Result};

/// A column as text that parses.
pub(super) fn parsed<T: FromStr>(row: &SqliteRow, column: &'static str) -> Result<T> {
    let text: String = get(row, column)?;
    text.parse().map_err(|_| faulty(column, text))
}

/// A column as text that parses, where there is one.
pub(super) fn parsed_opt<T: FromStr>(row: &SqliteRow, column: &'static str) -> Result<Option<T>> {
    let text: Option<String> = get(row, column)?;
    text.map(|text| text.parse().map_err(|_| faulty(column, text))).transpose()
}

/// A column as it is.
pub(super) fn get<'row, T>(row: &'row SqliteRow, column: &'static str) -> Result<T>
where
    T: sqlx::Decode<'row, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    row.try_get(column).map_err(|error| faulty(column, error.to_string()))
}

/// A column that is not negative.
pub(super) fn unsigned(row: &SqliteRow, column: &'static str) -> Result<u64> {
    let value: i64 = get(row, column)?;
    u64::try_from(value).map_err(|_| faulty(column, value.to_string()))
}

/// A column that fits 32 bits.
pub(super) fn unsigned_32(row: &SqliteRow, column: &'static str) -> Result<u32> {
    let value: i64 = get(row, column)?;
    u32::try_from(value).map_err(|_| faulty(column, value.to_string()))
}

/// A column that is not negative, where there is one.
pub(super) fn unsigned_opt(row: &SqliteRow, column: &'static str) -> Result<Option<u64>> {
    let value: Option<i64> = get(row, column)?;
    value.map(|value| u64::try_from(value).map_err(|_| faulty(column, value.to_string()))).transpose()
}

/// A column as JSON.
pub(super) fn json<T: serde::de::DeserializeOwned>(row: &SqliteRow, column: &'static str) -> Result<T> {
    let text: String = get(row, column)?;
    serde_json::from_str(&text).map_err(|_| faulty(column, text))
}

/// A column as a profile, where there is one.
pub(super) fn profile_opt(row: &SqliteRow, column: &'static str) -> Result<Option<Profile>> {
    let text: Option<String> = get(row, column)?;
    text.map(|text| serde_json::from_str(&text).map_err(|_| faulty(column, text))).transpose()
}

/// The text of a profile: equal profiles have equal texts.
pub(super) fn profile_text(profile: &Profile) -> String {
    to_text(profile)
}

/// Any value as JSON text.
pub(super) fn to_text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("values made here have string keys")
}

/// Ids as a JSON list, for `json_each`.
pub(super) fn id_list(ids: &[Uuid]) -> String {
    to_text(&ids.iter().map(Uuid::to_string).collect::<Vec<_>>())
}

/// A number as SQLite keeps it. What is greater than it can hold is held at the greatest: such steps and
/// times do not occur, and the edge refuses them.
pub(super) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A list of JSON rows, for `json_each`.
pub(super) fn rows(values: impl Iterator<Item = Value>) -> String {
    Value::Array(values.collect()).to_string()
}

pub(super) fn state(row: &SqliteRow) -> Result<JobState> {
    let name: String = get(row, "state")?;
    JobState::from_name(&name).ok_or_else(|| faulty("state", name))
}

pub(super) fn kind(name: &str) -> Result<JobKind> {
    spec::kind_from_name(name).ok_or_else(|| faulty("kind", name.to_owned()))
}

pub(super) fn level(row: &SqliteRow) -> Result<Level> {
    let name: String = get(row, "level")?;
    Level::from_name(&name).ok_or_else(|| faulty("level", name))
}

pub(super) fn failure(row: &SqliteRow) -> Result<Option<Failure>> {
    let code: Option<String> = get(row, "failure_code")?;
    let Some(code) = code else { return Ok(None) };
    let message: Option<String> = get(row, "failure_message")?;
    let known = ErrorCode::from_name(&code).ok_or_else(|| faulty("failure_code", code))?;
    Ok(Some(Failure::new(known, message.unwrap_or_default())))
}

pub(super) fn part(row: &SqliteRow) -> Result<Part> {
    let name: String = get(row, "state")?;
    let state = match name.as_str() {
        "pending" => PartState::Pending { not_before: unsigned_opt(row, "not_before")?.unwrap_or_default() },
        "leased" => PartState::Leased(Lease {
            worker: parsed(row, "worker_id")?,
            expires_at: unsigned(row, "expires_at")?,
        }),
        "done" => PartState::Done { output: parsed(row, "output")? },
        "failed" => PartState::Failed,
        _ => return Err(faulty("state", name)),
    };
    let checkpoint = match parsed_opt::<Digest>(row, "checkpoint")? {
        Some(digest) => {
            let (step, fence) = (unsigned(row, "checkpoint_step")?, unsigned(row, "checkpoint_fence")?);
            Some(Checkpoint { digest, step, fence })
        }
        None => None,
    };
    Ok(Part {
        state,
        fence: unsigned(row, "fence")?,
        checkpoint,
        failures: unsigned_32(row, "failures")?,
        lost: unsigned_32(row, "lost")?,
    })
}

pub(super) fn faulty(column: &'static str, value: String) -> Error {
    Error::Faulty { column, value }
}
