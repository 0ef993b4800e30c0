//! The leader's word: terms and configuration; and what it is told.

use super::{Node, State, bad_request};
use plenum_protocol::problem::{Code, Problem};
use plenum_protocol::relay::{RelayConfig, RelaySyncReport, RelaySyncRequest};
use plenum_turn_core::CheckedConfig;
use std::sync::Arc;

/// Most outside addresses.
const MAX_ADDRESSES: usize = 8;

impl Node {
    /// One `POST /v1/sync`: all of it or, when it is refused, nothing. The same one again changes nothing.
    pub(crate) fn sync(&self, request: RelaySyncRequest) -> Result<RelaySyncReport, Problem> {
        let RelaySyncRequest { term, known, config } = request;
        if let Some(config) = &config {
            self.check(config)?;
        }
        let mut state = self.lock();
        if term < state.term {
            let detail = format!("a leader of term {} has spoken; this is term {}", state.term.0, term.0);
            return Err(Problem::new(Code::StaleTerm, detail));
        }
        if known.as_ref().is_some_and(|known| known.boot_id != self.boot_id) {
            return Err(Problem::new(Code::WrongBoot, "this is another start of the node: forget what it had"));
        }
        state.term = term;
        if let Some(config) = config {
            self.configure(&mut state, config);
        }
        let report = state.allocations.report(known.map(|known| known.state_version));
        Ok(RelaySyncReport {
            boot_id: self.boot_id.clone(),
            configured: state.config.is_some(),
            state_version: report.version,
            whole: report.whole,
            allocations: report.allocations,
            ended: report.ended,
            load: self.relay_load(state.allocations.totals().all()),
        })
    }

    fn configure(&self, state: &mut State, config: RelayConfig) {
        if state.config.as_ref() == Some(&config) {
            return;
        }
        tracing::info!(
            accepting = config.accepting,
            addresses = config.outside_addresses.len(),
            media = config.peers.media.len(),
            relays = config.peers.relays.len(),
            "configured"
        );
        state.config = Some(config);
        self.tell_workers(state);
        self.readiness.set(!state.terminating);
    }

    /// Hands the configuration to the workers, without new allocations once the node is asked to stop.
    pub(super) fn tell_workers(&self, state: &State) {
        let Some(config) = &state.config else { return };
        let mut config = config.clone();
        config.accepting &= !state.terminating;
        match self.check(&config) {
            Ok(checked) => {
                let checked = Arc::new(checked);
                self.workers.iter().for_each(|worker| worker.configure(Arc::clone(&checked)));
            }
            // It was checked before it was kept.
            Err(problem) => tracing::error!(detail = problem.detail, "a kept configuration is refused"),
        }
    }

    fn check(&self, config: &RelayConfig) -> Result<CheckedConfig, Problem> {
        if config.outside_addresses.is_empty() || config.outside_addresses.len() > MAX_ADDRESSES {
            return Err(bad_request(format!("outsideAddresses must hold 1 to {MAX_ADDRESSES} addresses")));
        }
        CheckedConfig::new(config, &self.addresses).map_err(|error| bad_request(format!("the configuration: {error}")))
    }
}
