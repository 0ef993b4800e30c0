//! What relays say of the legs that go by them: the client's way in, and bytes. What is not answered stays unknown, and what
//! peers say of a relay that does not know them stays a claim.

use super::super::Gateway;
use futures_util::future::join_all;
use plenum_api::room::RelayPoolRef;
use plenum_protocol::control::node_san;
use plenum_protocol::flow::{CandidateType, ClientView, Leg, LegRelay, LegRole};
use plenum_protocol::peer::{confirm, relay_session_start};
use plenum_protocol::relay::{AllocationAnswer, AllocationQuery, AllocationState, MAX_QUERY, RelayDirectory};
use plenum_protocol::turn::{RelayTransport, Scope};
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
    /// Fills in what the relays of `pools` say.
    pub(super) async fn ask_relays(&self, legs: &mut [Leg], pools: &[RelayPoolRef]) {
        let directory = self.0.relays.get();
        legs.iter_mut().for_each(|leg| name_relay(leg, &directory, pools));
        let mut asked = Vec::new();
        for ((namespace, pod), query) in queries(legs).into_iter().take(MAX_RELAYS) {
            let known = directory.relays.iter().find(|relay| relay.namespace == namespace && relay.pod == pod);
            let Some(addr) = known.and_then(|relay| relay.control.parse().ok()) else { continue };
            let target = Target::new(addr, node_san(&namespace));
            asked.push(self.ask_relay((namespace, pod), target, query));
        }
        let answers: HashMap<PodName, Vec<AllocationState>> = join_all(asked).await.into_iter().flatten().collect();
        legs.iter_mut().for_each(|leg| fill(leg, &answers));
        // A relay that knows the leg has said how its client reaches it.
        confirm(legs, |leg| leg.relay.as_ref().is_some_and(|relay| relay.transport.is_some()));
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

/// A peer names the pod of its relay itself; it counts if the room may use it.
fn name_relay(leg: &mut Leg, directory: &RelayDirectory, pools: &[RelayPoolRef]) {
    let Some(view) = leg.client_view.as_ref().filter(|_| leg.role == LegRole::Peer) else { return };
    let Some(pod) = view.local_relay.as_ref().filter(|_| view.local_type == Some(CandidateType::Relay)) else { return };
    let admitted =
        |namespace: &str, pool: &str| pools.iter().any(|known| known.namespace == namespace && known.name == pool);
    let mut relays = directory.relays.iter();
    leg.relay =
        relays.find(|relay| relay.pod == *pod && admitted(&relay.namespace, &relay.pool)).map(|relay| LegRelay {
            namespace: relay.namespace.clone(),
            pool: relay.pool.clone(),
            pod: relay.pod.clone(),
            region: relay.region.clone(),
            transport: None,
            sent_bytes: 0,
            received_bytes: 0,
        });
}

/// A media node sees a relayed client at a relay port of its pod; a peer's allocation has the name of its participant.
fn queries(legs: &[Leg]) -> BTreeMap<PodName, AllocationQuery> {
    let mut found: BTreeMap<PodName, AllocationQuery> = BTreeMap::new();
    for leg in legs {
        let Some(relay) = &leg.relay else { continue };
        let query = found.entry((relay.namespace.clone(), relay.pod.clone())).or_default();
        match (leg.role, leg.client.port) {
            (LegRole::Peer, _) if query.participants.len() < MAX_QUERY => {
                query.participants.push(leg.participant.clone());
            }
            (LegRole::Publisher | LegRole::Subscriber, Some(port)) if query.ports.len() < MAX_QUERY => {
                query.ports.push(port);
            }
            _ => {}
        }
    }
    found
}

fn fill(leg: &mut Leg, answers: &HashMap<PodName, Vec<AllocationState>>) {
    let Some(relay) = &leg.relay else { return };
    let Some(answer) = answers.get(&(relay.namespace.clone(), relay.pod.clone())) else { return };
    let found = match (leg.role, leg.client.port) {
        (LegRole::Peer, _) => of_peer(leg, answer),
        (LegRole::Publisher | LegRole::Subscriber, port) => {
            answer.iter().find(|allocation| Some(allocation.port) == port)
        }
    };
    let (Some(allocation), Some(relay)) = (found, &mut leg.relay) else { return };
    relay.transport = Some(allocation.transport);
    relay.sent_bytes = allocation.sent_bytes;
    relay.received_bytes = allocation.received_bytes;
}

/// Of a peer's allocations (browsers make one per URL) the one that it says it uses, and that carries the most.
fn of_peer<'a>(leg: &Leg, answer: &'a [AllocationState]) -> Option<&'a AllocationState> {
    let start = relay_session_start(&leg.participant);
    let said = leg.client_view.as_ref().and_then(transport);
    let own = answer.iter().filter(|allocation| {
        allocation.scope == Some(Scope::Peers)
            && allocation.session.starts_with(&start)
            && said.is_none_or(|said| said == allocation.transport)
    });
    own.max_by_key(|allocation| allocation.sent_bytes.saturating_add(allocation.received_bytes))
}

fn transport(view: &ClientView) -> Option<RelayTransport> {
    match view.relay_protocol.as_deref() {
        Some("udp") => Some(RelayTransport::Udp),
        Some("tcp") => Some(RelayTransport::Tcp),
        Some("tls") => Some(RelayTransport::Tls),
        _ => None,
    }
}
