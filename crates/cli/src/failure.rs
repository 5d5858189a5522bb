//! How a command ends: message to stderr, exit code by the closed set of error codes.

use counterstain_api::error::{ApiError, ErrorCode};

use crate::import::ImportError;

/// The code of an error of a command.
pub fn code_of(error: &anyhow::Error) -> ErrorCode {
    if let Some(api) = error.downcast_ref::<ApiError>() {
        return api.code;
    }
    if let Some(store) = error.downcast_ref::<counterstain_artifact::Error>() {
        return store.code();
    }
    match error.downcast_ref::<ImportError>() {
        Some(ImportError::Interrupted) => ErrorCode::Cancelled,
        Some(ImportError::Read { .. }) => ErrorCode::NotFound,
        Some(ImportError::Store(store)) => store.code(),
        Some(_) => ErrorCode::InvalidArgument,
        None => ErrorCode::Internal,
    }
}

/// Prints an error as text, or as JSON with its code and violations, and gives the exit code.
pub fn report(error: &anyhow::Error, json: bool) -> u8 {
    let code = code_of(error);
    if json {
        let api = error.downcast_ref::<ApiError>();
        let violations: Vec<serde_json::Value> = api
            .map(|api| {
                let faults = api.violations.iter();
                faults
                    .map(
                        |fault| serde_json::json!({ "field": fault.field, "description": fault.description }),
                    )
                    .collect()
            })
            .unwrap_or_default();
        let message = api.map_or_else(|| format!("{error:#}"), |api| api.message.clone());
        let document = serde_json::json!({
            "error": { "code": code.as_str(), "message": message, "violations": violations,
                       "help": api.and_then(|api| api.help.clone()) }
        });
        eprintln!("{document}");
    } else {
        eprintln!("error: {error:#}");
    }
    code.exit_code()
}

/// A refused call of the coordinator, as an error of a command.
pub fn refused(status: tonic::Status) -> anyhow::Error {
    ApiError::from_status(&status).into()
}

/// An error of a code, as an error of a command.
pub fn fail(code: ErrorCode, message: impl Into<String>) -> anyhow::Error {
    ApiError::new(code, message).into()
}
