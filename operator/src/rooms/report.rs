//! Step 5: the status. Made from what was applied, compared with what is there, and written only when it differs.

mod coarse;
mod verdicts;

use super::RoomError;
use super::apply::{Applied, Outcome, Service};
use super::observe::Observed;
use crate::context::Context;
use crate::ledger::RoomLoad;
use crate::metrics::{KindLabel, ReconcileLabels};
use crate::planner::RelayPlan;
use crate::relays::join::Relayed;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, PostParams};
use kube::runtime::controller::Action;
use plenum_api::Room;
use plenum_api::conditions::{self, find};
use plenum_api::room::{
    Basis, FlowLegs, FlowName, Participants, RelayPolicy, RoomFlow, RoomPlacement, RoomSignaling, RoomStatus,
    SignalingMode,
};
use plenum_protocol::flow::{self as protocol, LegCounts};
use std::sync::Arc;
use std::time::{Duration, Instant};
use verdicts::Around;

/// Pause before a grant that was not acknowledged is sent again.
const AFTER_REFUSAL: Duration = Duration::from_millis(500);

/// A status to be, but for the times of its conditions.
pub(super) struct Draft {
    status: RoomStatus,
    verdicts: [(&'static str, conditions::Verdict); 6],
    generation: Option<i64>,
    /// What people are told of relayed clients.
    words: Option<String>,
    /// Relayed participants whose relay has not said how they reach it.
    unknown: bool,
}

/// What a status is made from, besides the Room and the outcome.
struct Facts<'a> {
    load: Option<RoomLoad>,
    relayed: Relayed,
    relays: Option<&'a RelayPlan>,
    url: String,
    has_gateway: bool,
}

impl Draft {
    /// Pure but for what the context knows of load, relays and addresses.
    pub(super) fn new(context: &Context, observed: &Observed, outcome: &Outcome, relays: Option<&RelayPlan>) -> Self {
        let (load, from) = {
            let ledger = context.ledger();
            (ledger.room_load(&observed.uid), ledger.relayed(&observed.uid))
        };
        let url =
            format!("{}/v1/rooms/{}/{}", context.settings.public_url, observed.name.namespace, observed.name.name);
        let relayed = context.relayed(&from);
        let facts = Facts { load, relayed, relays, url, has_gateway: observed.has_gateway };
        Self::from_parts(&observed.room, outcome, facts)
    }

    fn from_parts(room: &Room, outcome: &Outcome, facts: Facts<'_>) -> Self {
        let Facts { load, relayed, relays, url, has_gateway } = facts;
        let old = room.status.as_ref();
        let policy = room.spec.relay.policy;
        let seen = load.filter(|_| matches!(outcome, Outcome::Bound { .. }));
        let words = seen.and_then(|load| relayed.words(policy, load.participants));
        let around = Around {
            before: old.and_then(|status| find(&status.conditions, conditions::READY)),
            had_binding: old.is_some_and(|old| old.placement.is_some()),
            has_gateway,
            relays,
            words: words.as_deref(),
        };
        let verdicts = verdicts::verdicts(outcome, around);
        let open = matches!(outcome, Outcome::Bound { .. } | Outcome::Awaiting);
        let (placement, assignments) = match outcome {
            Outcome::Bound { placement, assignment, .. } => {
                (Some(placement.clone()), vec![assignment.as_ref().clone()])
            }
            _ => (old.and_then(|old| old.placement.clone()).map(unbound), Vec::new()),
        };
        let status = RoomStatus {
            observed_generation: room.metadata.generation,
            conditions: old.map(|old| old.conditions.clone()).unwrap_or_default(),
            flow: Some(flow(load, old, outcome, policy)),
            placement,
            media: assignments.first().map(|assignment| assignment.pod.clone()),
            assignments,
            relay_pools: relays.map(|relays| relays.pools.clone()).unwrap_or_default(),
            signaling: open.then_some(RoomSignaling { url }),
            participants: Some(participants(load, old, outcome)),
            ended_at: ended_at(old, outcome),
        };
        Self { status, verdicts, generation: room.metadata.generation, words, unknown: relayed.unknown > 0 }
    }

