//! Why a command on a session is refused, in words that a caller can show to a client.

use crate::sdp::SdpError;
use plenum_protocol::problem::Code;

/// Refused commands. Display texts hold no addresses and no credentials.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The engine does not run this room.
    #[error("no such room")]
    NoRoom,
    /// No such session, or it is over.
    #[error("no such session")]
    NoSession,
    /// The key is in use.
    #[error("a session with this key exists")]
    SessionExists,
    /// The publication is gone, or in another room.
    #[error("no such publication")]
    NoPublication,
    /// The room or the engine holds as many sessions as it may.
    #[error("no more sessions fit")]
    Full,
    /// No outside addresses yet.
    #[error("the media node has no configuration yet")]
    NotConfigured,
    /// The offer or fragment is malformed or asks for what is not supported.
    #[error(transparent)]
    Sdp(#[from] SdpError),
    /// A PATCH without `If-Match`.
    #[error("If-Match is missing: send the session's ETag, or * to restart ICE")]
    PreconditionRequired,
    /// `If-Match` names another ICE session.
    #[error("If-Match does not name the current ICE session")]
    PreconditionFailed,
    /// The transport could not be made.
    #[error("setting up the transport: {0}")]
    Transport(String),
}

impl SessionError {
    /// The code for a problem document.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::NoRoom | Self::NoSession | Self::NoPublication => Code::NotFound,
            Self::SessionExists | Self::Transport(_) => Code::Internal,
            Self::Full => Code::Full,
            Self::NotConfigured => Code::Unavailable,
            Self::Sdp(_) => Code::BadSdp,
            Self::PreconditionRequired => Code::PreconditionRequired,
            Self::PreconditionFailed => Code::PreconditionFailed,
        }
    }
}
