//! The allocations of all workers, and which of them changed since a version: what the leader's poll gets instead of
//! everything.

use plenum_protocol::relay::AllocationState;
use plenum_protocol::turn::RelayTransport;
use plenum_runtime::node::Changes;
use std::collections::{BTreeMap, BTreeSet};

/// How many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Totals {
    pub(crate) udp: usize,
    pub(crate) tcp: usize,
    pub(crate) tls: usize,
}

impl Totals {
    /// All of them.
    pub(crate) fn all(self) -> usize {
        self.udp + self.tcp + self.tls
    }

    fn of(&mut self, transport: RelayTransport) -> &mut usize {
        match transport {
            RelayTransport::Udp => &mut self.udp,
            RelayTransport::Tcp => &mut self.tcp,
            RelayTransport::Tls => &mut self.tls,
        }
    }
}

/// What a reader is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) version: u64,
    pub(super) whole: bool,
    pub(super) allocations: Vec<AllocationState>,
    pub(super) ended: Vec<u16>,
}

#[derive(Debug)]
struct Living {
    /// Version at which it began.
    since: u64,
    state: AllocationState,
}

/// By relay port: a port has at most one allocation, so there are at most 65,535.
#[derive(Debug, Default)]
pub(super) struct Allocations {
    living: BTreeMap<u16, Living>,
    /// The same by session.
    sessions: BTreeSet<(String, u16)>,
    totals: Totals,
    changes: Changes<u16, ()>,
}

impl Allocations {
    pub(super) fn totals(&self) -> Totals {
        self.totals
    }

    /// One began. Whatever had its port ended before.
    pub(super) fn begin(&mut self, state: AllocationState) {
        self.end(state.port);
        *self.totals.of(state.transport) += 1;
        self.sessions.insert((state.session.clone(), state.port));
        self.living.insert(state.port, Living { since: self.changes.bump(), state });
    }

    /// One ended; nothing when there was none.
    pub(super) fn end(&mut self, port: u16) {
        let Some(Living { state, .. }) = self.living.remove(&port) else { return };
        *self.totals.of(state.transport) -= 1;
        self.sessions.remove(&(state.session, port));
        self.changes.end(port, ());
    }

    /// Relay ports of those whose session starts with `start`.
    pub(super) fn of_sessions(&self, start: String) -> impl Iterator<Item = u16> {
        let from = self.sessions.range((start.clone(), 0)..);
        from.take_while(move |(session, _)| session.starts_with(&start)).map(|(_, port)| *port)
    }

    /// What a reader of `known` (unset: of nothing) has missed.
    pub(super) fn report(&self, known: Option<u64>) -> Report {
        let since = self.changes.since(known);
        let begun = self.living.values().filter(|living| since.is_none_or(|since| living.since > since));
        Report {
            version: self.changes.version(),
            whole: since.is_none(),
            allocations: begun.map(|living| living.state.clone()).collect(),
            ended: self.changes.ended_since(since),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plenum_protocol::turn::Scope;
    use plenum_runtime::node::REMEMBERED;

    fn allocation(port: u16, session: &str) -> AllocationState {
        AllocationState {
            port,
            transport: RelayTransport::Udp,
            session: session.into(),
            scope: Some(Scope::Media),
            sent_bytes: 0,
            received_bytes: 0,
        }
    }

    #[test]
    fn a_reader_hears_only_of_what_changed_after_its_version() {
        let mut all = Allocations::default();
        all.begin(allocation(50_000, "a"));
        all.begin(allocation(50_001, "b"));
        let first = all.report(None);
        assert!(first.whole && first.allocations.len() == 2 && first.ended.is_empty());
        all.end(50_000);
        all.begin(allocation(50_002, "c"));
        let next = all.report(Some(first.version));
        assert_eq!((next.whole, next.allocations, next.ended), (false, vec![allocation(50_002, "c")], vec![50_000]));
        let nothing = all.report(Some(next.version));
        assert!(!nothing.whole && nothing.allocations.is_empty() && nothing.ended.is_empty());
        assert_eq!(all.totals(), Totals { udp: 2, tcp: 0, tls: 0 });
    }

    #[test]
    fn a_port_that_was_given_again_ended_before_it_began() {
        let mut all = Allocations::default();
        all.begin(allocation(50_000, "a"));
        let seen = all.report(None).version;
        all.end(50_000);
        all.begin(allocation(50_000, "b"));
        let report = all.report(Some(seen));
        assert_eq!((report.allocations, report.ended), (vec![allocation(50_000, "b")], vec![50_000]));
        all.end(50_001);
        assert_eq!(all.report(None).version, report.version, "an end of nothing changed something");
    }

    #[test]
    fn allocations_are_found_by_the_start_of_their_session() {
        let mut all = Allocations::default();
        for (port, session) in [(50_000, "PA_1.a"), (50_001, "PA_1.b"), (50_002, "PA_12.a"), (50_003, "PA_1")] {
            all.begin(allocation(port, session));
        }
        let found = |all: &Allocations| all.of_sessions("PA_1.".into()).collect::<Vec<_>>();
        assert_eq!(found(&all), [50_000, 50_001]);
        all.end(50_000);
        all.begin(allocation(50_001, "PA_2.a"));
        assert!(found(&all).is_empty());
        assert_eq!(all.sessions.len(), all.living.len());
    }

    #[test]
    fn a_reader_of_a_forgotten_or_foreign_version_gets_everything() {
        let mut all = Allocations::default();
        for _ in 0..=REMEMBERED {
            all.begin(allocation(50_000, "a"));
            all.end(50_000);
        }
        assert!(all.report(Some(0)).whole);
        assert!(all.report(Some(u64::MAX)).whole);
        assert!(!all.report(Some(2)).whole);
        assert_eq!(all.totals().all(), 0);
    }
}
