//! May this process take the lease? Pure: by what was seen and how long ago, never by another machine's clock.

use super::DURATION;
use k8s_openapi::api::coordination::v1::Lease;
use std::time::Instant;

/// A lease as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseSeen {
    /// Who holds it; empty: nobody.
    pub holder: String,
    /// How often it changed hands.
    pub transitions: i32,
    version: Option<String>,
    since: Instant,
}

impl LeaseSeen {
    /// `before` is the last look: an unchanged lease keeps the time at which it was first seen so.
    #[must_use]
    pub fn of(lease: &Lease, before: Option<Self>, now: Instant) -> Self {
        let version = lease.metadata.resource_version.clone();
        let since = before.filter(|before| before.version == version).map_or(now, |before| before.since);
        let spec = lease.spec.clone().unwrap_or_default();
        Self {
            holder: spec.holder_identity.unwrap_or_default(),
            transitions: spec.lease_transitions.unwrap_or(0),
            version,
            since,
        }
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

/// Decides at `now`. A lease under this process's own name is one of its former life (pod names are unique): it takes
/// that at once, but as a new term. `first_term` is for a Lease that does not exist.
#[must_use]
pub fn claim(seen: Option<&LeaseSeen>, identity: &str, now: Instant, first_term: i32) -> Claim {
    let Some(seen) = seen else { return Claim::Take { transitions: first_term } };
    let free = seen.holder.is_empty() || seen.holder == identity;
    if free || now.saturating_duration_since(seen.since) >= DURATION {
        Claim::Take { transitions: seen.transitions.saturating_add(1) }
    } else {
        Claim::Wait
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

    #[test]
    fn a_frozen_leader_notices_before_it_writes() {
        use crate::lease::{Leadership, NotLeader, TRUST};
        let start = Instant::now();
        let leadership = Leadership::new(plenum_protocol::ids::Term(1), start + TRUST);
        assert_eq!(leadership.check(start + TRUST - Duration::from_millis(1)), Ok(()));
        assert_eq!(leadership.check(start + TRUST), Err(NotLeader));
        assert!(TRUST < crate::lease::DURATION);
    }
}
