//! The closed set of error codes, one table to gRPC status, HTTP and exit code, and the error that
//! crosses process borders with its structured field violations.

use prost::Message as _;
use tonic::{Code, Status};

use crate::proto::common::v1 as wire;

/// What went wrong, for programs. Add to it with thought: retries, dashboards and scripts key on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorCode {
    /// The request or file is faulty; see the violations.
    InvalidArgument,
    /// Something that was named is not there.
    NotFound,
    /// It clashes with what exists (an idempotency key used with other content, a port in use).
    Conflict,
    /// The state of the thing does not allow it.
    FailedPrecondition,
    /// The lease is no longer the worker's.
    StaleFence,
    /// Bytes do not match their digest, or a file is damaged.
    Corrupt,
    /// Written by a newer version of the program.
    NewerSchema,
    /// A limit on size, number, memory or disk was reached.
    ResourceExhausted,
    /// A peer or the store cannot be reached now.
    Unavailable,
    /// Somebody asked for it to stop.
    Cancelled,
    /// A loss or an output became NaN or infinite.
    NonFinite,
    /// A fault of the program itself.
    Internal,
}

/// One row of the table: code, name, gRPC, HTTP, exit code, worth another try.
type Row = (ErrorCode, &'static str, Code, u16, u8, bool);

const TABLE: [Row; 12] = [
    (ErrorCode::InvalidArgument, "invalid_argument", Code::InvalidArgument, 400, 2, false),
    (ErrorCode::NotFound, "not_found", Code::NotFound, 404, 3, false),
    (ErrorCode::Conflict, "conflict", Code::AlreadyExists, 409, 4, false),
    (ErrorCode::FailedPrecondition, "failed_precondition", Code::FailedPrecondition, 412, 5, false),
    (ErrorCode::StaleFence, "stale_fence", Code::FailedPrecondition, 412, 5, false),
    (ErrorCode::Corrupt, "corrupt", Code::DataLoss, 500, 6, false),
    (ErrorCode::NewerSchema, "newer_schema", Code::FailedPrecondition, 412, 7, false),
    (ErrorCode::ResourceExhausted, "resource_exhausted", Code::ResourceExhausted, 429, 8, true),
    (ErrorCode::Unavailable, "unavailable", Code::Unavailable, 503, 9, true),
    (ErrorCode::Cancelled, "cancelled", Code::Cancelled, 499, 10, false),
    (ErrorCode::NonFinite, "non_finite", Code::Aborted, 422, 11, false),
    (ErrorCode::Internal, "internal", Code::Internal, 500, 1, true),
];

impl ErrorCode {
    fn row(self) -> &'static Row {
        // The table has one row per code; a test holds it to that.
        TABLE.iter().find(|row| row.0 == self).unwrap_or(&TABLE[TABLE.len() - 1])
    }

    /// All codes, in the table's order.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.0)
    }

    /// The name that goes over the wire and into documents.
    pub fn as_str(self) -> &'static str {
        self.row().1
    }

    /// The code of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// The gRPC status code.
    pub fn grpc(self) -> Code {
        self.row().2
    }

    /// The HTTP status code.
    pub fn http(self) -> u16 {
        self.row().3
    }

    /// The exit code of a command.
    pub fn exit_code(self) -> u8 {
        self.row().4
    }

    /// Whether the same attempt may succeed later.
    pub fn retryable(self) -> bool {
        self.row().5
    }

    fn from_grpc(code: Code) -> Self {
        match code {
            Code::DeadlineExceeded => Self::Unavailable,
            Code::Unimplemented => Self::FailedPrecondition,
            _ => TABLE.iter().find(|row| row.2 == code).map_or(Self::Internal, |row| row.0),
        }
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// One fault of a request or file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Path of the field, as it is written in the request or file.
    pub field: String,
    /// What is wrong with it, and what would be right.
    pub description: String,
}

impl Violation {
    /// A fault at `field`.
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { field: field.into(), description: description.into() }
    }
}

/// An error that crosses process borders.
#[derive(Clone, Debug)]
pub struct ApiError {
    /// For programs.
    pub code: ErrorCode,
    /// What was wrong, with which file or field.
    pub message: String,
    /// What to do next.
    pub help: Option<String>,
    /// Every fault of the request.
    pub violations: Vec<Violation>,
}

impl ApiError {
    /// An error of this code.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: None, violations: Vec::new() }
    }

    /// An `invalid_argument` with all its faults.
    pub fn invalid(message: impl Into<String>, violations: Vec<Violation>) -> Self {
        Self { violations, ..Self::new(ErrorCode::InvalidArgument, message) }
    }

    /// Adds what to do next.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Reads the error of a call. A status of another program keeps its message and nearest code.
    pub fn from_status(status: &Status) -> Self {
        let detail = wire::ErrorDetail::decode(status.details()).ok();
        match detail.and_then(|detail| Some((ErrorCode::from_name(&detail.code)?, detail))) {
            Some((code, detail)) => Self {
                code,
                message: status.message().to_owned(),
                help: Some(detail.help).filter(|help| !help.is_empty()),
                violations: detail
                    .violations
                    .into_iter()
                    .map(|violation| Violation::new(violation.field, violation.description))
                    .collect(),
            },
            None => Self::new(ErrorCode::from_grpc(status.code()), status.message()),
        }
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.message)?;
        for violation in &self.violations {
            write!(formatter, "\n  {}: {}", violation.field, violation.description)?;
        }
        if let Some(help) = &self.help {
            write!(formatter, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ApiError {}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        let detail = wire::ErrorDetail {
            code: error.code.as_str().to_owned(),
            violations: error
                .violations
                .into_iter()
                .map(|violation| wire::FieldViolation {
                    field: violation.field,
                    description: violation.description,
                })
                .collect(),
            help: error.help.unwrap_or_default(),
        };
        Status::with_details(error.code.grpc(), error.message, detail.encode_to_vec().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_row_and_name() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.0 as usize, index);
            assert_eq!(ErrorCode::from_name(row.1), Some(row.0));
        }
    }

    #[test]
    fn an_error_survives_the_wire() {
        let violation = Violation::new("jobs.train.epochs", "must be at least 1");
        let error = ApiError::invalid("bad pipeline", vec![violation.clone()]).help("see docs/pipelines.md");
        let back = ApiError::from_status(&Status::from(error));
        assert_eq!(back.code, ErrorCode::InvalidArgument);
        assert_eq!(back.message, "bad pipeline");
        assert_eq!(back.violations, [violation]);
        assert_eq!(back.help.as_deref(), Some("see docs/pipelines.md"));
    }
}
