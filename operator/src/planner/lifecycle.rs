//! When a room ends by itself, and when it is deleted. The times that count stand in its status, so that a new leader goes
//! on where the last one stopped, once it has heard who is there. Status has whole seconds: a limit is given one more, so that
//! nothing ends too early.

use super::views::ValidRoom;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use plenum_api::room::{EndedReason, Lifecycle};

/// One opening of a room, from when it was applied or opened again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Life {
    /// When the first participant came.
    pub started_at: Option<Timestamp>,
    /// Since when nobody is in it; unset while somebody is.
    pub empty_since: Option<Timestamp>,
    /// It is over.
    pub ended: Option<Ended>,
}

/// The end of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: EndedReason,
}

/// Whether somebody is in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Somebody is, says who holds it.
    Somebody,
    /// Nobody is, says who holds it.
    Nobody,
    /// Nobody can be: it has no binding. Whoever was in it when it lost its pod may come back.
    Shut,
    /// Who holds it has not told this leader yet: no reason to end it.
    Unheard,
}

/// What was seen of a room's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LifeSeen {
    /// What its status says; unset while it has none.
    pub before: Option<Life>,
    /// Whether somebody is in it.
    pub presence: Presence,
    /// When it was applied.
    pub created: Timestamp,
}

/// What becomes of a room's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LifePlan {
    /// As it is now.
    pub life: Life,
    /// When to look again, if nothing happens before.
    pub next: Option<Timestamp>,
    /// It has been over for so long that it is to be deleted.
    pub expired: bool,
}

/// Plans the life of one room.
#[must_use]
pub fn plan_life(room: &ValidRoom, seen: &LifeSeen, now: Timestamp) -> LifePlan {
    let now = whole(now);
    let limits = &room.lifecycle;
    let fresh = Life { empty_since: Some(seen.created), ..Life::default() };
    let before = seen.before.unwrap_or(fresh);
    let over = match before.ended {
        // What ended by itself and is closed then may be opened again; it ended when it did.
        ended if !room.open => Some(Ended { at: ended.map_or(now, |ended| ended.at), reason: EndedReason::Closed }),
        Some(ended) if ended.reason != EndedReason::Closed => Some(ended),
        _ => None,
    };
    let life = match (over, before.ended) {
        (Some(ended), _) => end(before, ended),
        (None, Some(_)) => Life { empty_since: Some(now), ..Life::default() },
        (None, None) => meet(before, seen.presence, now),
    };
    let due = deadline(&life, limits, seen.presence);
    let life = match due {
        Some((at, reason)) if at <= now => end(life, Ended { at: now, reason }),
        _ => life,
    };
    match life.ended {
        None => LifePlan { life, next: due.map(|(at, _)| at), expired: false },
        Some(ended) => {
            let deletion = limits.ttl_seconds_after_ended.map(|ttl| after(ended.at, ttl));
            LifePlan { life, next: deletion, expired: deletion.is_some_and(|at| at <= now) }
        }
    }
}

fn whole(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn after(since: Timestamp, seconds: i32) -> Timestamp {
    since.checked_add(SignedDuration::from_secs(i64::from(seconds) + 1)).unwrap_or(Timestamp::MAX)
}

fn end(life: Life, ended: Ended) -> Life {
    Life { empty_since: life.empty_since.or(Some(ended.at)), ended: Some(ended), ..life }
}

fn meet(life: Life, presence: Presence, now: Timestamp) -> Life {
    match presence {
        Presence::Somebody => Life { started_at: life.started_at.or(Some(now)), empty_since: None, ..life },
        Presence::Nobody => Life { empty_since: life.empty_since.or(Some(now)), ..life },
        // Nobody has come yet, and nobody can: also where status was written before there were these times.
        Presence::Shut if life.started_at.is_none() => Life { empty_since: life.empty_since.or(Some(now)), ..life },
        Presence::Shut | Presence::Unheard => life,
    }
}

/// The first limit that is reached if nothing happens.
fn deadline(life: &Life, limits: &Lifecycle, presence: Presence) -> Option<(Timestamp, EndedReason)> {
    if life.ended.is_some() {
        return None;
    }
    let Lifecycle { empty_timeout_seconds, departure_timeout_seconds, max_duration_seconds, .. } = *limits;
    let longest = life.started_at.zip(max_duration_seconds);
    let empty = life.empty_since.filter(|_| presence != Presence::Unheard);
    let (alone, reason) = match life.started_at {
        None => (empty_timeout_seconds, EndedReason::EmptyTimeout),
        Some(_) => (departure_timeout_seconds, EndedReason::DepartureTimeout),
    };
    let ends = [
        longest.map(|(since, limit)| (after(since, limit), EndedReason::MaxDuration)),
        empty.zip(alone).map(|(since, limit)| (after(since, limit), reason)),
    ];
    ends.into_iter().flatten().min_by_key(|(at, _)| *at)
}

#[cfg(test)]
mod tests;
