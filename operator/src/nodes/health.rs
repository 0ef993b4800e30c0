//! Is a media pod dead? Pure.
//!
//! A pod is dead when an operator missed three polls in a row *and* a gateway cannot reach it either while none can.
//! Where no gateway answers, the operator suspects itself unless at most half of the pods fail.

/// Polls in a row that must fail.
pub const DEAD_AFTER: u32 = 3;
/// Polls in a row after which gateways are asked, and after which the pod gets no new rooms.
pub const DOUBT_AFTER: u32 = 2;

/// What the gateways say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Votes {
    /// Gateways that reach the pod.
    pub reach: u32,
    /// Gateways that do not.
    pub miss: u32,
}

/// How the other pods do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Crowd {
    /// Pods that are polled.
    pub pods: u32,
    /// Those of them that missed their last polls, this one included.
    pub failing: u32,
}

/// Whether a pod is dead.
#[must_use]
pub fn is_dead(missed: u32, votes: Votes, crowd: Crowd) -> bool {
    if missed < DEAD_AFTER || votes.reach > 0 {
        return false;
    }
    votes.miss > 0 || crowd.failing.saturating_mul(2) <= crowd.pods
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: Crowd = Crowd { pods: 4, failing: 1 };
    const MOST: Crowd = Crowd { pods: 4, failing: 3 };

    #[test]
    fn a_pod_is_dead_when_leader_and_a_gateway_miss_it() {
        let table = [
            (2, Votes { reach: 0, miss: 2 }, ALONE, false, "two misses are not enough"),
            (3, Votes { reach: 0, miss: 1 }, ALONE, true, "three misses and a gateway"),
            (3, Votes { reach: 0, miss: 1 }, MOST, true, "a gateway's word counts even if most fail"),
            (9, Votes { reach: 1, miss: 1 }, ALONE, false, "a gateway reaches it: its clients may go on"),
            (3, Votes::default(), ALONE, true, "no gateway answers and the others are fine"),
            (3, Votes::default(), MOST, false, "no gateway answers and most fail: suspect yourself"),
            (3, Votes::default(), Crowd { pods: 1, failing: 1 }, false, "the only pod fails: suspect yourself"),
            (3, Votes::default(), Crowd { pods: 2, failing: 1 }, true, "half may fail"),
        ];
        for (missed, votes, crowd, dead, why) in table {
            assert_eq!(is_dead(missed, votes, crowd), dead, "{why}");
        }
    }
}
