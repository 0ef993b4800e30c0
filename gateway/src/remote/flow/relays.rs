//! What relays say of the legs that go by them: the client's way in, and bytes. What is not answered stays unknown.

use super::super::Gateway;
use futures_util::future::join_all;
use plenum_protocol::control::node_san;
use plenum_protocol::flow::Leg;
use plenum_protocol::relay::{AllocationAnswer, AllocationQuery, AllocationState, MAX_QUERY};
use plenum_runtime::client::Target;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// How long a relay may take: the flow does not wait for a dead one.
const RELAY_TIMEOUT: Duration = Duration::from_secs(1);
/// Most relays that are asked for one report.
const MAX_RELAYS: usize = 64;

/// A TURN pod: namespace and name.
type PodName = (String, String);

impl Gateway {
    pub(super) async fn ask_relays(&self, legs: &mut [Leg]) {
        let directory = self.0.relays.get();
        let mut queries = Vec::new();
        for ((namespace, pod), ports) in ports_by_relay(legs).into_iter().take(MAX_RELAYS) {
            let known = directory.relays.iter().find(|relay| relay.namespace == namespace && relay.pod == pod);
            let Some(addr) = known.and_then(|relay| relay.control.parse().ok()) else { continue };
            let target = Target::new(addr, node_san(&namespace));
            queries.push(self.ask_relay((namespace, pod), target, AllocationQuery { ports }));
        }
        let answers: HashMap<PodName, Vec<AllocationState>> = join_all(queries).await.into_iter().flatten().collect();
        for leg in legs {
            fill(leg, &answers);
        }
    }

    async fn ask_relay(
        &self,
        name: PodName,
        target: Target,
        query: AllocationQuery,
    ) -> Option<(PodName, Vec<AllocationState>)> {
        match self.0.client.post::<_, AllocationAnswer>(&target, "/v1/allocations", &query, RELAY_TIMEOUT).await {
            Ok(answer) => Some((name, answer.allocations)),
            Err(error) => {
                tracing::debug!(pod = name.1, error = &error as &dyn std::error::Error, "a relay did not answer");
                None
            }
        }
    }
}

/// The node sees a relayed client at a relay port of its pod.
fn ports_by_relay(legs: &[Leg]) -> BTreeMap<PodName, Vec<u16>> {
    let mut found: BTreeMap<PodName, Vec<u16>> = BTreeMap::new();
    for leg in legs {
        let (Some(relay), Some(port)) = (&leg.relay, leg.client.port) else { continue };
        let ports = found.entry((relay.namespace.clone(), relay.pod.clone())).or_default();
        if ports.len() < MAX_QUERY {
            ports.push(port);
        }
    }
    found
}

fn fill(leg: &mut Leg, answers: &HashMap<PodName, Vec<AllocationState>>) {
    let (Some(relay), Some(port)) = (&mut leg.relay, leg.client.port) else { return };
    let answer = answers.get(&(relay.namespace.clone(), relay.pod.clone()));
    let Some(allocation) = answer.and_then(|all| all.iter().find(|allocation| allocation.port == port)) else { return };
    relay.transport = Some(allocation.transport);
    relay.sent_bytes = allocation.sent_bytes;
    relay.received_bytes = allocation.received_bytes;
}
