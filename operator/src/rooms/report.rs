//! Step 5: the status. Made from what was applied, compared with what is there, and written only when it differs.

mod coarse;
mod flow;
mod verdicts;

use super::RoomError;
use super::apply::{Applied, Outcome, Service};
use super::observe::Observed;
use super::plan::Beside;
use crate::context::Context;
use crate::ledger::{RoomLoad, life_of};
use crate::metrics::{KindLabel, ReconcileLabels};
use crate::planner::{Ended, Life, RelayPlan};
use crate::relays::join::Relayed;
use flow::Told;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, PostParams};
use kube::runtime::controller::Action;
use plenum_api::Room;
use plenum_api::conditions::{self, find};
use plenum_api::room::{Lifecycle, RoomPlacement, RoomSignaling, RoomStatus, Topology};
use std::sync::Arc;
use std::time::Duration;
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
    /// Unset: what status says stays.
    life: Option<Life>,
    url: String,
    has_gateway: bool,
}

impl Draft {
    /// Pure but for what the context knows of load, relays and addresses.
    pub(super) fn new(context: &Context, observed: &Observed, outcome: &Outcome, beside: Option<&Beside>) -> Self {
        let (load, from) = {
            let ledger = context.ledger();
            (ledger.room_load(&observed.uid), ledger.relayed(&observed.uid))
        };
        let url =
            format!("{}/v1/rooms/{}/{}", context.settings.public_url, observed.name.namespace, observed.name.name);
        let relayed = context.relayed(&from);
        let (relays, life) = (beside.map(|beside| &beside.relays), beside.map(|beside| beside.life.life));
        let facts = Facts { load, relayed, relays, life, url, has_gateway: observed.has_gateway };
        Self::from_parts(&observed.room, outcome, facts)
    }

    fn from_parts(room: &Room, outcome: &Outcome, facts: Facts<'_>) -> Self {
        let Facts { load, relayed, relays, life, url, has_gateway } = facts;
        let old = room.status.as_ref();
        let policy = room.spec.relay.policy;
        let topology = outcome.topology(room);
        let told = Told::of(outcome, topology, load);
        let words = told.load().and_then(|load| relayed.words(policy, load.participants));
        let around = Around {
            before: old.and_then(|status| find(&status.conditions, conditions::READY)),
            had_binding: old.is_some_and(|old| old.placement.is_some()),
            has_gateway,
            relays,
            words: words.as_deref(),
        };
        let verdicts = verdicts::verdicts(outcome, around);
        let open = match outcome {
            Outcome::Bound { .. } | Outcome::Awaiting | Outcome::Peers { .. } => true,
            Outcome::Unplaced { .. } => topology == Topology::PeerToPeer,
            Outcome::Invalid(_) | Outcome::Over(_) => false,
        };
        let (placement, assignments) = match outcome {
            Outcome::Bound { placement, assignment, .. } => {
                (Some(placement.clone()), vec![assignment.as_ref().clone()])
            }
            _ => (old.and_then(|old| old.placement.clone()).map(unbound), Vec::new()),
        };
        let life = life.or_else(|| old.map(life_of)).unwrap_or_default();
        let status = RoomStatus {
            observed_generation: room.metadata.generation,
            conditions: old.map(|old| old.conditions.clone()).unwrap_or_default(),
            topology: Some(topology),
            flow: Some(told.flow(old, topology, policy)),
            placement,
            media: assignments.first().map(|assignment| assignment.pod.clone()),
            assignments,
            relay_pools: relays.map(|relays| relays.pools.clone()).unwrap_or_default(),
            signaling: open.then_some(RoomSignaling { url }),
            participants: Some(told.participants(old)),
            started_at: life.started_at.map(Time),
            empty_since: life.empty_since.map(Time),
            ended_at: life.ended.map(|Ended { at, .. }| Time(at)),
            ended_reason: life.ended.map(|Ended { reason, .. }| reason),
        };
        Self { status, verdicts, generation: room.metadata.generation, words, unknown: relayed.unknown > 0 }
    }

    fn into_status(self, now: Timestamp) -> RoomStatus {
        let Self { mut status, verdicts, generation, words: _, unknown: _ } = self;
        for (kind, verdict) in verdicts {
            conditions::set(&mut status.conditions, kind, verdict, generation, now);
        }
        status
    }
}

fn unbound(placement: RoomPlacement) -> RoomPlacement {
    RoomPlacement { region: None, ..placement }
}

/// Writes the status if it differs, and says when to look again.
pub(super) async fn report(context: &Context, observed: &Observed, applied: Applied) -> Result<Action, RoomError> {
    let Applied { room, outcome, beside, retry, tell } = applied;
    let serving = matches!(&outcome, Outcome::Bound { service: Service::Serving, .. });
    let draft = Draft::new(context, observed, &outcome, beside.as_ref());
    let now = context.clock.instant();
    let pace = {
        let mut ledger = context.ledger();
        let unsettled = ledger.unsettled(&observed.uid, draft.unknown, now);
        coarse::Pace { last: ledger.coarse_written(&observed.uid), unsettled, timed: is_timed(&room.spec.lifecycle) }
    };
    let again = match coarse::decide(room.status.as_ref(), &draft.status_at(context.clock.timestamp()), pace, now) {
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
    let time = context.clock.timestamp();
    let limit = beside.and_then(|beside| beside.life.next).map(|at| until(at, time));
    let pauses = [retry.then_some(AFTER_REFUSAL), again, limit];
    Ok(pauses.into_iter().flatten().min().map_or_else(Action::await_change, Action::requeue))
}

fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default()
}

/// Whether the room ends, or does not, by who is in it.
fn is_timed(lifecycle: &Lifecycle) -> bool {
    let Lifecycle { empty_timeout_seconds, departure_timeout_seconds, max_duration_seconds, .. } = lifecycle;
    [empty_timeout_seconds, departure_timeout_seconds, max_duration_seconds].into_iter().any(Option::is_some)
}

impl Draft {
    /// For comparison: times of conditions move only when their status does.
    fn status_at(&self, now: Timestamp) -> RoomStatus {
        let (status, verdicts) = (self.status.clone(), self.verdicts.clone());
        let copy = Self { status, verdicts, words: None, ..*self };
        copy.into_status(now)
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
    room.status = Some(draft.into_status(context.clock.timestamp()));
    let api: Api<Room> = Api::namespaced(context.client.clone(), &observed.name.namespace);
    let written = api.replace_status(&observed.name.name, &PostParams::default(), &room).await;
    let mut written = written.map_err(|source| RoomError::Write { name: observed.name.to_string(), source })?;
    context.metrics.status_writes.get_or_create(&ReconcileLabels { kind: KindLabel::Room }).inc();
    written.metadata.managed_fields = None;
    let written = Arc::new(written);
    let now = context.clock.instant();
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
            verdicts::ENDED => context.events.normal(after, "RoomEnded", &scheduled.message),
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
