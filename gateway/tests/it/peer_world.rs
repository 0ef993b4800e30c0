//! Two real gateways on loopback, each with a runtime of its own, so that one can be killed: one room, peer to peer.

use crate::fake_node::{FakeNode, NodeEnd};
use crate::fake_relay::FakeRelay;
use crate::world::{Client, DEADLINE, keys, leader, next, route, token_of};
use futures_util::SinkExt as _;
use plenum_gateway::{
    Counters, Gateway, Homes, Leader, Parts, Peers, PeersParts, Place, Rates, RelayRules, Relays, Replicas, Route,
    Routes, SocketPermits, Standing, control_router,
};
use plenum_protocol::control::{GATEWAY_SAN, OPERATOR_SAN};
use plenum_protocol::flow::{FlowReport, MediaPlace};
use plenum_protocol::ice::IceServers;
use plenum_protocol::ids::ParticipantId;
use plenum_protocol::reach::BindRequest;
use plenum_protocol::room::{RejoinReason, RoomMode, RosterEntry, SUBPROTOCOL, ServerMessage};
use plenum_runtime::ca::Authority;
use plenum_runtime::client::{ControlClient, Target};
use plenum_runtime::mtls::{self, Identity};
use plenum_runtime::server::{Limits, serve_plain};
use plenum_runtime::shutdown::Shutdown;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

pub(crate) const PODS: [&str; 2] = ["gateway-a", "gateway-b"];

