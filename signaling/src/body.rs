//! Request bodies as text, bounded in size and time.

use crate::Refusal;
use crate::limits::BODY_DEADLINE;
use axum::body::{Body, to_bytes};
use http::{HeaderMap, StatusCode, header};
use plenum_protocol::problem::Code;

/// Reads a UTF-8 body of at most `limit` bytes.
pub(crate) async fn read_text(headers: &HeaderMap, body: Body, limit: usize) -> Result<String, Refusal> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let limit_u64 = u64::try_from(limit).unwrap_or(u64::MAX);
    if announced.is_some_and(|length| length > limit_u64) {
        return Err(too_large(limit));
    }
    let bytes = match tokio::time::timeout(BODY_DEADLINE, to_bytes(body, limit)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) if is_length_limit(&error) => return Err(too_large(limit)),
        Ok(Err(_)) => return Err(Refusal::new(Code::BadRequest, "the body broke off")),
        Err(_) => {
            return Err(Refusal::with_status(
                StatusCode::REQUEST_TIMEOUT,
                Code::BadRequest,
                "the body came too slowly",
            ));
        }
    };
    String::from_utf8(bytes.into()).map_err(|_| Refusal::new(Code::BadRequest, "the body is not UTF-8"))
}

fn too_large(limit: usize) -> Refusal {
    Refusal::new(Code::TooLarge, format!("the body may have at most {limit} bytes"))
}

fn is_length_limit(error: &axum::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if inner.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        source = inner.source();
    }
    false
}
