//! May this process take the lease? Pure: by what was seen and how long ago, never by another machine's clock.

use super::{DESERTED_AFTER, DURATION, probe};
use k8s_openapi::api::coordination::v1::Lease;
use plenum_api::names;
use plenum_runtime::client::Target;
use std::time::Instant;

/// Probes in a row that a leader must miss before its lease may be taken early.
const PROBES: u32 = 3;

/// A lease as it was seen, and how its holder answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseSeen {
    /// Who holds it; empty: nobody.
    pub holder: String,
    /// How often it changed hands.
    pub transitions: i32,
    /// Where its holder answers probes.
    pub leader: Option<Target>,
    version: Option<String>,
    since: Instant,
    missed: u32,
}

impl LeaseSeen {
    /// `before` is the last look: an unchanged lease keeps the time at which it was first seen so, and an unchanged
    /// holder its missed probes.
    #[must_use]
    pub fn of(lease: &Lease, before: Option<Self>, now: Instant) -> Self {
        let version = lease.metadata.resource_version.clone();
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.unwrap_or_default();
        let transitions = spec.lease_transitions.unwrap_or(0);
        let same_holder = |before: &&Self| before.holder == holder && before.transitions == transitions;
        let missed = before.as_ref().filter(same_holder).map_or(0, |before| before.missed);
        let since = before.filter(|before| before.version == version).map_or(now, |before| before.since);
        let annotations = lease.metadata.annotations.as_ref();
        let address = annotations.and_then(|annotations| annotations.get(names::ANNOTATION_ADDRESS));
        let leader = address.and_then(|address| probe::target(address));
        Self { holder, transitions, leader, version, since, missed }
    }

    /// Takes the outcome of a probe of the holder.
    pub fn probed(&mut self, answered: bool) {
        self.missed = if answered { 0 } else { self.missed.saturating_add(1) };
    }

    /// When the lease may be taken by `identity`, unless it is renewed or its holder answers before. A lease under this
    /// process's own name is one of its former life (pod names are unique): it takes that at once, but as a new term.
    #[must_use]
    pub fn free_from(&self, identity: &str) -> Instant {
        if self.holder.is_empty() || self.holder == identity {
            return self.since;
        }
        // Silence alone is no death: a leader that renews leads, whoever cannot reach it.
        self.since + if self.missed >= PROBES { DESERTED_AFTER } else { DURATION }
    }
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Write it with this many transitions.
    Take {
        /// `leaseTransitions` to write: the new term.
        transitions: i32,
    },
    /// Somebody else leads.
    Wait,
}

