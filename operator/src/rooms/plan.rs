//! Step 3: asks the pure planner, and keeps the place that it chose before anybody else can take it.

use super::observe::Observed;
use crate::context::Context;
use crate::planner::{Bound, Cause, PodKey, RelayPlan, RoomPlan, Unplaced, ValidRoom, plan_relays, plan_room};
use k8s_openapi::jiff::Timestamp;
use std::time::Instant;

/// What is to be done, with a place that is kept when there is a new one.
pub(super) enum Planned {
    /// See [`RoomPlan::Keep`].
    Keep(Bound),
    /// See [`RoomPlan::Endure`].
    Endure { bound: Bound, lost: bool, unplaced: Option<Unplaced> },
    /// A new binding, reserved.
    Bind { bound: Bound, reason: String, cause: Cause },
    /// See [`RoomPlan::Await`].
    Await,
    /// See [`RoomPlan::Unplaced`]; `lost` names the pod that the room had.
    Unplaced { unplaced: Unplaced, lost: Option<PodKey> },
    /// See [`RoomPlan::Close`]; names the pod that the room had.
    Close(Option<PodKey>),
}

/// Plans under the ledger's lock.
pub(super) fn plan(context: &Context, observed: &Observed, valid: &ValidRoom) -> (Planned, RelayPlan) {
    let mut ledger = context.ledger();
    let now = Instant::now();
    if let Some(left) = ledger.observe(&observed.room, now) {
        context.fleet.kick(&left);
    }
    let seen = ledger.seen(&observed.uid, now);
    let relays = plan_relays(valid, &context.relay_pools());
    let clock = Timestamp::now();
    let pod = seen.bound.as_ref().and_then(|bound| context.pod(&bound.pod));
    let pod = pod.and_then(|pod| context.pod_view(&pod, &ledger, clock));
    let plan = plan_room(valid, &seen, pod.as_ref(), || context.fleet_view(&ledger, clock));
    let planned = match (plan, seen.bound) {
        (RoomPlan::Bind { choice, epoch, cause }, _) => {
            let bound = Bound { pod: choice.pod, boot: choice.boot, epoch };
            ledger.reserve(&observed.uid, bound.clone(), valid.reserve());
            Planned::Bind { bound, reason: choice.reason, cause }
        }
        (RoomPlan::Keep, Some(bound)) => Planned::Keep(bound),
        (RoomPlan::Endure { lost, unplaced }, Some(bound)) => Planned::Endure { bound, lost, unplaced },
        (RoomPlan::Keep | RoomPlan::Endure { .. } | RoomPlan::Await, _) => Planned::Await,
        (RoomPlan::Unplaced(unplaced), bound) => Planned::Unplaced { unplaced, lost: bound.map(|bound| bound.pod) },
        (RoomPlan::Close, bound) => Planned::Close(bound.map(|bound| bound.pod)),
    };
    (planned, relays)
}
