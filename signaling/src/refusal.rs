//! A refused request as an HTTP answer: a problem document, with `Retry-After` and `WWW-Authenticate` where due.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, header};
use plenum_protocol::problem::{CONTENT_TYPE, Code, Problem};

/// Seconds after which it makes sense to try again, by default.
const RETRY_UNAVAILABLE: u32 = 1;
const RETRY_FULL: u32 = 10;

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct Refusal {
    /// What is told to the client.
    pub problem: Problem,
    /// `Retry-After` in seconds; set for 429 and 503.
    pub retry_after: Option<u32>,
    /// Authentication scheme named on a 401.
    pub scheme: Scheme,
}

/// Authentication schemes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Join tokens.
    Bearer,
    /// API keys.
    Basic,
}

impl Refusal {
    /// A refusal with the code's own status.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Problem::new(code, detail).into()
    }

    /// A refusal whose HTTP status says more than its code.
    #[must_use]
    pub fn with_status(status: StatusCode, code: Code, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("refused").to_ascii_lowercase();
        Problem { status: status.as_u16(), title, ..Problem::new(code, detail) }.into()
    }

    /// Asks for HTTP Basic instead of a bearer token.
    #[must_use]
    pub fn asking_for_api_key(mut self) -> Self {
        self.scheme = Scheme::Basic;
        self
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.problem.code
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let retry_after = match (problem.code, problem.status) {
            (Code::Full, _) => Some(RETRY_FULL),
            (_, 429 | 503) => Some(RETRY_UNAVAILABLE),
            _ => None,
        };
        Self { problem, retry_after, scheme: Scheme::Bearer }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.problem).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            let challenge = match self.scheme {
                Scheme::Bearer => "Bearer realm=\"plenum\"",
                Scheme::Basic => "Basic realm=\"plenum\", charset=\"UTF-8\"",
            };
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}

/// Answer for a path that is not there. A preflight succeeds, so that scripts see the 404 instead of a network error.
pub async fn not_found(method: Method) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    Refusal::new(Code::NotFound, "there is nothing at this path").into_response()
}

/// Answer for a method that a resource does not have; axum adds `Allow`.
pub async fn method_not_allowed(method: Method) -> Refusal {
    let detail = format!("this resource does not support {method}; the header Allow names what it supports");
    Refusal::with_status(StatusCode::METHOD_NOT_ALLOWED, Code::BadRequest, detail)
}
