//! Identifiers as types, so that swapped arguments do not compile.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest identifier that is accepted from the wire, in bytes.
pub const MAX_ID_LEN: usize = 128;

/// An identifier that is empty, too long, or has characters outside `[A-Za-z0-9_.-]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("identifier must be 1 to {MAX_ID_LEN} characters of A-Z, a-z, 0-9, '_', '.', '-'")]
pub struct InvalidId;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// `prefix` (characters that an identifier may have) and 32 hexadecimal digits: for callers with random bits.
            #[must_use]
            pub fn from_bits(prefix: &'static str, bits: u128) -> Self {
                Self(format!("{prefix}{bits:032x}"))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
                if text.is_empty() || text.len() > MAX_ID_LEN || !text.bytes().all(allowed) {
                    return Err(InvalidId);
                }
                Ok(Self(text))
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// `metadata.uid` of a Room: part of the fence, since a recreated Room starts again at epoch 1.
    RoomUid
);
id!(
    /// One start of a media node process: part of the fence, since a restarted container forgets its rooms.
    BootId
);
id!(
    /// One WebRTC session between a client and a media node. Random, unguessable.
    SessionId
);
id!(
    /// One person or device in a room (`PA_…`). Public in the roster.
    ParticipantId
);
id!(
    /// What ties sessions to a participant of the room socket. Secret of that client.
    ParticipantKey
);
id!(
    /// The tracks that one publisher session sends (`PU_…`).
    PublicationId
);

/// What goes over a session between two peers has no other name than the session.
impl From<SessionId> for PublicationId {
    fn from(session: SessionId) -> Self {
        Self(session.0)
    }
}

/// Counts the bindings of one Room; the first is 1. A node serves one epoch of a room only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Epoch(pub i64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `Lease.spec.leaseTransitions` of the leader that speaks: a node refuses words of an older leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Term(pub i64);

/// Namespace and name of a Room.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RoomName {
    /// Kubernetes namespace.
    pub namespace: String,
    /// Name of the Room, a DNS label.
    pub name: String,
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_with_a_slash_is_refused() {
        assert_eq!("a/b".parse::<SessionId>(), Err(InvalidId));
        assert!(serde_json::from_str::<SessionId>("\"../x\"").is_err());
        assert!(serde_json::from_str::<SessionId>("\"ok-1\"").is_ok());
    }
}