/// One gateway.
pub(crate) struct Replica {
    pub(crate) pod: &'static str,
    /// Public.
    addr: SocketAddr,
    control: SocketAddr,
    pub(crate) closing: Shutdown,
    runtime: Option<Runtime>,
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Replica {
    /// Every task and socket ends at once, as when the process is killed.
    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub(crate) struct PeerWorld {
    pub(crate) routes: Routes,
    pub(crate) homes: Homes,
    pub(crate) relays: Relays,
    pub(crate) relay: FakeRelay,
    pub(crate) relay_addr: SocketAddr,
    pub(crate) node: FakeNode,
    pub(crate) ends: mpsc::Receiver<NodeEnd>,
    /// What the leader was asked to bind.
    pub(crate) binds: mpsc::Receiver<BindRequest>,
    replicas: Vec<Replica>,
    authority: Authority,
}

impl PeerWorld {
    /// Both gateways are ready, and the room is peer to peer.
    pub(crate) async fn new() -> Self {
        plenum_runtime::crypto::install();
        let authority = Authority::generate(SystemTime::now()).unwrap();
        let (node, ends) = FakeNode::start(&authority, "media").await;
        let (mut asked, binds) = leader(&authority).await;
        let (relay, relay_addr) = FakeRelay::start(&authority).await;
        let (routes, homes, relays) = (Routes::new(), Homes::new(), Relays::new());
        let mut replicas = Vec::new();
        for pod in PODS {
            // The tests ask one of them only to have the room bound.
            let leader = std::mem::replace(&mut asked, Leader::new(Box::new(|| panic!("the other one was to ask"))));
            let shared = (routes.clone(), homes.clone(), relays.clone());
            replicas.push(replica(pod, &authority, shared, leader).await);
        }
        let world = Self { routes, homes, relays, relay, relay_addr, node, ends, binds, replicas, authority };
        world.ready(&PODS);
        world.routes.apply(peers());
        world
    }

    /// These gateways, and no others, are ready.
    pub(crate) fn ready(&self, pods: &[&str]) {
        let ready = self.replicas.iter().filter(|replica| pods.contains(&replica.pod));
        self.homes.replace(ready.map(|replica| (replica.pod.to_owned(), replica.control)).collect::<Replicas>());
    }

    /// The room's home, and the other one.
    pub(crate) fn home(&self) -> (&'static str, &'static str) {
        let home = self.homes.home_of(&"uid-1".parse().unwrap()).unwrap().pod;
        if home == PODS[0] { (PODS[0], PODS[1]) } else { (PODS[1], PODS[0]) }
    }

    pub(crate) fn replica(&mut self, pod: &str) -> &mut Replica {
        self.replicas.iter_mut().find(|replica| replica.pod == pod).unwrap()
    }

    /// Calls the control endpoint of a gateway as somebody.
    pub(crate) fn caller(&self, san: &str) -> ControlClient {
        let issued = self.authority.issue(san, SystemTime::now()).unwrap();
        ControlClient::new(Arc::new(Identity::from_issued(&issued).unwrap()))
    }

    pub(crate) fn operator(&self) -> ControlClient {
        self.caller(OPERATOR_SAN)
    }

    pub(crate) fn target(&mut self, pod: &str) -> Target {
        Target::new(self.replica(pod).control, GATEWAY_SAN)
    }

    /// The room with the fake node as its media server.
    pub(crate) fn upgraded(&self) -> Route {
        self.upgraded_with(RelayRules::default())
    }

    /// The same, with relays.
    pub(crate) fn upgraded_with(&self, relays: RelayRules) -> Route {
        let media = MediaPlace { pod: "eu-0".into(), node: None, region: "eu".into(), zone: None };
        let place = Place { namespace: "media".into(), control: self.node.addr, media };
        Route { relays, ..route(1, Standing::Bound(place)) }
    }

    /// Opens a socket at a gateway and says `join`.
    pub(crate) async fn knock(&mut self, pod: &str, name: &str, instance: &str) -> Client {
        self.knock_at(pod, "demo", name, instance).await
    }

    /// The same for a room of any name.
    pub(crate) async fn knock_at(&mut self, pod: &str, room: &str, name: &str, instance: &str) -> Client {
        let url = format!("ws://{}/v1/rooms/team-a/{room}/socket", self.replica(pod).addr);
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse().unwrap());
        let (mut client, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        let token = token_of(&name.to_lowercase(), name, room);
        say(&mut client, serde_json::json!({"type": "join", "token": token, "instance": instance})).await;
        client
    }

    /// Joins at a gateway.
    pub(crate) async fn enter(&mut self, pod: &str, name: &str, instance: &str) -> Person {
        let client = self.knock(pod, name, instance).await;
        Person::joined(client).await
    }

    /// The flow as the gateway tells it to somebody who may see everything.
    pub(crate) async fn flow(&mut self, pod: &str) -> FlowReport {
        let url = format!("http://{}/v1/rooms/team-a/demo/flow", self.replica(pod).addr);
        let token = token_of("ann", "Ann", "demo");
        let request = reqwest::Client::new().get(url).bearer_auth(token).timeout(DEADLINE);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
    }

    /// ICE servers for somebody with a token of the room.
    pub(crate) async fn ice_servers(&mut self, pod: &str, wish: serde_json::Value) -> IceServers {
        let mut body = serde_json::json!({"namespace": "team-a", "room": "demo"});
        body.as_object_mut().unwrap().extend(wish.as_object().unwrap().clone());
        let (status, text) = self.post(pod, "/v1/ice-servers", "application/json", body.to_string()).await;
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// WHIP: status and body.
    pub(crate) async fn publish(&mut self, pod: &str) -> (u16, String) {
        self.post(pod, "/v1/rooms/team-a/demo/whip", "application/sdp", "v=0".into()).await
    }

    async fn post(&mut self, pod: &str, path: &str, kind: &str, body: String) -> (u16, String) {
        let url = format!("http://{}{path}", self.replica(pod).addr);
        let request = reqwest::Client::new().post(url).bearer_auth(token_of("ann", "Ann", "demo")).timeout(DEADLINE);
        let response = request.header("content-type", kind).body(body).send().await.unwrap();
        (response.status().as_u16(), String::from_utf8(response.bytes().await.unwrap().to_vec()).unwrap())
    }

    /// The flow once it is as `wanted`.
    pub(crate) async fn flow_when(&mut self, pod: &str, wanted: impl Fn(&FlowReport) -> bool) -> FlowReport {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let report = self.flow(pod).await;
            if wanted(&report) {
                return report;
            }
            assert!(Instant::now() < deadline, "{report:?}");
            tokio::task::yield_now().await;
        }
    }
}

pub(crate) fn peers() -> Route {
    route(0, Standing::Peers)
}

async fn replica(
    pod: &'static str,
    authority: &Authority,
    (routes, homes, relays): (Routes, Homes, Relays),
    leader: Leader,
) -> Replica {
    let issued = authority.issue(GATEWAY_SAN, SystemTime::now()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let closing = Shutdown::new();
    let stop = closing.clone();
    let started = runtime.spawn(async move {
        let identity = Arc::new(Identity::from_issued(&issued).unwrap());
        let (client, counters) = (ControlClient::new(Arc::clone(&identity)), Counters::new());
        let peers = Peers::new(PeersParts {
            pod: pod.into(),
            routes: routes.clone(),
            homes: homes.clone(),
            counters: counters.clone(),
            max_sockets: 8,
            closing: stop.clone(),
        });
        let bind = async || {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let addr = listener.local_addr().unwrap();
            (listener, addr)
        };
        let ((inside, control), (outside, addr)) = (bind().await, bind().await);
        tokio::spawn(mtls::serve(inside, identity, control_router(client.clone(), &peers), Shutdown::new()));
        let gateway = Gateway::new(Parts {
            pod: pod.into(),
            region: Some("eu".into()),
            keys: keys(),
            routes,
            homes,
            relays,
            leader,
            client,
            counters,
            requests: Rates::new(1_000),
            tokens: Rates::new(1),
            ice_servers: Rates::new(100),
            sockets: SocketPermits::new(20, 20, 20),
            closing: stop,
        });
        tokio::spawn(serve_plain(outside, plenum_gateway::router(gateway), Limits::default(), Shutdown::new()));
        (control, addr)
    });
    let (control, addr) = timeout(DEADLINE, started).await.unwrap().unwrap();
    Replica { pod, addr, control, closing, runtime: Some(runtime) }
}

/// Somebody in the room.
pub(crate) struct Person {
    pub(crate) client: Client,
    pub(crate) id: ParticipantId,
    pub(crate) roster: Vec<RosterEntry>,
}

impl Person {
    pub(crate) async fn joined(mut client: Client) -> Self {
        match next(&mut client).await {
            Some(ServerMessage::Joined { participant, roster, mode: RoomMode::PeerToPeer, .. }) => {
                Self { client, id: participant, roster }
            }
            other => panic!("expected joined, got {other:?}"),
        }
    }

    pub(crate) async fn next(&mut self) -> Option<ServerMessage> {
        next(&mut self.client).await
    }

    pub(crate) async fn say(&mut self, message: serde_json::Value) {
        say(&mut self.client, message).await;
    }

    /// The next message must say that somebody came.
    pub(crate) async fn meets(&mut self) -> RosterEntry {
        match self.next().await {
            Some(ServerMessage::ParticipantJoined { participant }) => participant,
            other => panic!("expected participantJoined, got {other:?}"),
        }
    }

    /// The next message must be `rejoin`, and the last.
    pub(crate) async fn rejoins(&mut self) -> RejoinReason {
        match self.next().await {
            Some(ServerMessage::Rejoin { reason, .. }) => {
                assert_eq!(self.next().await, None);
                reason
            }
            other => panic!("expected rejoin, got {other:?}"),
        }
    }

    pub(crate) async fn offers(&mut self, to: &ParticipantId, sdp: &str) {
        self.say(
            serde_json::json!({"type": "signal", "to": to, "kind": "description", "sdpType": "offer", "sdp": sdp}),
        )
        .await;
    }
}

pub(crate) async fn say(client: &mut Client, message: serde_json::Value) {
    client.send(Message::text(message.to_string())).await.unwrap();
}
