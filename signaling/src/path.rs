//! Path parameters as types: a room, and a session of a room.

use crate::Refusal;
use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use plenum_protocol::ids::{RoomName, SessionId};
use plenum_protocol::problem::Code;

/// Longest DNS label (RFC 1123).
const MAX_LABEL_LEN: usize = 63;

/// Namespace and name of a room; `None` unless both are DNS labels.
#[must_use]
pub fn parse_room(namespace: &str, name: &str) -> Option<RoomName> {
    let room = || RoomName { namespace: namespace.to_owned(), name: name.to_owned() };
    (is_label(namespace) && is_label(name)).then(room)
}

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=MAX_LABEL_LEN).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// `/v1/rooms/{namespace}/{name}/…`
pub(crate) struct RoomPath(pub(crate) RoomName);

/// `/v1/rooms/{namespace}/{name}/…/{session}`
pub(crate) struct SessionPath {
    pub(crate) room: RoomName,
    pub(crate) session: SessionId,
}

fn no_room() -> Refusal {
    Refusal::new(Code::NotFound, "there is no such room")
}

impl<S: Send + Sync> FromRequestParts<S> for RoomPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Path((namespace, name)) =
            Path::<(String, String)>::from_request_parts(parts, state).await.map_err(|_| no_room())?;
        parse_room(&namespace, &name).map(Self).ok_or_else(no_room)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for SessionPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Path((namespace, name, session)) =
            Path::<(String, String, String)>::from_request_parts(parts, state).await.map_err(|_| no_room())?;
        let room = parse_room(&namespace, &name).ok_or_else(no_room)?;
        let session = session.parse().map_err(|_| Refusal::new(Code::NotFound, "there is no such session"))?;
        Ok(Self { room, session })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dns_labels_name_rooms() {
        assert!(parse_room("team-a", "room-1").is_some());
        for bad in ["", "-a", "a-", "A", "a.b", "a/b", "ä", &"a".repeat(64)] {
            assert!(parse_room("team-a", bad).is_none(), "{bad}");
            assert!(parse_room(bad, "room-1").is_none(), "{bad}");
        }
    }
}
