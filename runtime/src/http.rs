//! What the HTTP APIs of ours have in common: problem documents, bounded JSON bodies, roles.

use crate::mtls::{PeerRole, Role, RoleKind};
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode, request::Parts};
use plenum_protocol::problem::{self, Code, Problem};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Longest time that a request body may take.
const BODY_DEADLINE: Duration = Duration::from_secs(20);

/// A [`Problem`] as a response (`application/problem+json`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProblemResponse(pub Problem);

impl ProblemResponse {
    /// A problem with the status and title of `code`.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self(Problem::new(code, detail))
    }
}

/// A handler's outcome.
pub type Answer<T> = Result<T, ProblemResponse>;

/// A request that is well-formed JSON but asks for nonsense.
#[must_use]
pub fn bad_request(detail: impl Into<String>) -> Problem {
    Problem::new(Code::BadRequest, detail)
}

impl From<Problem> for ProblemResponse {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for ProblemResponse {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        with_body(status, problem::CONTENT_TYPE, &self.0)
    }
}

/// A JSON body, in and out. As an extractor it wants `application/json` and obeys the router's body limit
/// (1 MiB behind [`crate::mtls::serve`]); what it refuses is told as a problem document.
#[derive(Debug, Clone, Copy)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = ProblemResponse;

    async fn from_request(request: Request, state: &S) -> Result<Self, ProblemResponse> {
        if !is_json(request.headers()) {
            let detail = "the content type must be application/json";
            return Err(ProblemResponse::new(Code::UnsupportedMediaType, detail));
        }
        let body = read_body(request, state).await?;
        let parsed = serde_json::from_slice(&body);
        parsed
            .map(Self)
            .map_err(|error| ProblemResponse::new(Code::BadRequest, format!("reading the JSON body: {error}")))
    }
}

impl<T: Serialize> IntoResponse for JsonBody<T> {
    fn into_response(self) -> Response {
        with_body(StatusCode::OK, "application/json", &self.0)
    }
}

/// The whole body under the router's limit; problem documents when it is larger, breaks off or takes too long.
///
/// # Errors
/// `too-large` or `bad-request`.
pub async fn read_body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ProblemResponse> {
    let reading = tokio::time::timeout(BODY_DEADLINE, Bytes::from_request(request, state)).await;
    let slow = |_| ProblemResponse::new(Code::BadRequest, "the body took too long");
    reading.map_err(slow)?.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            ProblemResponse::new(Code::TooLarge, "the body is larger than allowed")
        } else {
            ProblemResponse::new(Code::BadRequest, "the body broke off")
        }
    })
}

/// Lets a caller pass only in one of the `allowed` roles.
///
/// # Errors
/// `forbidden`.
pub fn require_role(role: &Role, allowed: &[RoleKind]) -> Result<(), ProblemResponse> {
    if allowed.contains(&role.kind()) {
        return Ok(());
    }
    let names: Vec<&str> = allowed.iter().map(|kind| kind.name()).collect();
    let detail = format!("this call is for {}, and the caller is {}", names.join(" or "), role.kind().name());
    Err(ProblemResponse::new(Code::Forbidden, detail))
}

impl<S: Send + Sync> FromRequestParts<S> for PeerRole {
    type Rejection = ProblemResponse;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ProblemResponse> {
        let known = parts.extensions.get::<PeerRole>().cloned();
        known.ok_or_else(|| ProblemResponse::new(Code::Forbidden, "the caller showed no certificate"))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type =
        headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).and_then(|text| text.split(';').next());
    media_type.is_some_and(|name| name.trim().eq_ignore_ascii_case("application/json"))
}

fn with_body<T: Serialize>(status: StatusCode, content_type: &'static str, body: &T) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => (status, [(CONTENT_TYPE, HeaderValue::from_static(content_type))], bytes).into_response(),
        Err(error) => {
            tracing::error!(%error, "a response could not be written as JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
