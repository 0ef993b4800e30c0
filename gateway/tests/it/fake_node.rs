//! A media node that grants what the test says, behind the real mutual TLS server.

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Query, State};
use axum::response::IntoResponse;
use axum::routing::{get, patch, post};
use plenum_protocol::control::{IfMatch, NodeJoin, OpenSession, PatchSession, SessionOpened, SessionPatched, node_san};
use plenum_protocol::flow::{Leg, LegBasis, LegBytes, LegEnd, LegRelay, LegRole, LegState, RoomLegs};
use plenum_protocol::ids::{Epoch, RoomUid};
use plenum_protocol::problem::Code;
use plenum_protocol::room::{ClientMessage, RoomMode, RosterEntry, ServerMessage};
use plenum_runtime::ca::Authority;
use plenum_runtime::http::{JsonBody, ProblemResponse, require_role};
use plenum_runtime::mtls::{self, Identity, PeerRole, RoleKind};
use plenum_runtime::shutdown::Shutdown;
use serde::Deserialize;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// The room's end of one socket.
pub(crate) struct NodeEnd {
    pub(crate) join: NodeJoin,
    pub(crate) heard: mpsc::Receiver<ClientMessage>,
    /// Dropping it breaks the socket.
    pub(crate) say: mpsc::Sender<ServerMessage>,
}

#[derive(Clone)]
pub(crate) struct FakeNode {
    pub(crate) addr: SocketAddr,
    pub(crate) grants: Arc<Mutex<HashMap<RoomUid, Epoch>>>,
    /// How often a session was refused for want of a grant.
    pub(crate) refusals: Arc<Mutex<usize>>,
    /// The relay and port that the one leg comes from.
    from: Arc<Mutex<(Option<LegRelay>, u16)>>,
    pub(crate) stop: Shutdown,
    ends: mpsc::Sender<NodeEnd>,
}

impl FakeNode {
    pub(crate) async fn start(authority: &Authority, namespace: &str) -> (Self, mpsc::Receiver<NodeEnd>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (sender, ends) = mpsc::channel(64);
        let (grants, refusals, stop) = (Arc::default(), Arc::default(), Shutdown::new());
        let from = Arc::new(Mutex::new((None, 7)));
        let node = Self { addr: listener.local_addr().unwrap(), grants, refusals, from, stop, ends: sender };
        let issued = authority.issue(&node_san(namespace), SystemTime::now()).unwrap();
        let identity = Arc::new(Identity::from_issued(&issued).unwrap());
        tokio::spawn(mtls::serve(listener, identity, node.router(), node.stop.clone()));
        (node, ends)
    }

    pub(crate) fn grant(&self, uid: &RoomUid, epoch: Epoch) {
        self.grants.lock().unwrap().insert(uid.clone(), epoch);
    }

    /// From now on the leg comes from `port` of this relay.
    pub(crate) fn relayed(&self, relay: Option<LegRelay>, port: u16) {
        *self.from.lock().unwrap() = (relay, port);
    }

    fn router(&self) -> Router {
        Router::new()
            .route("/v1/rooms/{uid}/sessions", post(open))
            .route("/v1/rooms/{uid}/socket", get(socket))
            .route("/v1/rooms/{uid}/legs", get(legs))
            .route("/v1/sessions/{id}", patch(patch_session).delete(close))
            .with_state(self.clone())
    }

    fn check(&self, uid: &RoomUid, epoch: Epoch) -> Result<(), ProblemResponse> {
        if self.grants.lock().unwrap().get(uid) == Some(&epoch) {
            return Ok(());
        }
        *self.refusals.lock().unwrap() += 1;
        Err(ProblemResponse::new(Code::NotGranted, "no grant"))
    }
}

async fn open(
    State(node): State<FakeNode>,
    PeerRole(role): PeerRole,
    Path(uid): Path<RoomUid>,
    JsonBody(request): JsonBody<OpenSession>,
) -> Result<JsonBody<SessionOpened>, ProblemResponse> {
    require_role(&role, &[RoleKind::Gateway])?;
    node.check(&uid, request.epoch)?;
    if request.offer.contains("nonsense") {
        return Err(ProblemResponse::new(Code::BadSdp, "line 1 is nonsense"));
    }
    Ok(JsonBody(SessionOpened {
        session: "S-1".parse().unwrap(),
        participant: "PA_1".parse().unwrap(),
        publication: "PU_1".parse().unwrap(),
        answer: format!("answer to {} by {}", request.owner.name, request.gateway),
        etag: "e1".into(),
    }))
}

