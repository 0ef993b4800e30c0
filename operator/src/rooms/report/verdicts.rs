//! The six conditions of a Room. Pure.

use crate::planner::{RelayPlan, Unplaced};
use crate::rooms::apply::{Outcome, Service};
use plenum_api::Condition;
use plenum_api::conditions::{ACCEPTED, DISRUPTED, READY, RELAY_READY, SCHEDULED, SIGNALING_READY, Truth, Verdict};
use plenum_api::room::EndedReason;

/// Reason while all is well.
pub(in crate::rooms) const SERVING: &str = "Serving";
/// Reason of a room that ended by itself.
pub(in crate::rooms) const ENDED: &str = "Ended";
/// Reason while the first participant is awaited.
pub(in crate::rooms) const AWAITING: &str = "AwaitingFirstParticipant";

/// What the conditions depend on besides the outcome.
#[derive(Clone, Copy)]
pub(in crate::rooms) struct Around<'a> {
    /// The condition Ready as it was.
    pub(in crate::rooms) before: Option<&'a Condition>,
    /// The room was bound at some time.
    pub(in crate::rooms) had_binding: bool,
    /// A gateway takes clients.
    pub(in crate::rooms) has_gateway: bool,
    /// Which relays its clients may use.
    pub(in crate::rooms) relays: Option<&'a RelayPlan>,
    /// What people are told of relayed clients.
    pub(in crate::rooms) words: Option<&'a str>,
}

pub(in crate::rooms) fn verdicts(outcome: &Outcome, around: Around<'_>) -> [(&'static str, Verdict); 6] {
    [
        (ACCEPTED, accepted(outcome)),
        (SCHEDULED, scheduled(outcome)),
        (RELAY_READY, relay(around.relays)),
        (SIGNALING_READY, signaling(around.has_gateway)),
        (READY, ready(outcome, around)),
        (DISRUPTED, disrupted(outcome, around.had_binding)),
    ]
}

fn relay(relays: Option<&RelayPlan>) -> Verdict {
    relays.map_or_else(|| Verdict::pending("the spec is not accepted"), |relays| relays.verdict.clone())
}

fn accepted(outcome: &Outcome) -> Verdict {
    match outcome {
        Outcome::Invalid(invalid) => Verdict::new(Truth::False, "Invalid", invalid.to_string()),
        _ => Verdict::new(Truth::True, "Accepted", "the spec can be served"),
    }
}

fn scheduled(outcome: &Outcome) -> Verdict {
    match outcome {
        Outcome::Invalid(_) => Verdict::pending("the spec is not accepted"),
        Outcome::Bound { placement, .. } => Verdict::new(Truth::True, "Bound", placement.reason.clone()),
        Outcome::Awaiting => {
            Verdict::new(Truth::Unknown, AWAITING, "a media pod is chosen when the first participant joins")
        }
        Outcome::Peers { unplaced: None } => {
            Verdict::new(Truth::True, "NotNeeded", "peer to peer: no media pod is needed")
        }
        Outcome::Peers { unplaced: Some(unplaced) } => {
            let message = format!("a third person cannot come, and two go on peer to peer: {}", unplaced.message);
            Verdict::new(Truth::False, unplaced.reason.as_str(), message)
        }
        Outcome::Unplaced { unplaced, .. } => not_placed(unplaced),
        Outcome::Over(reason) => over(*reason),
    }
}

fn signaling(has_gateway: bool) -> Verdict {
    if has_gateway { Verdict::new(Truth::True, "GatewayReady", "a gateway takes clients") } else { no_gateway() }
}

fn no_gateway() -> Verdict {
    let message = "no gateway pod is ready, so nobody can join: look at the Deployment plenum-gateway";
    Verdict::new(Truth::False, "NoGateway", message)
}

fn may_be_ready(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Awaiting
            | Outcome::Peers { .. }
            | Outcome::Bound { service: Service::Serving | Service::Leaving(_) | Service::Unasked, .. }
    )
}

