//! A node on loopback with its callers.

#[path = "../../../runtime/tests/support/pod.rs"]
mod pod;

use futures_util::{SinkExt as _, StreamExt as _};
use plenum_media_node::settings::Settings;
use plenum_media_node::{MediaNode, NodeError};
use plenum_protocol::control::{
    Grant, NodeConfig, NodeJoin, OpenSession, PatchSession, Revocation, RevokeReason, SessionKind, SessionOpened,
    SessionOwner, SessionPatched, SyncReport, SyncRequest,
};
use plenum_protocol::flow::RoomLegs;
use plenum_protocol::ids::{Epoch, ParticipantKey, RoomName, RoomUid, SessionId, Term};
use plenum_protocol::ports::PortRange;
use plenum_protocol::relay::RelaySource;
use plenum_protocol::room::ServerMessage;
use plenum_runtime::client::{CallError, ControlClient, Message, NodeSocket, Target};
use plenum_runtime::shutdown::Shutdown;
use pod::Loopback;
pub(crate) use pod::{DEADLINE, code};
use std::net::SocketAddr;
use tempfile::TempDir;
use tokio::task::JoinHandle;

const PUBLISH_OFFER: &str = include_str!("../fixtures/chromium-publish.sdp");

pub(crate) struct Harness {
    pub(crate) operator: ControlClient,
    pub(crate) gateway: ControlClient,
    pub(crate) target: Target,
    pub(crate) metrics: SocketAddr,
    pub(crate) ports: Vec<u16>,
    pub(crate) shutdown: Shutdown,
    pub(crate) running: JoinHandle<Result<(), NodeError>>,
    _certificates: TempDir,
}

impl Harness {
    pub(crate) async fn start() -> Self {
        let Loopback { pod, operator, gateway, dir } = Loopback::new("media-0-abcde", 2);
        let node = MediaNode::bind(&Settings { pod, media_port_base: 0 }).await.unwrap();
        let shutdown = Shutdown::new();
        Self {
            operator,
            gateway,
            target: pod::target(node.shell()),
            metrics: node.shell().metrics_address().unwrap(),
            ports: node.media_ports(),
            running: tokio::spawn(node.run(shutdown.clone())),
            shutdown,
            _certificates: dir,
        }
    }

    /// Configured, with room `a` under epoch 1.
    pub(crate) async fn with_room() -> Self {
        let harness = Self::start().await;
        let request = SyncRequest { config: Some(config(true)), grants: vec![grant("a", 1)], ..sync(1) };
        harness.sync(&request).await.unwrap();
        harness
    }

    pub(crate) async fn sync(&self, request: &SyncRequest) -> Result<SyncReport, CallError> {
        self.operator.post(&self.target, "/v1/sync", request, DEADLINE).await
    }

    pub(crate) async fn revoke(&self, reason: RevokeReason) {
        let revocations = vec![Revocation { uid: uid("a"), epoch: Epoch(1), reason, detail: None }];
        self.sync(&SyncRequest { revocations, ..sync(1) }).await.unwrap();
    }

    pub(crate) async fn open(&self, request: &OpenSession) -> Result<SessionOpened, CallError> {
        self.gateway.post(&self.target, "/v1/rooms/a/sessions", request, DEADLINE).await
    }

    pub(crate) async fn patch(&self, session: &SessionId, request: &PatchSession) -> Result<SessionPatched, CallError> {
        self.gateway.patch(&self.target, &format!("/v1/sessions/{session}"), request, DEADLINE).await
    }

    pub(crate) async fn close(&self, session: &SessionId, room: &str) -> Result<(), CallError> {
        self.gateway.delete(&self.target, &format!("/v1/sessions/{session}?room={room}"), DEADLINE).await
    }

    pub(crate) async fn legs(&self, epoch: i64) -> Result<RoomLegs, CallError> {
        self.gateway.get(&self.target, &format!("/v1/rooms/a/legs?epoch={epoch}"), DEADLINE).await
    }

    pub(crate) async fn socket(&self) -> NodeSocket {
        self.gateway.websocket(&self.target, "/v1/rooms/a/socket", DEADLINE).await.unwrap()
    }

    /// A socket of the room that has joined, and what `joined` said.
    pub(crate) async fn join(&self, identity: &str) -> (NodeSocket, ParticipantKey) {
        let mut socket = self.socket().await;
        say(&mut socket, &node_join(identity, 1)).await;
        let ServerMessage::Joined { participant_key, .. } = hear(&mut socket).await else { panic!("not joined") };
        (socket, participant_key)
    }

    /// `GET` on the probe port.
    pub(crate) async fn probe(&self, path: &str) -> String {
        pod::probe(self.metrics, path).await
    }
}

pub(crate) fn uid(text: &str) -> RoomUid {
    text.parse().unwrap()
}

pub(crate) fn sync(term: i64) -> SyncRequest {
    SyncRequest { term: Term(term), known: None, config: None, grants: vec![], revocations: vec![] }
}

pub(crate) fn config(accepting: bool) -> NodeConfig {
    NodeConfig { outside_addresses: vec!["127.0.0.1".into()], max_participants: 0, accepting, relays: vec![] }
}

/// A TURN pod on loopback with one relay port.
pub(crate) fn relay(port: u16) -> RelaySource {
    RelaySource {
        namespace: "turn".into(),
        pool: "turn-eu".into(),
        pod: "turn-0".into(),
        region: "eu".into(),
        addresses: vec![[127, 0, 0, 1].into()],
        outside: Vec::new(),
        ports: PortRange { min: port, max: port },
    }
}

pub(crate) fn grant(name: &str, epoch: i64) -> Grant {
    let room = RoomName { namespace: "demo".into(), name: name.into() };
    Grant {
        uid: uid(name),
        room,
        epoch: Epoch(epoch),
        max_participants: 10,
        max_bitrate_kbps: 2_000,
        relay_only: false,
    }
}

pub(crate) fn publish(key: Option<ParticipantKey>) -> OpenSession {
    OpenSession {
        epoch: Epoch(1),
        session: SessionKind::Publish,
        owner: SessionOwner { participant_key: key, identity: "ann".into(), name: "Ann".into() },
        gateway: "gateway-0".into(),
        offer: PUBLISH_OFFER.into(),
    }
}

pub(crate) fn node_join(identity: &str, epoch: i64) -> NodeJoin {
    NodeJoin {
        epoch: Epoch(epoch),
        identity: identity.into(),
        name: identity.into(),
        can_publish: true,
        can_subscribe: true,
        instance: None,
        gateway: "gateway-0".into(),
    }
}

pub(crate) async fn say(socket: &mut NodeSocket, message: &impl serde::Serialize) {
    socket.send(Message::text(serde_json::to_string(message).unwrap())).await.unwrap();
}

/// The next message of the room; panics when the socket closes first.
pub(crate) async fn hear(socket: &mut NodeSocket) -> ServerMessage {
    let next = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(text.as_str()).unwrap(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("the socket ended: {other:?}"),
            }
        }
    };
    tokio::time::timeout(DEADLINE, next).await.unwrap()
}
