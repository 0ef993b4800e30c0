//! What a poll needs beyond the pod itself: the gateways' word, and a fresh read of all Rooms.

use super::fleet::Node;
use super::health::Votes;
use super::poll::TIMEOUT;
use crate::context::Context;
use crate::pods;
use futures_util::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use plenum_api::Room;
use plenum_protocol::control::GATEWAY_SAN;
use plenum_protocol::ids::RoomUid;
use plenum_protocol::reach::{ReachReport, ReachRequest};
use plenum_runtime::client::Target;
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// Most gateways that are asked.
const MAX_ASKED: usize = 5;
/// Page of a fresh read.
const PAGE: u32 = 1_000;

/// Asks gateways whether they reach `node`. Those that do not answer have no vote.
pub(super) async fn ask(context: &Context, node: &Node) -> Votes {
    let request = ReachRequest {
        namespace: node.key.namespace.clone(),
        control: node.target.addr.to_string(),
        timeout_millis: u32::try_from(TIMEOUT.as_millis() / 2).unwrap_or(350),
    };
    let gateways = gateways(context, |pod| !pods::is_terminating(pod));
    let calls = gateways
        .iter()
        .take(MAX_ASKED)
        .map(|target| context.control.post::<_, ReachReport>(target, "/v1/reach", &request, TIMEOUT));
    let mut votes = Votes::default();
    for report in join_all(calls).await.into_iter().flatten() {
        if report.reachable {
            votes.reach += 1;
        } else {
            votes.miss += 1;
        }
    }
    votes
}

/// Control endpoints of the gateways that are wanted.
pub(crate) fn gateways(context: &Context, wanted: fn(&Pod) -> bool) -> Vec<Target> {
    let pods = context.caches.gateways.state();
    let mut addresses: Vec<SocketAddr> =
        pods.iter().filter(|pod| wanted(pod)).filter_map(|pod| pods::control_address(pod)).collect();
    addresses.sort();
    addresses.into_iter().map(|address| Target::new(address, GATEWAY_SAN)).collect()
}

/// Uids of all Rooms, read from the API server's store and from no cache.
pub(super) async fn existing_rooms(context: &Context) -> Result<BTreeSet<RoomUid>, kube::Error> {
    let api: Api<Room> = Api::all(context.client.clone());
    let mut params = ListParams::default().limit(PAGE);
    let mut uids = BTreeSet::new();
    loop {
        let page = api.list_metadata(&params).await?;
        uids.extend(
            page.items.into_iter().filter_map(|room| room.metadata.uid).filter_map(|uid| RoomUid::try_from(uid).ok()),
        );
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(uids),
        }
    }
}
