//! From a room to the node (or the gateway) that runs it: waits for bindings, asks for them, and tries again when one moves.

use super::Gateway;
use crate::homes::Home;
use crate::metrics::NodeError;
use crate::routes::{Place, Route, Standing};
use plenum_protocol::ids::{Epoch, RoomName, RoomUid};
use plenum_protocol::peer::HOME_EPOCH;
use plenum_protocol::problem::{Code, Problem};
use plenum_protocol::reach::BindRequest;
use plenum_runtime::client::{CallError, Target};
use plenum_signaling::Refusal;
use std::time::Duration;
use tokio::time::Instant;

/// How long a request waits for a binding that should come, or for a node to learn of it.
pub(super) const REQUEST_PATIENCE: Duration = Duration::from_secs(2);
/// The same for a room socket, whose client would only come back at once: as long as a lost room takes to be bound anew.
pub(super) const SOCKET_PATIENCE: Duration = Duration::from_secs(6);
/// How long the first participant waits for the room to be bound.
const FIRST_PARTICIPANT_PATIENCE: Duration = Duration::from_secs(10);
/// How often the leader is asked again meanwhile.
const ASK_INTERVAL: Duration = Duration::from_millis(500);
/// Pause before a call is tried again under the same binding.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// `Retry-After` of a closed room, in seconds.
const CLOSED_RETRY: u32 = 30;

/// The binding of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) uid: RoomUid,
    pub(super) epoch: Epoch,
    pub(super) at: At,
}

/// Who runs a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum At {
    /// A media node.
    Node(Place),
    /// The home of a peer-to-peer room.
    Home(Home),
}

impl Bound {
    fn of(route: &Route) -> Option<Self> {
        let Standing::Bound(place) = &route.standing else { return None };
        Some(Self { uid: route.uid.clone(), epoch: route.epoch, at: At::Node(place.clone()) })
    }

    fn at_home(uid: RoomUid, home: Home) -> Self {
        Self { uid, epoch: HOME_EPOCH, at: At::Home(home) }
    }

    pub(super) fn target(&self) -> Target {
        match &self.at {
            At::Node(place) => place.target(),
            At::Home(home) => home.target(),
        }
    }

    pub(super) fn is_at_home(&self) -> bool {
        matches!(self.at, At::Home(_))
    }
}

/// What a wait for a binding can end with before its deadline.
enum Found {
    Bound(Bound),
    /// It is peer to peer.
    Peers(RoomUid),
    Closed,
    /// It waits for a participant.
    Sleeping(BindRequest, bool),
}

impl Gateway {
    /// The binding as it is now.
    pub(super) fn bound_now(&self, room: &RoomName) -> Option<Bound> {
        let route = self.0.routes.get(room)?;
        match &route.standing {
            Standing::Peers => Some(Bound::at_home(route.uid.clone(), self.0.homes.home_of(&route.uid)?)),
            Standing::Bound(_) | Standing::Unbound { .. } | Standing::Closed(_) => Bound::of(&route),
        }
    }

    /// The binding, waited for and asked for.
    async fn bound(&self, room: &RoomName, deadline: Instant) -> Result<Bound, Refusal> {
        let region = self.0.region.clone();
        let find = |route: Option<&Route>| match route?.standing {
            Standing::Bound(_) => Bound::of(route?).map(Found::Bound),
            Standing::Peers => Some(Found::Peers(route?.uid.clone())),
            Standing::Closed(_) => Some(Found::Closed),
            Standing::Unbound { awaits_participant: true, hopeful, .. } => {
                let request = BindRequest { room: room.clone(), uid: route?.uid.clone(), region: region.clone() };
                Some(Found::Sleeping(request, hopeful))
            }
            Standing::Unbound { .. } => None,
        };
        // Only a room that was bound before is likely to be bound again soon.
        let known = self.0.routes.get(room).is_some_and(|route| route.epoch > Epoch::default());
        let until = if known { deadline } else { deadline.min(Instant::now() + REQUEST_PATIENCE) };
        match self.0.routes.wait(room, until, find).await {
            Some(Found::Bound(bound)) => Ok(bound),
            Some(Found::Peers(uid)) => match self.0.homes.wait(&uid, deadline).await {
                Some(home) => Ok(Bound::at_home(uid, home)),
                None => Err(self.why_not(room)),
            },
            Some(Found::Closed) => Err(self.why_not(room)),
            Some(Found::Sleeping(request, hopeful)) => {
                self.wake(
                    request,
                    if hopeful { deadline.max(Instant::now() + FIRST_PARTICIPANT_PATIENCE) } else { deadline },
                )
                .await
            }
            None => Err(self.why_not(room)),
        }
    }

