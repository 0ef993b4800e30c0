//! What is to happen to one room.

use super::place::{Choice, Unplaced, place, worth_a_wait};
use super::views::{FleetView, PodKey, PodState, PodView, ValidRoom};
use plenum_api::room::{Binding, Topology};
use plenum_protocol::ids::{BootId, Epoch};

/// The binding that a room has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// Its pod.
    pub pod: PodKey,
    /// Which start of the pod's process.
    pub boot: BootId,
    /// Its epoch.
    pub epoch: Epoch,
}

/// What was seen of a room.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoomSeen {
    /// It is closed, or has ended by itself.
    pub over: bool,
    /// How it runs, by its status; unset while it has none.
    pub topology: Option<Topology>,
    /// The binding in its status.
    pub bound: Option<Bound>,
    /// Last epoch ever; 0 before the first.
    pub last_epoch: Epoch,
    /// The pod declines the grant of this binding again and again.
    pub declined: bool,
    /// Participants that the pod (or the gateways, of a room that is peer to peer) reported; `None` while they have not.
    pub participants: Option<i32>,
    /// A gateway has somebody who wants to join; where they are, when that is known.
    pub wanted: Option<Option<String>>,
}

/// Why a room is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It had no binding.
    Unbound,
    /// Its pod is gone or cannot be reached.
    PodLost,
    /// Its pod's process started again and forgot it.
    PodRestarted,
    /// Its pod does not take it.
    PodDeclined,
    /// `allowedRegions` has changed and leaves its region out.
    RegionForbidden,
    /// Its pod is being deleted.
    PodTerminating,
    /// Its pod drains and nobody is in the room.
    DrainedEmpty,
    /// Its pod drains and the time is up.
    DrainExpired,
}

impl Cause {
    /// What happened to the last pod, in plain words; empty for a first binding.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Unbound => "",
            Self::PodLost => "bound anew since its media pod is lost: ",
            Self::PodRestarted => "bound anew since its media pod started again: ",
            Self::PodDeclined => "bound anew since its media pod declined it: ",
            Self::RegionForbidden => "bound anew since placement.allowedRegions leaves out its former region: ",
            Self::PodTerminating => "bound anew since its media pod is being deleted: ",
            Self::DrainedEmpty => "bound anew since its media pod drains: ",
            Self::DrainExpired => "bound anew since its media pod's drain timeout has passed: ",
        }
    }
}

/// What is to happen to a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomPlan {
    /// The binding stays; the pod is to have a grant.
    Keep,
    /// The binding stays although its pod leaves or is lost: there is no other, or people are in the room.
    Endure {
        /// The pod cannot be reached: nobody can join.
        lost: bool,
        /// Why it was not bound elsewhere; `None`: people are in it and have time left.
        unplaced: Option<Unplaced>,
    },
    /// Bind to a pod under a new epoch.
    Bind {
        /// Which pod and why.
        choice: Choice,
        /// The new epoch.
        epoch: Epoch,
        /// What made it necessary.
        cause: Cause,
    },
    /// Wait for somebody to join: a pod would fit.
    Await,
    /// Two peers: no pod is needed.
    Peers {
        /// A third person was to have a media server, and no pod fits.
        unplaced: Option<Unplaced>,
    },
    /// No pod fits, and there is no binding to keep.
    Unplaced(Unplaced),
    /// End it.
    Close,
}

/// Plans one room. `pod` is the one that it is bound to, if that is there. `fleet` is asked only when the room needs a
/// place: one that stays where it is needs no look at all the others.
#[must_use]
pub fn plan_room(
    room: &ValidRoom,
    seen: &RoomSeen,
    pod: Option<&PodView>,
    fleet: impl FnOnce() -> FleetView,
) -> RoomPlan {
    if seen.over {
        return RoomPlan::Close;
    }
    match &seen.bound {
        None if is_pair(room, seen) => plan_pair(room, seen, fleet),
        None => plan_unbound(room, seen, &fleet()),
        Some(bound) => plan_bound(room, seen, (bound, pod), fleet),
    }
}

/// Peer to peer by its spec, and not upgraded.
fn is_pair(room: &ValidRoom, seen: &RoomSeen) -> bool {
    room.topology == Topology::PeerToPeer && seen.topology != Some(Topology::MediaServer)
}

fn plan_pair(room: &ValidRoom, seen: &RoomSeen, fleet: impl FnOnce() -> FleetView) -> RoomPlan {
    let third = seen.wanted.as_ref().filter(|_| room.upgrade);
    match third.map(|near| place(room, &fleet(), near.as_deref())) {
        None => RoomPlan::Peers { unplaced: None },
        Some(Ok(choice)) => bind(seen, choice, Cause::Unbound),
        Some(Err(unplaced)) => RoomPlan::Peers { unplaced: Some(unplaced) },
    }
}

fn plan_unbound(room: &ValidRoom, seen: &RoomSeen, fleet: &FleetView) -> RoomPlan {
    let near = seen.wanted.as_ref().and_then(Option::as_deref);
    // Two may be in it, without a pod so far.
    let call = seen.topology == Some(Topology::PeerToPeer) && seen.participants != Some(0);
    // Nobody has been in it, and nobody stands at the door.
    let untouched = seen.wanted.is_none() && seen.last_epoch == Epoch(0) && !call;
    let waits = untouched && room.binding == Binding::WaitForFirstParticipant;
    match place(room, fleet, near) {
        Ok(_) if waits => RoomPlan::Await,
        Ok(choice) => match untouched.then(|| worth_a_wait(room, fleet, &choice)).flatten() {
            Some(wait) => RoomPlan::Unplaced(wait),
            None => bind(seen, choice, Cause::Unbound),
        },
        Err(unplaced) => RoomPlan::Unplaced(unplaced),
    }
}

fn plan_bound(
    room: &ValidRoom,
    seen: &RoomSeen,
    (bound, pod): (&Bound, Option<&PodView>),
    fleet: impl FnOnce() -> FleetView,
) -> RoomPlan {
    let Some(pod) = pod else {
        return match place(room, &fleet(), None) {
            Ok(choice) => bind(seen, choice, Cause::PodLost),
            Err(unplaced) => RoomPlan::Unplaced(unplaced),
        };
    };
    let restarted = pod.boot.as_ref().is_some_and(|boot| *boot != bound.boot);
    let cause = match pod.state {
        PodState::Lost => Cause::PodLost,
        PodState::Terminating => Cause::PodTerminating,
        _ if restarted => Cause::PodRestarted,
        _ if seen.declined => Cause::PodDeclined,
        _ if !room.allows(&pod.region) => Cause::RegionForbidden,
        PodState::DrainExpired => Cause::DrainExpired,
        PodState::Draining if seen.participants == Some(0) => Cause::DrainedEmpty,
        PodState::Draining => return RoomPlan::Endure { lost: false, unplaced: None },
        PodState::Ready | PodState::NotReady => return RoomPlan::Keep,
    };
    match place(room, &fleet(), None) {
        Ok(choice) => bind(seen, choice, cause),
        Err(unplaced) if restarted || matches!(cause, Cause::PodDeclined | Cause::RegionForbidden) => {
            RoomPlan::Unplaced(unplaced)
        }
        Err(unplaced) => RoomPlan::Endure { lost: cause == Cause::PodLost, unplaced: Some(unplaced) },
    }
}

fn bind(seen: &RoomSeen, mut choice: Choice, cause: Cause) -> RoomPlan {
    choice.reason.insert_str(0, cause.prefix());
    RoomPlan::Bind { choice, epoch: Epoch(seen.last_epoch.0 + 1), cause }
}

#[cfg(test)]
mod tests;
