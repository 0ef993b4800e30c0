//! The conditions of a Room in plain words. Pure.

use crate::paint::tame;
use plenum_api::room::RelayPolicy;
use plenum_api::{Condition, Room, conditions};

/// In the order in which they are decided; `Disrupted` is bad when it is true.
const DECIDED: [&str; 5] = [
    conditions::ACCEPTED,
    conditions::SCHEDULED,
    conditions::RELAY_READY,
    conditions::SIGNALING_READY,
    conditions::READY,
];

/// Whether clients can join.
pub(crate) fn is_ready(room: &Room) -> bool {
    room.condition(conditions::READY).is_some_and(|ready| ready.status == "True" && speaks_of_this_spec(room, ready))
}

/// Why the Room has no media pod, in one line.
pub(crate) fn unbound(room: &Room) -> String {
    let ready = room.condition(conditions::READY).filter(|ready| ready.status == "True");
    match (ready, first_obstacle(room, false)) {
        (Some(ready), _) | (None, Some(ready)) => one_line(ready),
        (None, None) if room.status.is_none() => "the operator has not looked at it yet: is it running?".to_owned(),
        (None, None) => "the operator has not decided yet".to_owned(),
    }
}

/// Every condition, and in the first line what it comes down to.
pub(crate) fn explain(room: &Room) -> String {
    let name = room.metadata.name.as_deref().unwrap_or_default();
    // Without relays a room serves all the same, unless it asks for them.
    let needs_relay = room.spec.relay.policy == RelayPolicy::Always;
    let summary = match (is_ready(room), first_obstacle(room, needs_relay)) {
        (true, _) => match room.condition(conditions::RELAY_READY).filter(|relays| relays.status == "False") {
            Some(lacking) => format!("is ready for clients that need no relay: {}", one_line(lacking)),
            None => "is ready".to_owned(),
        },
        (false, Some(obstacle)) => format!("is not ready: {}", one_line(obstacle)),
        (false, None) => format!("is not ready: {}", unbound(room)),
    };
    let mut text = format!("Room {name} {summary}\n");
    for condition in room.status.iter().flat_map(|status| &status.conditions) {
        let stale = if speaks_of_this_spec(room, condition) { "" } else { " (of an older spec)" };
        text += &format!("  {:<15} {:<8} {}{stale}", condition.type_, condition.status, condition.reason);
        let message = tame(&condition.message, usize::MAX);
        text += &if message.is_empty() { "\n".to_owned() } else { format!(": {message}\n") };
    }
    if let Some(placement) = room.status.as_ref().and_then(|status| status.placement.as_ref()) {
        text += &format!("placed (epoch {}): {}\n", placement.epoch, tame(&placement.reason, usize::MAX));
    }
    text
}

/// The first condition that is not true: the later ones follow from it. `relays`: a missing relay counts.
fn first_obstacle(room: &Room, relays: bool) -> Option<&Condition> {
    let counts = |kind: &&&str| relays || **kind != conditions::RELAY_READY;
    let mut decided = DECIDED.iter().filter(counts).filter_map(|kind| room.condition(kind));
    let false_first = decided.clone().find(|condition| condition.status == "False");
    false_first.or_else(|| decided.find(|condition| condition.status != "True"))
}

fn speaks_of_this_spec(room: &Room, condition: &Condition) -> bool {
    condition.observed_generation.is_none_or(|seen| Some(seen) == room.metadata.generation)
}

fn one_line(condition: &Condition) -> String {
    let Condition { type_, status, reason, message, .. } = condition;
    let told = if message.is_empty() { "no message".to_owned() } else { tame(message, usize::MAX) };
    format!("{told} ({type_}={status}, {reason})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(conditions: &[(&str, &str, &str, &str)]) -> Room {
        let conditions: Vec<serde_json::Value> = conditions
            .iter()
            .map(|(kind, status, reason, message)| {
                serde_json::json!({
                    "type": kind, "status": status, "reason": reason, "message": message,
                    "observedGeneration": 3, "lastTransitionTime": "2026-01-01T00:00:00Z",
                })
            })
            .collect();
        serde_json::from_value(serde_json::json!({
            "apiVersion": "rtc.plenum.dev/v1alpha1",
            "kind": "Room",
            "metadata": { "name": "standup", "namespace": "demo", "generation": 3 },
            "spec": { "topology": "MediaServer" },
            "status": { "conditions": conditions },
        }))
        .unwrap()
    }

    #[test]
    fn a_refused_placement_is_told_before_what_follows_from_it() {
        let room = room(&[
            ("Accepted", "True", "Valid", ""),
            ("Scheduled", "False", "PoolNotPermitted", "pool media/eu does not admit namespace demo"),
            ("Ready", "False", "NotScheduled", "see Scheduled"),
        ]);
        let told = "pool media/eu does not admit namespace demo (Scheduled=False, PoolNotPermitted)";
        assert_eq!(unbound(&room), told);
        let text = explain(&room);
        assert!(text.starts_with(&format!("Room standup is not ready: {told}\n")), "{text}");
        assert!(text.contains("  Accepted        True     Valid\n"), "{text}");
        assert!(!is_ready(&room));
    }

    #[test]
    fn a_room_that_waits_for_its_first_participant_is_ready_and_says_why_it_has_no_pod() {
        let room = room(&[
            ("Accepted", "True", "Valid", ""),
            ("Scheduled", "Unknown", "Pending", "waits"),
            ("Ready", "True", "AwaitingFirstParticipant", "a media pod is chosen when somebody joins"),
        ]);
        assert!(is_ready(&room));
        assert!(unbound(&room).starts_with("a media pod is chosen when somebody joins"));
    }

    #[test]
    fn readiness_of_an_older_spec_does_not_count() {
        let mut room = room(&[("Ready", "True", "Serving", "")]);
        room.metadata.generation = Some(4);
        assert!(!is_ready(&room));
        assert!(explain(&room).contains("(of an older spec)"));
    }

    const NO_RELAY: (&str, &str, &str, &str) =
        ("RelayReady", "False", "NoReadyRelay", "no pod of pool turn/eu is ready");

    #[test]
    fn a_room_that_falls_back_to_relays_is_ready_without_them_and_says_whom_it_serves() {
        let room = room(&[NO_RELAY, ("Ready", "True", "Serving", "")]);
        let text = explain(&room);
        let told = "Room standup is ready for clients that need no relay: no pod of pool turn/eu is ready \
                    (RelayReady=False, NoReadyRelay)\n";
        assert!(text.starts_with(told), "{text}");
        assert!(is_ready(&room));
    }

    #[test]
    fn a_room_that_always_relays_is_not_ready_without_a_relay() {
        let mut room =
            room(&[("Scheduled", "True", "Bound", ""), NO_RELAY, ("Ready", "False", "NoReadyRelay", "see RelayReady")]);
        room.spec.relay.policy = RelayPolicy::Always;
        let told = "Room standup is not ready: no pod of pool turn/eu is ready (RelayReady=False, NoReadyRelay)\n";
        assert!(explain(&room).starts_with(told), "{}", explain(&room));
    }

    #[test]
    fn a_missing_relay_does_not_explain_a_missing_media_pod() {
        let room = room(&[NO_RELAY, ("Scheduled", "False", "NoMatchingPool", "no pool in eu")]);
        assert_eq!(unbound(&room), "no pool in eu (Scheduled=False, NoMatchingPool)");
    }

    #[test]
    fn a_room_that_nobody_looked_at_says_so() {
        let mut room = room(&[]);
        room.status = None;
        assert_eq!(unbound(&room), "the operator has not looked at it yet: is it running?");
    }
}
