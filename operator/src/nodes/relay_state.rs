//! What is known of one TURN pod, and how an answer changes that. Pure.

use super::contact::{Contact, Heard};
use plenum_protocol::ids::Term;
use plenum_protocol::relay::{AllocationState, RelayConfig, RelaySecret, RelaySyncReport, RelaySyncRequest};
use plenum_protocol::turn::RelayTransport;
use std::collections::BTreeMap;

/// What is known of one TURN pod.
#[derive(Debug, Clone, Default)]
pub(super) struct RelayState {
    /// As of any pod.
    pub(super) contact: Contact,
    /// Configuration that this start has taken.
    pub(super) config: Option<RelayConfig>,
    /// Its allocations, by relay port: how their clients reach it.
    allocations: BTreeMap<u16, RelayTransport>,
}

impl RelayState {
    /// Takes allocations: configured by this leader, accepting, and answers.
    #[must_use]
    pub(super) fn serves(&self) -> bool {
        self.config.as_ref().is_some_and(|config| config.accepting) && self.contact.answers()
    }

    /// The shared secret that it has taken, the current one.
    #[must_use]
    pub(super) fn secret(&self) -> Option<&RelaySecret> {
        self.config.as_ref()?.secrets.first()
    }

    /// How many allocations it has; `None` while it has not said so.
    #[must_use]
    pub(super) fn allocations(&self) -> Option<i64> {
        self.contact.is_known().then(|| i64::try_from(self.allocations.len()).unwrap_or(i64::MAX))
    }

    /// How the client of the allocation on `port` reaches the relay.
    #[must_use]
    pub(super) fn transport(&self, port: u16) -> Option<RelayTransport> {
        self.allocations.get(&port).copied()
    }

    /// It holds nothing that somebody waits for.
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.allocations.is_empty()
    }

    /// The next request. `config` is what the pod is to have.
    #[must_use]
    pub(super) fn request(&self, term: Term, config: Option<RelayConfig>) -> RelaySyncRequest {
        let config = config.filter(|config| Some(config) != self.config.as_ref());
        RelaySyncRequest { term, known: self.contact.known(), config }
    }

    /// Another start answered a ping, or the pod is to be asked for everything.
    pub(super) fn restarted(&mut self) {
        self.config = None;
        self.allocations.clear();
    }

    /// Takes the answer to `request`. True: it began or ceased to serve, started again, came back, or has another
    /// configuration.
    pub(super) fn answered(&mut self, request: &RelaySyncRequest, report: RelaySyncReport) -> bool {
        let served = self.serves();
        let RelaySyncReport { boot_id, configured, state_version, whole, allocations, ended, load: _ } = report;
        let same = self.contact.is(&boot_id);
        if !same {
            self.restarted();
        }
        let heard = Heard { boot: boot_id, configured, version: state_version, whole };
        let came_back = self.contact.heard(heard);
        if whole {
            self.allocations.clear();
        }
        for port in ended {
            self.allocations.remove(&port);
        }
        self.allocations
            .extend(allocations.into_iter().map(|AllocationState { port, transport, .. }| (port, transport)));
        if let Some(config) = &request.config {
            self.config = Some(config.clone());
        }
        !same || came_back || request.config.is_some() || served != self.serves()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plenum_protocol::relay::{RelayLoad, RelayPeers, RelayQuotas};

    fn config(accepting: bool) -> RelayConfig {
        RelayConfig {
            outside_addresses: vec!["192.0.2.1".parse().unwrap()],
            realm: "plenum".into(),
            secrets: vec![RelaySecret("a-good-secret".into())],
            peers: RelayPeers::default(),
            quotas: RelayQuotas {
                allocations: 1,
                allocations_per_user: 1,
                allocations_per_address: 1,
                kbps_per_allocation: 64,
            },
            max_lifetime_seconds: 600,
            accepting,
        }
    }

    fn allocation(port: u16, transport: RelayTransport) -> AllocationState {
        AllocationState { port, transport, session: "s".into(), scope: None, sent_bytes: 0, received_bytes: 0 }
    }

    fn report(boot: &str, whole: bool, ports: &[u16], ended: &[u16]) -> RelaySyncReport {
        RelaySyncReport {
            boot_id: boot.parse().unwrap(),
            configured: true,
            state_version: 3,
            whole,
            allocations: ports.iter().map(|port| allocation(*port, RelayTransport::Tls)).collect(),
            ended: ended.to_vec(),
            load: RelayLoad::default(),
        }
    }

    fn contacted() -> RelayState {
        let mut state = RelayState::default();
        assert_eq!(state.allocations(), None, "it is not empty before it has said so");
        let request = state.request(Term(1), Some(config(true)));
        assert!(request.known.is_none() && request.config.is_some());
        assert!(state.answered(&request, report("b1", true, &[50_000, 50_001], &[])));
        state
    }

    #[test]
    fn allocations_are_followed_by_what_comes_and_goes() {
        let mut state = contacted();
        assert!(state.serves());
        let request = state.request(Term(1), Some(config(true)));
        assert_eq!(request.config, None, "it has it");
        assert!(!state.answered(&request, report("b1", false, &[50_000], &[50_000, 50_001])));
        assert_eq!(state.allocations(), Some(1), "a port that ended and is in use again has an allocation");
        assert_eq!(state.transport(50_000), Some(RelayTransport::Tls));
        assert_eq!(state.transport(50_001), None);
    }

    #[test]
    fn another_start_has_lost_its_allocations_and_its_configuration() {
        let mut state = contacted();
        let request = state.request(Term(1), Some(config(true)));
        assert!(state.answered(&request, report("b2", true, &[], &[])));
        assert_eq!((state.allocations(), state.serves()), (Some(0), false), "the request brought no configuration");
    }

    #[test]
    fn a_draining_pod_serves_nobody_new() {
        let mut state = contacted();
        let request = state.request(Term(1), Some(config(false)));
        assert!(request.config.is_some());
        assert!(state.answered(&request, report("b1", false, &[], &[])) && !state.serves());
        assert_eq!(state.allocations(), Some(2));
    }
}
