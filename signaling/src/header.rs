//! Request headers as types. Every function takes text from the network and never panics.

use crate::{BasicCredentials, Refusal};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, StatusCode, header};
use plenum_protocol::control::IfMatch;
use plenum_protocol::ids::ParticipantKey;
use plenum_protocol::problem::Code;
use plenum_protocol::token::MAX_TOKEN_LEN;

/// Ties a WHIP or WHEP session to a participant of the room socket.
pub const PARTICIPANT: HeaderName = HeaderName::from_static("plenum-participant");
/// Longest entity tag that is compared, in bytes.
const MAX_ETAG_LEN: usize = 128;
/// Longest key id or secret of an API key, in bytes.
const MAX_API_KEY_LEN: usize = 512;

/// Credentials after an authentication scheme, whose name is compared without case.
fn credentials<'a>(value: &'a str, scheme: &str) -> Option<&'a str> {
    let (name, rest) = value.trim().split_once(' ')?;
    name.eq_ignore_ascii_case(scheme).then(|| rest.trim_start())
}

/// The token of `Bearer <token>`; `None` when it is another scheme, empty or too long.
#[must_use]
pub fn parse_bearer(value: &str) -> Option<&str> {
    credentials(value, "bearer").filter(|token| !token.is_empty() && token.len() <= MAX_TOKEN_LEN)
}

/// Id and secret of `Basic base64(id:secret)` (RFC 7617).
#[must_use]
pub fn parse_basic(value: &str) -> Option<BasicCredentials> {
    let encoded = credentials(value, "basic").filter(|text| text.len() <= MAX_API_KEY_LEN * 3)?;
    let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    let fits = |part: &str| !part.is_empty() && part.len() <= MAX_API_KEY_LEN;
    (fits(id) && fits(secret)).then(|| BasicCredentials { id: id.to_owned(), secret: secret.to_owned() })
}

/// Whether a `Content-Type` is `expected`, whatever its parameters.
#[must_use]
pub fn is_media_type(value: &str, expected: &str) -> bool {
    let essence = value.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(expected)
}

/// `If-Match` as RFC 9725 uses it: `*` (its examples also write it quoted) or one strong entity tag.
///
/// # Errors
/// Malformed values and lists are 400; a weak tag can never match (RFC 9110 section 13.1.1), so it is 412.
pub fn parse_if_match(value: &str) -> Result<IfMatch, Refusal> {
    let value = value.trim();
    if value == "*" || value == "\"*\"" {
        return Ok(IfMatch::Any);
    }
    if value.starts_with("W/") {
        return Err(Refusal::new(Code::PreconditionFailed, "a weak entity tag matches no ICE session"));
    }
    let tag = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default();
    let allowed = |byte: u8| byte == 0x21 || (0x23..=0x7e).contains(&byte);
    if tag.is_empty() || tag.len() > MAX_ETAG_LEN || !tag.bytes().all(allowed) {
        let detail = "If-Match must be \"*\" or the one entity tag of the session, in double quotes";
        return Err(Refusal::new(Code::BadRequest, detail));
    }
    Ok(IfMatch::Etag(tag.to_owned()))
}

/// The bearer token of a request.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let refusal = || Refusal::new(Code::Unauthorized, "send the join token as \"Authorization: Bearer <token>\"");
    text(headers, &header::AUTHORIZATION).and_then(parse_bearer).ok_or_else(refusal)
}

/// The API key of a request.
pub(crate) fn basic(headers: &HeaderMap) -> Result<BasicCredentials, Refusal> {
    let refusal = || {
        let detail = "send an API key by HTTP Basic: its id as the user, its secret as the password";
        Refusal::new(Code::Unauthorized, detail).asking_for_api_key()
    };
    text(headers, &header::AUTHORIZATION).and_then(parse_basic).ok_or_else(refusal)
}

/// 415 unless the body's type is `expected`.
pub(crate) fn require_media_type(headers: &HeaderMap, expected: &'static str) -> Result<(), Refusal> {
    match text(headers, &header::CONTENT_TYPE) {
        Some(value) if is_media_type(value, expected) => Ok(()),
        _ => Err(Refusal::new(Code::UnsupportedMediaType, format!("the body must be of type {expected}"))),
    }
}

/// The precondition of a PATCH; 428 when there is none.
pub(crate) fn if_match(headers: &HeaderMap) -> Result<IfMatch, Refusal> {
    let mut values = headers.get_all(header::IF_MATCH).iter();
    let Some(first) = values.next() else {
        let detail = "send If-Match with the entity tag of the session, or \"*\" to restart ICE";
        return Err(Refusal::new(Code::PreconditionRequired, detail));
    };
    let text = first.to_str().ok().filter(|_| values.next().is_none());
    parse_if_match(text.unwrap_or_default())
}

/// The participant that a session belongs to.
pub(crate) fn participant(headers: &HeaderMap) -> Result<Option<ParticipantKey>, Refusal> {
    let Some(value) = headers.get(PARTICIPANT) else { return Ok(None) };
    let key = value.to_str().ok().and_then(|text| text.parse().ok());
    key.map(Some).ok_or_else(|| {
        Refusal::with_status(StatusCode::BAD_REQUEST, Code::BadRequest, "Plenum-Participant is not a participant key")
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn schemes_are_compared_without_case() {
        assert_eq!(parse_bearer("bEaReR  abc"), Some("abc"));
        assert_eq!(parse_bearer("Basic abc"), None);
        assert_eq!(parse_bearer("Bearer "), None);
        assert_eq!(parse_bearer(&format!("Bearer {}", "x".repeat(MAX_TOKEN_LEN + 1))), None);
    }

    #[test]
    fn a_secret_may_hold_colons() {
        let key = parse_basic(&format!("Basic {}", STANDARD.encode("id:se:cret"))).unwrap();
        assert_eq!((key.id.as_str(), key.secret.as_str()), ("id", "se:cret"));
        assert!(parse_basic(&format!("Basic {}", STANDARD.encode(":secret"))).is_none());
        assert!(!format!("{key:?}").contains("cret"));
    }

    #[test]
    fn if_match_takes_a_star_or_one_strong_tag() {
        assert_eq!(parse_if_match("*").unwrap(), IfMatch::Any);
        assert_eq!(parse_if_match("\"*\"").unwrap(), IfMatch::Any);
        assert_eq!(parse_if_match(" \"a1\" ").unwrap(), IfMatch::Etag("a1".into()));
        assert_eq!(parse_if_match("W/\"a1\"").unwrap_err().problem.status, 412);
        for bad in ["", "a1", "\"\"", "\"a\", \"b\"", "\"a", "\"a b\""] {
            assert_eq!(parse_if_match(bad).unwrap_err().problem.status, 400, "{bad}");
        }
    }

    #[test]
    fn media_types_ignore_parameters_and_case() {
        assert!(is_media_type("Application/SDP; charset=utf-8", "application/sdp"));
        assert!(!is_media_type("application/json", "application/sdp"));
    }

    proptest! {
        #[test]
        fn no_header_text_panics(text in "\\PC{0,200}") {
            prop_assert!(parse_bearer(&text).is_none_or(|token| token.len() <= MAX_TOKEN_LEN));
            prop_assert!(parse_basic(&text).is_none_or(|key| !key.id.is_empty()));
            prop_assert!(parse_if_match(&text).is_ok() || !text.trim().eq("*"));
            prop_assert!(!is_media_type(&text, "application/sdp") || text.to_ascii_lowercase().contains("application/sdp"));
        }
    }
}
