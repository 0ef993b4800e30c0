//! Why the registry says no, in words for the client.

use plenum_protocol::problem::{Code, Problem};

/// A refusal. Texts hold no tokens, keys or addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// No grant for this room and epoch.
    #[error("this node has no grant for the room under epoch {0}")]
    NotGranted(i64),
    /// The grant ended while the request ran.
    #[error("the room left this node")]
    RoomLeft,
    /// The room has as many participants as it may.
    #[error("the room has its {0} participants")]
    RoomFull(u32),
    /// The node has as many participants as it may.
    #[error("the media node has its {0} participants")]
    NodeFull(u32),
    /// The node drains.
    #[error("the media node takes no new rooms; the room will be moved")]
    Draining,
    /// One session too many.
    #[error("the participant has its {0} sessions")]
    TooManySessions(usize),
    /// The key is of nobody in the room.
    #[error("no participant with this key: join by the room socket again")]
    UnknownParticipant,
    /// The key is of somebody else.
    #[error("the participant key belongs to another identity")]
    OtherIdentity,
    /// `canPublish` is false.
    #[error("the join token does not allow publishing")]
    MayNotPublish,
    /// `canSubscribe` is false.
    #[error("the join token does not allow subscribing")]
    MayNotSubscribe,
    /// No such publication, or none at all.
    #[error("{0}")]
    NoPublication(&'static str),
    /// No such session in that room.
    #[error("no such session in this room")]
    NoSession,
    /// A text of the request is too long.
    #[error("{0} is longer than {1} bytes")]
    TooLong(&'static str, usize),
    /// A view speaks of a session that is not the speaker's.
    #[error("a view may only speak of own sessions")]
    ForeignView,
}

impl Refusal {
    /// The code on the wire.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::NotGranted(_) | Self::RoomLeft => Code::NotGranted,
            Self::RoomFull(_) | Self::NodeFull(_) | Self::TooManySessions(_) => Code::Full,
            Self::Draining => Code::Unavailable,
            Self::UnknownParticipant | Self::NoPublication(_) | Self::NoSession => Code::NotFound,
            Self::OtherIdentity | Self::MayNotPublish | Self::MayNotSubscribe | Self::ForeignView => Code::Forbidden,
            Self::TooLong(..) => Code::BadRequest,
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Problem::new(refusal.code(), refusal.to_string())
    }
}
