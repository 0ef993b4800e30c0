//! The rooms that this gateway is home of: two people each, whose messages pass between them here.
//!
//! Towards other gateways, and this one, it behaves as a media node does: a room socket and legs by the room's uid, behind
//! mutual TLS. A room lives while somebody is in it; nothing of it is kept.

mod actor;
mod room;
mod socket;

use crate::homes::Homes;
use crate::metrics::Counters;
use crate::routes::{Route, Routes, Standing};
use actor::{Actor, Command, Entrance};
use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use plenum_protocol::control::NodeJoin;
use plenum_protocol::flow::{Leg, LegCounts, RoomLegs};
use plenum_protocol::ids::RoomUid;
use plenum_protocol::peer::{HOME_EPOCH, PeerRoomReport, PeerRoomsReport};
use plenum_protocol::problem::Code;
use plenum_runtime::http::{JsonBody, ProblemResponse, require_role};
use plenum_runtime::mtls::{PeerRole, RoleKind};
use plenum_runtime::shutdown::Shutdown;
use plenum_signaling::node_side::Mailbox;
use room::Refused;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, watch};

/// Commands that wait for one room; whoever has more to say waits.
const COMMANDS: usize = 64;

/// Most sockets, whatever is asked for: what the leader reads every second of rooms with one person each stays below
/// [`plenum_runtime::client::MAX_RESPONSE`].
const MOST_SOCKETS: usize = 60_000;

/// What a home is made of.
pub struct PeersParts {
    /// Name of this pod: it is the home of what hashes to it.
    pub pod: String,
    /// Rooms.
    pub routes: Routes,
    /// Ready gateways.
    pub homes: Homes,
    /// Metrics.
    pub counters: Counters,
    /// Most sockets of peers at once.
    pub max_sockets: usize,
    /// Once requested, everybody is sent to another home.
    pub closing: Shutdown,
}

/// The rooms. Clones share them.
#[derive(Clone)]
pub struct Peers(Arc<Inner>);

struct Inner {
    parts: PeersParts,
    rooms: Mutex<BTreeMap<RoomUid, Entry>>,
    sockets: watch::Sender<usize>,
}

/// One room: who to tell, and what it last looked like.
struct Entry {
    commands: mpsc::Sender<Command>,
    seen: watch::Receiver<Arc<Seen>>,
}

/// What others are told of a room.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Seen {
    participants: usize,
    legs: Vec<Leg>,
    /// Of the legs, those that both agree on.
    counts: LegCounts,
}

/// Why somebody cannot come in.
#[derive(Debug, thiserror::Error)]
enum NotHere {
    #[error("this gateway is not the home of the room")]
    NotHome,
    #[error("this gateway looks after as many people as it can")]
    Crowded,
    #[error("this gateway has no random numbers")]
    NoRandomness,
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl NotHere {
    fn code(&self) -> Code {
        match self {
            Self::NotHome => Code::NotGranted,
            Self::Crowded => Code::Unavailable,
            Self::NoRandomness => Code::Internal,
            Self::Refused(refused) => refused.code(),
        }
    }
}

impl Peers {
    /// No rooms yet.
    #[must_use]
    pub fn new(parts: PeersParts) -> Self {
        Self(Arc::new(Inner { parts, rooms: Mutex::default(), sockets: watch::Sender::new(0) }))
    }

    /// Routes behind mutual TLS.
    pub fn routes(&self) -> Router {
        Router::new()
            .route("/v1/rooms/{uid}/socket", get(socket::upgrade))
            .route("/v1/rooms/{uid}/legs", get(legs))
            .route("/v1/peer-rooms", get(report))
            .with_state(self.clone())
    }

    /// Returns once no peer has a socket here.
    pub(crate) async fn drained(&self) {
        let mut sockets = self.0.sockets.subscribe();
        if sockets.wait_for(|sockets| *sockets == 0).await.is_err() {
            tracing::debug!("the count of peers' sockets went away");
        }
    }