fn ready(outcome: &Outcome, around: Around<'_>) -> Verdict {
    if may_be_ready(outcome) && !around.has_gateway {
        return no_gateway();
    }
    if let Some(relays) = around.relays.filter(|relays| may_be_ready(outcome) && relays.blocks()) {
        return relays.verdict.clone();
    }
    match outcome {
        Outcome::Invalid(invalid) => Verdict::new(Truth::False, "Invalid", invalid.to_string()),
        Outcome::Awaiting => Verdict::new(Truth::True, AWAITING, "participants can join; the first one decides where"),
        Outcome::Peers { .. } => serving(around.words),
        Outcome::Unplaced { unplaced, .. } => not_placed(unplaced),
        Outcome::Over(reason) => over(*reason),
        Outcome::Bound { service, .. } => match (service, around.before) {
            (Service::Serving | Service::Leaving(_), _) => serving(around.words),
            (Service::Granting, _) => Verdict::pending("the media pod has not acknowledged the room yet"),
            (Service::Unasked, Some(before)) if before.status == "True" && before.reason == SERVING => {
                Verdict::new(Truth::True, SERVING, before.message.clone())
            }
            (Service::Unasked, Some(before)) if before.status == "True" => serving(None),
            (Service::Unasked, _) => Verdict::pending("the media pod has not answered yet"),
            (Service::Lost(unplaced), _) => {
                Verdict::new(Truth::False, "MediaNodeLost", lost_message(unplaced.as_ref()))
            }
        },
    }
}

fn serving(words: Option<&str>) -> Verdict {
    let more = words.map(|words| format!("; {words}")).unwrap_or_default();
    Verdict::new(Truth::True, SERVING, format!("participants can join{more}"))
}

fn over(reason: EndedReason) -> Verdict {
    if reason == EndedReason::Closed {
        return Verdict::new(Truth::False, "Closed", reason.words());
    }
    let again = "to open it again, set desiredState to Closed, wait for the reason Closed, and set it to Open; or delete the Room and apply it again";
    Verdict::new(Truth::False, ENDED, format!("{}; {again}", reason.words()))
}

fn not_placed(unplaced: &Unplaced) -> Verdict {
    Verdict::new(Truth::False, unplaced.reason.as_str(), unplaced.message.clone())
}

fn lost_message(unplaced: Option<&Unplaced>) -> String {
    let rest = unplaced.map(|unplaced| format!(", and there is no other: {}", unplaced.message)).unwrap_or_default();
    format!("the media pod cannot be reached{rest}")
}

fn disrupted(outcome: &Outcome, had_binding: bool) -> Verdict {
    let yes = |reason, message: String| Verdict::new(Truth::True, reason, message);
    match outcome {
        Outcome::Bound { service: Service::Lost(unplaced), .. } => {
            yes("MediaNodeLost", lost_message(unplaced.as_ref()))
        }
        Outcome::Bound { service: Service::Leaving(None), .. } => yes(
            "Draining",
            "the media pod leaves when its rooms are empty or its pool's drain timeout has passed".to_owned(),
        ),
        Outcome::Bound { service: Service::Leaving(Some(unplaced)), .. } => {
            yes("Leaving", format!("the media pod leaves, and there is no other: {}", unplaced.message))
        }
        Outcome::Unplaced { lost: true, unplaced } => {
            yes("MediaNodeLost", format!("the media pod is gone, and there is no other: {}", unplaced.message))
        }
        Outcome::Unplaced { unplaced, .. } if had_binding => {
            yes("MediaNodeLost", format!("the last media pod is gone, and there is no other: {}", unplaced.message))
        }
        Outcome::Peers { .. } => Verdict::new(Truth::False, "NotDisrupted", "two peers have no media pod to lose"),
        _ => Verdict::new(Truth::False, "NotDisrupted", "the media pod is not about to leave"),
    }
}
