//! Step 3: asks the pure planner, and keeps the place that it chose before anybody else can take it.

use super::observe::Observed;
use crate::context::Context;
use crate::ledger::life_of;
use crate::planner::{
    Bound, Cause, LifePlan, LifeSeen, PodKey, Presence, RelayPlan, RoomPlan, RoomSeen, Unplaced, ValidRoom, plan_life,
    plan_relays, plan_room,
};
use k8s_openapi::jiff::Timestamp;
use plenum_api::room::{EndedReason, Topology};

/// What is to be done with the binding, with a place that is kept when there is a new one.
pub(super) enum Planned {
    /// See [`RoomPlan::Keep`].
    Keep(Bound),
    /// See [`RoomPlan::Endure`].
    Endure { bound: Bound, lost: bool, unplaced: Option<Unplaced> },
    /// A new binding, reserved.
    Bind { bound: Bound, reason: String, cause: Cause },
    /// See [`RoomPlan::Await`].
    Await,
    /// See [`RoomPlan::Peers`].
    Peers { unplaced: Option<Unplaced> },
    /// See [`RoomPlan::Unplaced`]; `lost` names the pod that the room had.
    Unplaced { unplaced: Unplaced, lost: Option<PodKey> },
    /// See [`RoomPlan::Close`]; names the pod that the room had.
    Close { reason: EndedReason, pod: Option<PodKey> },
}

/// What is planned beside the binding.
pub(super) struct Beside {
    /// Which relays its clients may use.
    pub(super) relays: RelayPlan,
    /// Whether it is over.
    pub(super) life: LifePlan,
}

/// Plans under the ledger's lock.
pub(super) fn plan(context: &Context, observed: &Observed, valid: &ValidRoom) -> (Planned, Beside) {
    let mut ledger = context.ledger();
    let (now, time) = (context.clock.instant(), context.clock.timestamp());
    if let Some(left) = ledger.observe(&observed.room, now) {
        context.fleet.kick(&left);
    }
    let seen = ledger.seen(&observed.uid, now);
    let life = plan_life(valid, &life_seen(observed, &seen, time), time);
    let seen = RoomSeen { over: life.life.ended.is_some(), ..seen };
    let pod = seen.bound.as_ref().and_then(|bound| context.pod(&bound.pod));
    let pod = pod.and_then(|pod| context.pod_view(&pod, &ledger, time));
    let plan = plan_room(valid, &seen, pod.as_ref(), || context.fleet_view(&ledger, time));
    let relays = plan_relays(valid, topology(observed, &plan), &context.relay_pools());
    let planned = match (plan, seen.bound) {
        (RoomPlan::Bind { choice, epoch, cause }, _) => {
            let bound = Bound { pod: choice.pod, boot: choice.boot, epoch };
            ledger.reserve(&observed.uid, bound.clone(), valid.reserve());
            Planned::Bind { bound, reason: choice.reason, cause }
        }
        (RoomPlan::Keep, Some(bound)) => Planned::Keep(bound),
        (RoomPlan::Endure { lost, unplaced }, Some(bound)) => Planned::Endure { bound, lost, unplaced },
        (RoomPlan::Keep | RoomPlan::Endure { .. } | RoomPlan::Await, _) => Planned::Await,
        (RoomPlan::Peers { unplaced }, _) => Planned::Peers { unplaced },
        (RoomPlan::Unplaced(unplaced), bound) => Planned::Unplaced { unplaced, lost: bound.map(|bound| bound.pod) },
        (RoomPlan::Close, bound) => {
            let reason = life.life.ended.map_or(EndedReason::Closed, |ended| ended.reason);
            Planned::Close { reason, pod: bound.map(|bound| bound.pod) }
        }
    };
    (planned, Beside { relays, life })
}

/// How it runs once that is applied: a call that is to get a media server goes on as it is until there is one.
fn topology(observed: &Observed, plan: &RoomPlan) -> Topology {
    match plan {
        RoomPlan::Peers { .. } => Topology::PeerToPeer,
        RoomPlan::Unplaced(_) => observed.room.topology(),
        RoomPlan::Close => observed.room.spec.topology,
        RoomPlan::Keep | RoomPlan::Endure { .. } | RoomPlan::Bind { .. } | RoomPlan::Await => Topology::MediaServer,
    }
}

fn life_seen(observed: &Observed, seen: &RoomSeen, now: Timestamp) -> LifeSeen {
    let shut = seen.bound.is_none() && seen.topology != Some(Topology::PeerToPeer);
    let presence = match seen.participants {
        _ if shut => Presence::Shut,
        None => Presence::Unheard,
        Some(0) => Presence::Nobody,
        Some(_) => Presence::Somebody,
    };
    let created = observed.room.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
    LifeSeen { before: observed.room.status.as_ref().map(life_of), presence, created }
}
