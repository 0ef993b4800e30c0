//! The leader's word: terms and configuration; and what it is told.

use super::{Node, State};
use crate::worker::{Command, Worker};
use plenum_protocol::problem::Problem;
use plenum_protocol::relay::{RelayConfig, RelayLoad, RelaySyncReport, RelaySyncRequest};
use plenum_runtime::http::bad_request;
use plenum_runtime::node::check_outside_addresses;
use plenum_turn_core::CheckedConfig;
use std::sync::Arc;

impl Node {
    /// One `POST /v1/sync`: all of it or, when it is refused, nothing. The same one again changes nothing.
    pub(crate) fn sync(&self, request: RelaySyncRequest) -> Result<RelaySyncReport, Problem> {
        let RelaySyncRequest { term, known, config } = request;
        let mut state = self.lock();
        let config = config.filter(|config| state.config.as_ref() != Some(config));
        let checked = config.as_ref().map(|config| self.check(config, &state)).transpose()?;
        state.fence.pass(&self.boot_id, term, known.as_ref())?;
        if let (Some(config), Some(checked)) = (config, checked) {
            self.configure(&mut state, config, &checked);
        }
        let report = state.allocations.report(known.map(|known| known.state_version));
        Ok(RelaySyncReport {
            boot_id: self.boot_id.clone(),
            configured: state.config.is_some(),
            state_version: report.version,
            whole: report.whole,
            allocations: report.allocations,
            ended: report.ended,
            load: self.relay_load(&state),
        })
    }

    fn relay_load(&self, state: &State) -> RelayLoad {
        let [relay_kbps] = self.load.kbps();
        RelayLoad { allocations: i32::try_from(state.allocations.totals().all()).unwrap_or(i32::MAX), relay_kbps }
    }

    fn configure(&self, state: &mut State, config: RelayConfig, checked: &Arc<CheckedConfig>) {
        tracing::info!(
            accepting = config.accepting,
            addresses = config.outside_addresses.len(),
            media = config.peers.media.len(),
            relays = config.peers.relays.len(),
            "configured"
        );
        state.config = Some(config);
        self.tell_workers(checked);
    }

    /// No new allocations from now on, whatever the leader said of that.
    pub(super) fn stop_accepting(&self, state: &mut State) {
        state.terminating = true;
        match state.config.as_ref().map(|config| self.check(config, state)) {
            Some(Ok(checked)) => self.tell_workers(&checked),
            // It was checked before it was kept.
            Some(Err(problem)) => tracing::error!(detail = problem.detail, "a kept configuration is refused"),
            None => {}
        }
    }

    fn tell_workers(&self, checked: &Arc<CheckedConfig>) {
        let tell = |worker: &Worker| worker.handle().tell(Command::Configure(Arc::clone(checked)));
        self.workers.iter().for_each(tell);
    }

    /// For the workers: without new allocations once the node was asked to stop.
    fn check(&self, config: &RelayConfig, state: &State) -> Result<Arc<CheckedConfig>, Problem> {
        check_outside_addresses(config.outside_addresses.len())?;
        let config = RelayConfig { accepting: config.accepting && !state.terminating, ..config.clone() };
        let checked = CheckedConfig::new(&config, &self.addresses);
        checked.map(Arc::new).map_err(|error| bad_request(format!("the configuration: {error}")))
    }
}