    /// Brings somebody into the room that this gateway is home of. What they are told comes into their mailbox.
    async fn enter(&self, uid: &RoomUid, join: NodeJoin, mailbox: Mailbox) -> Result<Entrance, NotHere> {
        let route = self.look_after(uid).ok_or(NotHere::NotHome)?;
        let (join, answer) = Command::join(join, mailbox);
        let busy = self.hand(uid, route, join);
        if let Some((commands, join)) = busy
            && commands.send(join).await.is_err()
        {
            return Err(NotHere::NotHome);
        }
        // A room that ends just now lets go of the question.
        answer.await.map_err(|_| NotHere::NotHome)?
    }

    /// The room as it changes, if this gateway is its home and may take people in.
    fn look_after(&self, uid: &RoomUid) -> Option<watch::Receiver<Arc<Route>>> {
        let parts = &self.0.parts;
        let route = parts.routes.follow_uid(uid)?;
        let open = route.borrow().standing == Standing::Peers && !parts.closing.is_requested();
        let home = parts.homes.home_of(uid)?;
        (open && home.pod == parts.pod).then_some(route)
    }

    /// Starts a room with the command; gives it back when the room is there, to be sent without the lock.
    fn hand(
        &self,
        uid: &RoomUid,
        route: watch::Receiver<Arc<Route>>,
        command: Command,
    ) -> Option<(mpsc::Sender<Command>, Command)> {
        let mut rooms = self.rooms();
        if let Some(entry) = rooms.get(uid) {
            return Some((entry.commands.clone(), command));
        }
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let (seen, receives) = watch::channel(Arc::default());
        rooms.insert(uid.clone(), Entry { commands: commands.clone(), seen: receives });
        drop(rooms);
        let actor = Actor::new(self.clone(), uid.clone(), route, (commands, receiver), seen);
        tokio::spawn(actor.run(command));
        None
    }

    /// Every room that somebody is in.
    fn report(&self) -> PeerRoomsReport {
        let of = |(uid, entry): (&RoomUid, &Entry)| {
            let Seen { participants, counts, legs: _ } = **entry.seen.borrow();
            let participants = u32::try_from(participants).unwrap_or(u32::MAX);
            PeerRoomReport { uid: uid.clone(), participants, legs: counts }
        };
        let rooms = self.rooms().iter().map(of).filter(|room| room.participants > 0).collect();
        PeerRoomsReport { gateway: self.0.parts.pod.clone(), rooms }
    }

    /// The room ends: whoever comes now starts it anew.
    fn forget(&self, uid: &RoomUid) {
        self.rooms().remove(uid);
    }

    /// Counts one socket for as long as the guard is kept.
    fn place(&self) -> Result<SocketGuard, NotHere> {
        let mut taken = false;
        self.0.sockets.send_if_modified(|sockets| {
            taken = *sockets < self.0.parts.max_sockets.min(MOST_SOCKETS);
            *sockets += usize::from(taken);
            taken
        });
        if taken { Ok(SocketGuard(self.clone())) } else { Err(NotHere::Crowded) }
    }

    fn rooms(&self) -> MutexGuard<'_, BTreeMap<RoomUid, Entry>> {
        self.0.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct SocketGuard(Peers);

impl Drop for SocketGuard {
    fn drop(&mut self) {
        self.0.0.sockets.send_modify(|sockets| *sockets = sockets.saturating_sub(1));
    }
}

async fn legs(
    State(peers): State<Peers>,
    PeerRole(role): PeerRole,
    Path(uid): Path<RoomUid>,
) -> Result<JsonBody<RoomLegs>, ProblemResponse> {
    require_role(&role, &[RoleKind::Gateway])?;
    let not_home = NotHere::NotHome;
    if peers.look_after(&uid).is_none() {
        return Err(ProblemResponse::new(not_home.code(), not_home.to_string()));
    }
    let legs = peers.rooms().get(&uid).map(|entry| entry.seen.borrow().legs.clone()).unwrap_or_default();
    Ok(JsonBody(RoomLegs { uid, epoch: HOME_EPOCH, legs }))
}

async fn report(
    State(peers): State<Peers>,
    PeerRole(role): PeerRole,
) -> Result<JsonBody<PeerRoomsReport>, ProblemResponse> {
    require_role(&role, &[RoleKind::Operator])?;
    Ok(JsonBody(peers.report()))
}

#[cfg(test)]
mod tests;
