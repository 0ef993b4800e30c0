//! Errors on the wire: RFC 9457 problem documents with a stable code.

use serde::{Deserialize, Serialize};

/// Media type of a problem document.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// What went wrong, for programs. New codes may come; treat an unknown one by its HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The body, a header or a query is malformed.
    BadRequest,
    /// The SDP offer or fragment is malformed or asks for what is not supported.
    BadSdp,
    /// No credentials, or they are wrong or expired.
    Unauthorized,
    /// The credentials do not allow this.
    Forbidden,
    /// No such room, session or publication.
    NotFound,
    /// The node has no grant for this (room uid, epoch).
    NotGranted,
    /// The sender is not the leader any more.
    StaleTerm,
    /// The request was meant for another start of this node.
    WrongBoot,
    /// `If-Match` is missing.
    PreconditionRequired,
    /// `If-Match` names another ICE session.
    PreconditionFailed,
    /// The body has another media type than the one that is needed.
    UnsupportedMediaType,
    /// The body is larger than allowed.
    TooLarge,
    /// The room or the node is full.
    Full,
    /// The room is not ready, closed, or its media node cannot be reached; try again.
    Unavailable,
    /// Too many requests from this source.
    RateLimited,
    /// A defect of ours.
    Internal,
    /// A code that this version does not know.
    #[serde(other)]
    Other,
}

impl Code {
    /// The HTTP status that goes with the code.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest | Self::BadSdp => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::NotGranted | Self::StaleTerm | Self::WrongBoot => 409,
            Self::PreconditionFailed => 412,
            Self::TooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::PreconditionRequired => 428,
            Self::RateLimited => 429,
            Self::Internal | Self::Other => 500,
            Self::Full | Self::Unavailable => 503,
        }
    }

    /// A short title for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "bad request",
            Self::BadSdp => "bad SDP",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not found",
            Self::NotGranted => "not granted",
            Self::StaleTerm => "stale leader",
            Self::WrongBoot => "wrong boot id",
            Self::PreconditionRequired => "precondition required",
            Self::PreconditionFailed => "precondition failed",
            Self::UnsupportedMediaType => "unsupported media type",
            Self::TooLarge => "too large",
            Self::Full => "full",
            Self::Unavailable => "unavailable",
            Self::RateLimited => "rate limited",
            Self::Internal | Self::Other => "internal error",
        }
    }
}

/// A problem document (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{title}: {detail}")]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Always `about:blank`: the code says more.
    #[serde(rename = "type", default = "about_blank")]
    pub kind: String,
    /// Short title.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// Stable code.
    pub code: Code,
    /// What was wrong, where, and what to do. No tokens, no addresses.
    pub detail: String,
}

fn about_blank() -> String {
    "about:blank".to_owned()
}

impl Problem {
    /// A problem with the code's own status and title.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { kind: about_blank(), title: code.title().to_owned(), status: code.status(), code, detail: detail.into() }
    }
}
