//! One person or device in a room.

use plenum_media_core::SessionKey;
use plenum_protocol::ids::{ParticipantId, ParticipantKey};
use plenum_protocol::peer::Instance;
use plenum_signaling::node_side::Mailbox;
use std::time::{Duration, Instant};

/// Most sessions of one participant.
pub(crate) const MAX_SESSIONS: usize = 64;
/// Least time between two views of a client that are taken.
const VIEW_INTERVAL: Duration = Duration::from_secs(1);

/// Counts the participants of a node; names one within its room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ParticipantSeq(pub(crate) u64);

/// How a participant came, and so when it goes.
#[derive(Debug)]
pub(crate) enum Presence {
    /// By the room socket; goes with it.
    Socket {
        /// Names it in WHIP and WHEP requests.
        key: ParticipantKey,
        /// Its socket.
        mailbox: Mailbox,
    },
    /// By a session alone; goes with its last session.
    Session,
}

/// A participant.
#[derive(Debug)]
pub(crate) struct Participant {
    /// Public id.
    pub(crate) id: ParticipantId,
    /// Identity of its token.
    pub(crate) identity: String,
    /// Display name.
    pub(crate) name: String,
    /// Which load of its page.
    pub(crate) instance: Option<Instance>,
    /// May publish.
    pub(crate) can_publish: bool,
    /// May subscribe.
    pub(crate) can_subscribe: bool,
    /// How it came.
    pub(crate) presence: Presence,
    /// Its sessions, at most [`MAX_SESSIONS`].
    pub(crate) sessions: Vec<SessionKey>,
    /// When its last view was taken.
    pub(crate) viewed: Option<Instant>,
}

impl Participant {
    /// Whether a view may be taken now; taking it counts.
    pub(crate) fn take_view(&mut self, now: Instant) -> bool {
        let due = self.viewed.is_none_or(|last| now.saturating_duration_since(last) >= VIEW_INTERVAL);
        if due {
            self.viewed = Some(now);
        }
        due
    }
}