    /// Asks the leader to give a peer-to-peer room a media server, and waits for it.
    pub(super) async fn upgrade(&self, room: &RoomName, uid: RoomUid) -> Result<(), Refusal> {
        tracing::info!(%room, "a third person comes: asking for a media server");
        let request = BindRequest { room: room.clone(), uid, region: self.0.region.clone() };
        self.wake(request, Instant::now() + FIRST_PARTICIPANT_PATIENCE).await.map(drop)
    }

    /// Asks the leader until the room is bound.
    async fn wake(&self, request: BindRequest, deadline: Instant) -> Result<Bound, Refusal> {
        let room = request.room.clone();
        while Instant::now() < deadline {
            if let Err(error) = self.0.leader.ask(&self.0.client, request.clone()).await {
                tracing::warn!(%room, error = &error as &dyn std::error::Error, "asking for a binding");
            }
            let until = deadline.min(Instant::now() + ASK_INTERVAL);
            let done = |route: Option<&Route>| match route {
                Some(Route { standing: Standing::Unbound { .. } | Standing::Peers, .. }) => None,
                other => Some(other.and_then(Bound::of)),
            };
            match self.0.routes.wait(&room, until, done).await {
                Some(Some(bound)) => return Ok(bound),
                Some(None) => break,
                None => {}
            }
        }
        Err(self.why_not(&room))
    }

    /// Why there is no binding, for people.
    fn why_not(&self, room: &RoomName) -> Refusal {
        let Some(route) = self.0.routes.get(room) else {
            return Refusal::new(Code::NotFound, format!("there is no Room {room}"));
        };
        match &route.standing {
            Standing::Closed(why) => {
                let refusal = Refusal::new(Code::Unavailable, format!("room {room}: {why}"));
                Refusal { retry_after: Some(CLOSED_RETRY), ..refusal }
            }
            Standing::Peers if route.upgrades => {
                let detail = format!("room {room} is peer to peer; a media server was asked for and has not come yet");
                Refusal::new(Code::Unavailable, detail)
            }
            Standing::Peers => Refusal::new(
                Code::Unavailable,
                format!("room {room} is peer to peer, and no gateway looks after it yet"),
            ),
            Standing::Unbound { why, .. } => {
                Refusal::new(Code::Unavailable, format!("room {room} has no media server yet: {why}"))
            }
            Standing::Bound(_) => Refusal::new(Code::Unavailable, format!("room {room} has just moved; try again")),
        }
    }

    /// Makes a call on the room's node; when the node does not know the binding (yet, or any more) or cannot be
    /// reached, waits for a new binding or tries again, within `patience`.
    pub(super) async fn on_node<T, F>(
        &self,
        room: &RoomName,
        patience: Duration,
        call: impl Fn(Bound) -> F,
    ) -> Result<T, Refusal>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let deadline = Instant::now() + patience;
        loop {
            let bound = self.bound(room, deadline).await?;
            let error = match call(bound).await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            self.count(&error);
            if !may_heal(&error) || Instant::now() >= deadline {
                return Err(refusal_of(error));
            }
            self.0.routes.pause(RETRY_PAUSE).await;
        }
    }

    pub(super) fn count(&self, error: &CallError) {
        let kind = match error {
            CallError::Timeout(_) => NodeError::Timeout,
            CallError::Transport(_) => NodeError::Transport,
            CallError::Problem(problem) if problem.code == Code::NotGranted => NodeError::NotGranted,
            CallError::Problem(_) => return,
        };
        tracing::debug!(error = error as &dyn std::error::Error, "a call to a media node, or a room's home");
        self.0.counters.node_error(kind);
    }
}

/// Whether another try, or another binding, may help.
fn may_heal(error: &CallError) -> bool {
    match error {
        CallError::Transport(_) | CallError::Timeout(_) => true,
        CallError::Problem(problem) => problem.code == Code::NotGranted,
    }
}

/// What a client is told of a failed call. What the node says of the client's request passes through.
pub(super) fn refusal_of(error: CallError) -> Refusal {
    match error {
        CallError::Problem(problem) => refusal_of_problem(problem),
        CallError::Transport(_) | CallError::Timeout(_) => {
            let detail =
                "the room cannot be reached just now; it moves when its media server, or its home, is gone for good";
            Refusal::new(Code::Unavailable, detail)
        }
    }
}

fn refusal_of_problem(problem: Problem) -> Refusal {
    match problem.code {
        Code::NotGranted => Refusal::new(Code::Unavailable, "the room is moving; try again"),
        Code::StaleTerm | Code::WrongBoot | Code::Unauthorized | Code::Internal | Code::Other => {
            tracing::error!(code = ?problem.code, detail = problem.detail, "a media node, or a room's home, refused the gateway");
            Refusal::new(Code::Internal, "who runs the room refused the gateway; its log says why")
        }
        _ => problem.into(),
    }
}
