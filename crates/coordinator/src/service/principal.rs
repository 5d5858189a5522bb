//! Who calls. There is only the local principal yet; every handler receives it all the same, so that
//! authentication has one place to go to: [`identify`].

use counterstain_api::error::{ApiError, ErrorCode};
use tonic::{Request, Status};

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Submits, reads, cancels, retries and tags.
    Operator,
    /// Takes leases and reports.
    Worker,
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Name, in whose scope idempotency keys are.
    pub name: String,
    /// What it may do.
    pub roles: Vec<Role>,
}

impl Principal {
    /// Whoever can reach a coordinator that asks for no credentials.
    pub fn local() -> Self {
        Self { name: "local".to_owned(), roles: vec![Role::Operator, Role::Worker] }
    }
}

/// Gives every request its principal.
///
/// # Errors
/// None yet: everybody is local.
#[allow(clippy::result_large_err, reason = "the signature of tonic's interceptors")]
pub fn identify(mut request: Request<()>) -> Result<Request<()>, Status> {
    request.extensions_mut().insert(Principal::local());
    Ok(request)
}

/// The principal of a request that operators and workers may make.
pub(super) fn anyone<T>(request: &Request<T>) -> Result<Principal, ApiError> {
    let principal = request.extensions().get::<Principal>().ok_or_else(|| {
        ApiError::new(
            ErrorCode::Internal,
            "the request carries no principal; the server is put together wrongly",
        )
    })?;
    Ok(principal.clone())
}

/// The principal of a request, which must have the role.
pub(super) fn require<T>(request: &Request<T>, role: Role) -> Result<Principal, ApiError> {
    let principal = anyone(request)?;
    if principal.roles.contains(&role) {
        return Ok(principal);
    }
    let message = format!("{} may not do this: it takes the role {role:?}", principal.name);
    Err(ApiError::new(ErrorCode::FailedPrecondition, message))
}
