//! The leader's word: terms, configuration, grants, revocations; and what it is told.

use super::{Node, State};
use crate::rooms::{Applied, Rooms};
use crate::worker::Command;
use plenum_media_core::RelayTable;
use plenum_protocol::control::{Grant, MAX_GRANTS, NodeConfig, NodeLoad, Revocation, SyncReport, SyncRequest};
use plenum_protocol::problem::Problem;
use plenum_runtime::http::bad_request;
use plenum_runtime::node::check_outside_addresses;
use std::net::IpAddr;
use std::sync::Arc;

/// Longest name of a relay, its pool, namespace or region, in bytes.
const MAX_NAME: usize = 256;

/// A configuration that can be applied.
struct Checked {
    config: NodeConfig,
    outside: Arc<[IpAddr]>,
    relays: RelayTable,
}

impl Node {
    /// One `POST /v1/sync`: all of it or, when it is refused, nothing. The same one again changes nothing.
    pub(crate) fn sync(&self, request: SyncRequest) -> Result<SyncReport, Problem> {
        let SyncRequest { term, known, config, grants, revocations } = request;
        if grants.len() > MAX_GRANTS || revocations.len() > MAX_GRANTS {
            return Err(bad_request(format!("at most {MAX_GRANTS} grants and as many revocations fit into one sync")));
        }
        let config = config.map(check_config).transpose()?;
        if let Some(bad) = grants.iter().find(|grant| grant.epoch.0 < 1 || grant.max_participants == 0) {
            return Err(bad_request(format!("the grant of {} needs an epoch and participants above 0", bad.room)));
        }
        self.with(|state| {
            state.fence.pass(&self.boot_id, term, known.as_ref())?;
            if let Some(checked) = config {
                self.configure(state, checked);
            }
            revocations.iter().for_each(|revocation| revoke(state, revocation));
            grants.iter().for_each(|grant| take_grant(state, grant));
            let report = state.rooms.report(&self.boot_id, known.as_ref());
            Ok(SyncReport {
                boot_id: self.boot_id.clone(),
                configured: state.config.is_some(),
                state_version: report.version,
                whole: report.whole,
                rooms: report.rooms,
                ended: report.ended,
                load: self.node_load(&state.rooms),
            })
        })
    }

    fn configure(&self, state: &mut State, checked: Checked) {
        let Checked { config, outside, relays } = checked;
        if state.config.as_ref() == Some(&config) {
            return;
        }
        let (accepting, addresses, relay_count) = (config.accepting, outside.len(), config.relays.len());
        tracing::info!(accepting, addresses, relays = relay_count, "configured");
        let other_relays = state.config.as_ref().is_none_or(|before| before.relays != config.relays);
        let relays = Arc::new(relays);
        for worker in &self.workers {
            worker.handle().tell(Command::Configure { outside: Arc::clone(&outside) });
            if other_relays {
                worker.handle().tell(Command::Relays(Arc::clone(&relays)));
            }
        }
        state.config = Some(config);
        state.rooms.set_admission(state.admission());
        self.readiness.set(!state.terminating);
    }

    fn node_load(&self, rooms: &Rooms) -> NodeLoad {
        let [send_kbps, receive_kbps] = self.load.kbps();
        let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        NodeLoad { rooms: count(rooms.len()), participants: count(rooms.participants()), send_kbps, receive_kbps }
    }
}

fn check_config(config: NodeConfig) -> Result<Checked, Problem> {
    let parsed: Result<Arc<[IpAddr]>, _> = config.outside_addresses.iter().map(|text| text.parse()).collect();
    let outside = parsed.map_err(|_| bad_request("outsideAddresses must be IP addresses without port"))?;
    check_outside_addresses(outside.len())?;
    let relays = RelayTable::new(&config.relays).map_err(|error| bad_request(format!("relays: {error}")))?;
    let names = config.relays.iter().flat_map(|relay| [&relay.namespace, &relay.pool, &relay.pod, &relay.region]);
    if names.into_iter().any(|name| name.len() > MAX_NAME) {
        return Err(bad_request(format!("relays: a name is longer than {MAX_NAME} bytes")));
    }
    Ok(Checked { config, outside, relays })
}

fn take_grant(state: &mut State, grant: &Grant) {
    let (room, epoch) = (&grant.room, grant.epoch.0);
    match state.rooms.grant(grant) {
        Applied::Added => tracing::info!(%room, epoch, "room granted"),
        Applied::Renewed => {}
        refused => tracing::warn!(%room, epoch, ?refused, "grant refused"),
    }
}

fn revoke(state: &mut State, revocation: &Revocation) {
    if let Some(room) = state.rooms.revoke(revocation) {
        tracing::info!(%room, epoch = revocation.epoch.0, reason = ?revocation.reason, "room revoked");
    }
}