/// Decides at `now`. `first_term` is for a Lease that does not exist.
#[must_use]
pub fn claim(seen: Option<&LeaseSeen>, identity: &str, now: Instant, first_term: i32) -> Claim {
    match seen {
        None => Claim::Take { transitions: first_term },
        Some(seen) if now >= seen.free_from(identity) => {
            Claim::Take { transitions: seen.transitions.saturating_add(1) }
        }
        Some(_) => Claim::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    use std::time::Duration;

    const FIRST: i32 = 1;

    fn lease(holder: &str, version: &str) -> Lease {
        let mut lease: Lease = serde_json::from_value(json!({
            "spec": { "holderIdentity": holder, "leaseTransitions": 4 },
        }))
        .unwrap();
        lease.metadata.resource_version = Some(version.into());
        lease
    }

    #[test]
    fn a_missing_or_released_lease_is_taken_at_once() {
        let now = Instant::now();
        assert_eq!(claim(None, "a", now, FIRST), Claim::Take { transitions: 1 });
        let seen = LeaseSeen::of(&lease("", "1"), None, now);
        assert_eq!(claim(Some(&seen), "a", now, FIRST), Claim::Take { transitions: 5 });
    }

    #[test]
    fn an_unrenewed_lease_is_taken_after_its_duration_by_the_own_clock() {
        let start = Instant::now();
        let mut seen = LeaseSeen::of(&lease("b", "1"), None, start);
        seen = LeaseSeen::of(&lease("b", "1"), Some(seen), start + Duration::from_secs(9));
        assert_eq!(claim(Some(&seen), "a", start + Duration::from_secs(9), FIRST), Claim::Wait);
        assert_eq!(claim(Some(&seen), "a", start + DURATION, FIRST), Claim::Take { transitions: 5 });
    }

    #[test]
    fn a_renewal_starts_the_wait_again() {
        let start = Instant::now();
        let seen = LeaseSeen::of(&lease("b", "1"), None, start);
        let seen = LeaseSeen::of(&lease("b", "2"), Some(seen), start + Duration::from_secs(9));
        assert_eq!(claim(Some(&seen), "a", start + DURATION, FIRST), Claim::Wait);
    }

    #[test]
    fn a_restarted_process_takes_its_own_lease_as_a_new_term() {
        let now = Instant::now();
        let seen = LeaseSeen::of(&lease("a", "1"), None, now);
        assert_eq!(claim(Some(&seen), "a", now, FIRST), Claim::Take { transitions: 5 });
    }

    /// A lease of `b`, first seen at `start`, whose holder missed so many probes.
    fn silent(probes: u32, start: Instant) -> LeaseSeen {
        let mut seen = LeaseSeen::of(&lease("b", "1"), None, start);
        (0..probes).for_each(|_| seen.probed(false));
        seen
    }

    #[test]
    fn a_leader_that_neither_answers_nor_renews_is_succeeded_early() {
        let start = Instant::now();
        let seen = silent(PROBES, start);
        let early = start + DESERTED_AFTER;
        assert_eq!(claim(Some(&seen), "a", early - Duration::from_millis(1), FIRST), Claim::Wait);
        assert_eq!(claim(Some(&seen), "a", early, FIRST), Claim::Take { transitions: 5 });
        assert_eq!(claim(Some(&silent(PROBES - 1, start)), "a", early, FIRST), Claim::Wait, "two misses may be chance");
    }

    #[test]
    fn who_waits_knows_when_a_lease_is_free_and_a_third_miss_brings_it_nearer() {
        let start = Instant::now();
        assert_eq!(silent(PROBES - 1, start).free_from("a"), start + DURATION);
        assert_eq!(silent(PROBES, start).free_from("a"), start + DESERTED_AFTER);
        assert_eq!(silent(0, start).free_from("b"), start, "its own, of a former life");
    }

    #[test]
    fn a_leader_that_renews_is_not_usurped_by_one_that_cannot_reach_it() {
        let start = Instant::now();
        let mut seen = silent(0, start);
        for second in 0..60 {
            let now = start + Duration::from_secs(second);
            seen = LeaseSeen::of(&lease("b", &second.to_string()), Some(seen), now);
            assert_eq!(claim(Some(&seen), "a", now + Duration::from_millis(1_999), FIRST), Claim::Wait, "{seen:?}");
            (0..2).for_each(|_| seen.probed(false));
        }
    }

    #[test]
    fn a_leader_that_answers_has_the_whole_duration_to_renew() {
        let start = Instant::now();
        let mut seen = silent(PROBES, start);
        seen.probed(true);
        assert_eq!(claim(Some(&seen), "a", start + DURATION - Duration::from_millis(1), FIRST), Claim::Wait);
        assert_eq!(claim(Some(&seen), "a", start + DURATION, FIRST), Claim::Take { transitions: 5 });
    }

    #[test]
    fn another_holder_begins_without_missed_probes() {
        let start = Instant::now();
        let seen = LeaseSeen::of(&lease("c", "1"), Some(silent(PROBES, start)), start);
        assert_eq!(claim(Some(&seen), "a", start + DESERTED_AFTER, FIRST), Claim::Wait);
    }

    #[test]
    fn the_lease_says_where_its_holder_answers() {
        let mut lease = lease("b", "1");
        let told = |lease: &Lease| LeaseSeen::of(lease, None, Instant::now()).leader.map(|leader| leader.addr);
        assert_eq!(told(&lease), None);
        for (text, address) in [("https://10.0.0.7:7443", Some("10.0.0.7:7443")), ("http://10.0.0.7:7443", None)] {
            lease.metadata.annotations = Some([(names::ANNOTATION_ADDRESS.to_owned(), text.to_owned())].into());
            assert_eq!(told(&lease), address.map(|address| address.parse().unwrap()));
        }
    }
}
