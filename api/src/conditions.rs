//! Conditions: their types, and the one way to change a list of them. Pure: the time is an argument.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// The spec can be served as it stands.
pub const ACCEPTED: &str = "Accepted";
/// Room: bound to a media pod.
pub const SCHEDULED: &str = "Scheduled";
/// Room: its clients find a relay when they need one.
pub const RELAY_READY: &str = "RelayReady";
/// Room: clients find a gateway.
pub const SIGNALING_READY: &str = "SignalingReady";
/// Clients can join; RelayPool: every wanted pod serves.
pub const READY: &str = "Ready";
/// Room: its media pod leaves or is lost.
pub const DISRUPTED: &str = "Disrupted";
/// RelayPool: pods come or go.
pub const PROGRESSING: &str = "Progressing";
/// RelayPool: every placed pod has an address for clients.
pub const EXPOSURE_READY: &str = "ExposureReady";

/// Conditions that a Room always carries.
pub const ROOM: [&str; 6] = [ACCEPTED, SCHEDULED, RELAY_READY, SIGNALING_READY, READY, DISRUPTED];
/// Conditions that a RelayPool always carries.
pub const POOL: [&str; 4] = [ACCEPTED, READY, PROGRESSING, EXPOSURE_READY];

/// Longest message of a condition, in characters; longer ones are cut.
pub const MAX_MESSAGE: usize = 1024;

/// Status of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Not decided.
    Unknown,
}

impl Truth {
    /// As Kubernetes writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// What a condition is to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Status.
    pub status: Truth,
    /// CamelCase, for programs.
    pub reason: &'static str,
    /// For people: what is so and, when it is bad, what to do.
    pub message: String,
}

impl Verdict {
    /// A verdict.
    #[must_use]
    pub fn new(status: Truth, reason: &'static str, message: impl Into<String>) -> Self {
        Self { status, reason, message: message.into() }
    }

    /// `Unknown`, because something else must be decided first.
    #[must_use]
    pub fn pending(message: impl Into<String>) -> Self {
        Self::new(Truth::Unknown, "Pending", message)
    }
}

/// Finds a condition by type.
#[must_use]
pub fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// Whether a condition is there and `True`.
#[must_use]
pub fn is_true(conditions: &[Condition], kind: &str) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.status == Truth::True.as_str())
}

/// Writes `verdict` under `kind`; the transition time moves only when the status does.
pub fn set(conditions: &mut Vec<Condition>, kind: &str, verdict: Verdict, generation: Option<i64>, now: Timestamp) {
    let message: String = verdict.message.chars().take(MAX_MESSAGE).collect();
    let status = verdict.status.as_str();
    let fresh = || Condition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: verdict.reason.to_owned(),
        message: message.clone(),
        observed_generation: generation,
        last_transition_time: Time(now),
    };
    match conditions.iter_mut().find(|condition| condition.type_ == kind) {
        None => conditions.push(fresh()),
        Some(old) => {
            let since = if old.status == status { old.last_transition_time.clone() } else { Time(now) };
            *old = Condition { last_transition_time: since, ..fresh() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let mut list = Vec::new();
        set(&mut list, READY, Verdict::new(Truth::False, "A", "a"), Some(1), at(10));
        set(&mut list, READY, Verdict::new(Truth::False, "B", "b"), Some(2), at(20));
        assert_eq!(list.len(), 1);
        assert_eq!(list[0].last_transition_time, Time(at(10)));
        assert_eq!((list[0].reason.as_str(), list[0].observed_generation), ("B", Some(2)));
        set(&mut list, READY, Verdict::new(Truth::True, "C", ""), Some(2), at(30));
        assert_eq!(list[0].last_transition_time, Time(at(30)));
        assert!(is_true(&list, READY));
    }

    #[test]
    fn a_long_message_is_cut() {
        let mut list = Vec::new();
        set(&mut list, READY, Verdict::pending("ü".repeat(5000)), None, at(0));
        assert_eq!(list[0].message.chars().count(), MAX_MESSAGE);
    }
}