    fn into_status(self, now: Timestamp) -> RoomStatus {
        let Self { mut status, verdicts, generation, words: _, unknown: _ } = self;
        for (kind, verdict) in verdicts {
            conditions::set(&mut status.conditions, kind, verdict, generation, now);
        }
        if let Some(ended) = status.ended_at.as_mut().filter(|ended| ended.0 == Timestamp::UNIX_EPOCH) {
            *ended = Time(now);
        }
        status
    }
}

fn unbound(placement: RoomPlacement) -> RoomPlacement {
    RoomPlacement { region: None, ..placement }
}

/// What the pod says; while it has not spoken (a new leader), what status says stays.
fn flow(load: Option<RoomLoad>, old: Option<&RoomStatus>, outcome: &Outcome, policy: RelayPolicy) -> RoomFlow {
    let name = if policy == RelayPolicy::Always { FlowName::MediaServerRelayed } else { FlowName::MediaServer };
    let legs = FlowLegs::default();
    let planned = RoomFlow { name, basis: Basis::Planned, signaling: SignalingMode::Gateway, legs };
    let old = old.and_then(|old| old.flow.clone());
    match (outcome, load) {
        (Outcome::Bound { .. }, Some(load)) => observed_flow(load.legs).unwrap_or(planned),
        (Outcome::Bound { service: Service::Unasked | Service::Lost(_), .. }, None) => old.unwrap_or(planned),
        _ => planned,
    }
}

/// `None` while no leg is connected.
fn observed_flow(legs: LegCounts) -> Option<RoomFlow> {
    let LegCounts { direct, relayed, colocated } = legs;
    let (name, basis) = protocol::media_server_flow(legs);
    let name = match name {
        protocol::FlowName::MediaServerRelayed => FlowName::MediaServerRelayed,
        protocol::FlowName::MediaServerRelayedOneSide => FlowName::MediaServerRelayedOneSide,
        // The others are not made of these counts, or not run by this version.
        _ => FlowName::MediaServer,
    };
    (basis == protocol::Basis::Observed).then_some(RoomFlow {
        name,
        basis: Basis::Observed,
        signaling: SignalingMode::Gateway,
        legs: FlowLegs { direct, relayed, colocated },
    })
}

fn participants(load: Option<RoomLoad>, old: Option<&RoomStatus>, outcome: &Outcome) -> Participants {
    let old = old.and_then(|old| old.participants).unwrap_or_default();
    match (outcome, load) {
        (Outcome::Bound { .. }, Some(load)) => {
            Participants { current: load.participants, peak: old.peak.max(load.peak) }
        }
        (Outcome::Bound { service: Service::Unasked | Service::Lost(_), .. }, None) => old,
        _ => Participants { current: 0, peak: old.peak },
    }
}

/// The epoch of Unix stands for "now", which is not known here.
fn ended_at(old: Option<&RoomStatus>, outcome: &Outcome) -> Option<Time> {
    let Outcome::Closed = outcome else { return None };
    Some(old.and_then(|old| old.ended_at.clone()).unwrap_or(Time(Timestamp::UNIX_EPOCH)))
}

/// Writes the status if it differs, and says when to look again.
pub(super) async fn report(context: &Context, observed: &Observed, applied: Applied) -> Result<Action, RoomError> {
    let Applied { room, outcome, relays, retry, tell } = applied;
    let serving = matches!(&outcome, Outcome::Bound { service: Service::Serving, .. });
    let draft = Draft::new(context, observed, &outcome, relays.as_ref());
    let now = Instant::now();
    let pace = {
        let mut ledger = context.ledger();
        let unsettled = ledger.unsettled(&observed.uid, draft.unknown, now);
        coarse::Pace { last: ledger.coarse_written(&observed.uid), unsettled }
    };
    let again = match coarse::decide(room.status.as_ref(), &draft.status_now(), pace, now) {
        coarse::Decision::Same => None,
        coarse::Decision::Later(pause) => Some(pause),
        coarse::Decision::Write => {
            let words = draft.words.clone();
            let written = write(context, observed, &room, draft).await?;
            events(context, &room, &written, words);
            None
        }
    };
    if let Some(pod) = tell {
        context.fleet.kick(&pod);
    }
    if serving && let Some(first) = context.ledger().take_first_seen(&observed.uid) {
        context.metrics.bind_seconds.observe(first.elapsed().as_secs_f64());
    }
    Ok(match (retry, again) {
        (true, _) => Action::requeue(AFTER_REFUSAL),
        (false, Some(pause)) => Action::requeue(pause),
        (false, None) => Action::await_change(),
    })
}

impl Draft {
    /// For comparison: times of conditions move only when their status does, so a clock is not needed.
    fn status_now(&self) -> RoomStatus {
        let (status, verdicts) = (self.status.clone(), self.verdicts.clone());
        let copy = Self { status, verdicts, words: None, ..*self };
        copy.into_status(Timestamp::now())
    }
}

/// Writes a status with the resourceVersion of `base`.
pub(super) async fn write(
    context: &Context,
    observed: &Observed,
    base: &Arc<Room>,
    draft: Draft,
) -> Result<Arc<Room>, RoomError> {
    context.may_write()?;
    let mut room = Room::clone(base);
    room.status = Some(draft.into_status(Timestamp::now()));
    let api: Api<Room> = Api::namespaced(context.client.clone(), &observed.name.namespace);
    let written = api.replace_status(&observed.name.name, &PostParams::default(), &room).await;
    let mut written = written.map_err(|source| RoomError::Write { name: observed.name.to_string(), source })?;
    context.metrics.status_writes.get_or_create(&ReconcileLabels { kind: KindLabel::Room }).inc();
    written.metadata.managed_fields = None;
    let written = Arc::new(written);
    let now = Instant::now();
    context.rooms.wrote(written.clone(), now);
    let mut ledger = context.ledger();
    ledger.settle(&written, now);
    if coarse::of(base.status.as_ref()) != coarse::of(written.status.as_ref()) {
        ledger.wrote_coarse(&observed.uid, now);
    }
    Ok(written)
}

/// Events for what changed for people; binds have theirs already.
fn events(context: &Context, before: &Room, after: &Room, words: Option<String>) {
    let changed = |kind: &str| {
        let (old, new) = (before.condition(kind), after.condition(kind)?);
        let same = old.is_some_and(|old| old.status == new.status && old.reason == new.reason);
        (!same).then_some(new)
    };
    if let Some(scheduled) = changed(conditions::SCHEDULED).filter(|scheduled| scheduled.status == "False") {
        match scheduled.reason.as_str() {
            "Closed" => context.events.normal(after, "Closed", &scheduled.message),
            _ => context.events.warning(after, "NotScheduled", format!("{}: {}", scheduled.reason, scheduled.message)),
        }
    }
    let said = |words: &String| before.condition(conditions::READY).is_some_and(|ready| ready.message.contains(words));
    if let Some(words) = words.filter(|words| !said(words)) {
        context.events.normal(after, "LegsRelayed", words);
    }
    if let Some(disrupted) = changed(conditions::DISRUPTED).filter(|disrupted| disrupted.status == "True") {
        context.events.warning(after, &disrupted.reason, &disrupted.message);
    }
    if let Some(accepted) = changed(conditions::ACCEPTED).filter(|accepted| accepted.status == "False") {
        context.events.warning(after, "NotAccepted", &accepted.message);
    }
}

#[cfg(test)]
mod tests;