async fn patch_session(
    State(node): State<FakeNode>,
    JsonBody(request): JsonBody<PatchSession>,
) -> Result<JsonBody<SessionPatched>, ProblemResponse> {
    if !node.grants.lock().unwrap().contains_key(&request.room) {
        return Err(ProblemResponse::new(Code::NotGranted, "no grant"));
    }
    match request.if_match {
        Some(IfMatch::Etag(tag)) if tag != "e1" => Err(ProblemResponse::new(Code::PreconditionFailed, "stale")),
        Some(IfMatch::Etag(_)) => Ok(JsonBody(SessionPatched::Trickled)),
        _ => Ok(JsonBody(SessionPatched::Restarted { fragment: "f".into(), etag: "e2".into() })),
    }
}

#[derive(Deserialize)]
struct OfRoom {
    room: RoomUid,
}

async fn close(
    State(node): State<FakeNode>,
    Path(id): Path<String>,
    Query(of): Query<OfRoom>,
) -> Result<JsonBody<()>, ProblemResponse> {
    let known = id == "S-1" && node.grants.lock().unwrap().contains_key(&of.room);
    if known { Ok(JsonBody(())) } else { Err(ProblemResponse::new(Code::NotFound, "no such session")) }
}

#[derive(Deserialize)]
struct AtEpoch {
    epoch: Epoch,
}

async fn legs(
    State(node): State<FakeNode>,
    Path(uid): Path<RoomUid>,
    Query(at): Query<AtEpoch>,
) -> Result<JsonBody<RoomLegs>, ProblemResponse> {
    node.check(&uid, at.epoch)?;
    let (relay, port) = node.from.lock().unwrap().clone();
    let end = |port| LegEnd { candidate_type: None, address: Some("192.0.2.1".into()), port: Some(port) };
    let leg = Leg {
        session: "S-1".parse().unwrap(),
        participant: "PA_1".parse().unwrap(),
        peer: None,
        participant_name: "Ann".into(),
        role: LegRole::Publisher,
        publication: "PU_1".parse().unwrap(),
        state: LegState::Connected,
        basis: LegBasis::Measured,
        gateway: "gateway-b".into(),
        client: end(port),
        node: end(7),
        protocol: "udp".into(),
        rtt_micros: None,
        receive_kbps: 1,
        send_kbps: 0,
        packets: 9,
        bytes: LegBytes::default(),
        relay,
        client_view: None,
    };
    Ok(JsonBody(RoomLegs { uid, epoch: at.epoch, legs: vec![leg] }))
}

async fn socket(
    State(node): State<FakeNode>,
    Path(uid): Path<RoomUid>,
    upgrade: WebSocketUpgrade,
) -> impl IntoResponse {
    upgrade.on_upgrade(move |socket| run(node, uid, socket))
}

async fn send(socket: &mut WebSocket, message: &ServerMessage) {
    let text = serde_json::to_string(message).unwrap();
    // The gateway may be gone already.
    drop(socket.send(Message::Text(text.into())).await);
}

async fn run(node: FakeNode, uid: RoomUid, mut socket: WebSocket) {
    let Some(Ok(Message::Text(text))) = socket.recv().await else { return };
    let join: NodeJoin = serde_json::from_str(&text).unwrap();
    if node.check(&uid, join.epoch).is_err() {
        let refused = ServerMessage::Error { code: Code::NotGranted, detail: "no grant".into() };
        return send(&mut socket, &refused).await;
    }
    let roster: Vec<RosterEntry> = Vec::new();
    let (participant, participant_key) = ("PA_1".parse().unwrap(), "key".parse().unwrap());
    let (mode, max_bitrate_kbps) = (RoomMode::MediaServer, None);
    send(&mut socket, &ServerMessage::Joined { participant, participant_key, roster, mode, max_bitrate_kbps }).await;
    let ((say, mut saying), (hear, heard)) = (mpsc::channel(8), mpsc::channel(8));
    node.ends.send(NodeEnd { join, heard, say }).await.unwrap();
    loop {
        tokio::select! {
            message = saying.recv() => match message {
                Some(message) => send(&mut socket, &message).await,
                None => return,
            },
            frame = socket.recv() => match frame {
                Some(Ok(Message::Text(text))) => {
                    drop(hear.send(serde_json::from_str(&text).unwrap()).await);
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
        }
    }
}
