//! One gateway with keys, rooms, a node and a leader, reachable over HTTP.

use crate::fake_node::{FakeNode, NodeEnd};
use crate::fake_relay::FakeRelay;
use axum::Router;
use axum::body::Body;
use axum::routing::post;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{Request, Response};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use plenum_gateway::{
    ApiKeys, Counters, Gateway, Homes, Leader, Parts, Place, Rates, RelayRules, Relays, Route, Routes, SocketPermits,
    Standing,
};
use plenum_protocol::control::{GATEWAY_SAN, OPERATOR_SAN};
use plenum_protocol::flow::MediaPlace;
use plenum_protocol::ids::{Epoch, RoomName};
use plenum_protocol::reach::BindRequest;
use plenum_protocol::room::{SUBPROTOCOL, ServerMessage};
use plenum_protocol::token::{Claims, VideoGrant, sign};
use plenum_runtime::ca::Authority;
use plenum_runtime::client::ControlClient;
use plenum_runtime::http::JsonBody;
use plenum_runtime::mtls::{self, Identity};
use plenum_runtime::server::{Limits, serve_plain};
use plenum_runtime::shutdown::Shutdown;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tower::ServiceExt as _;

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
pub(crate) type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub(crate) struct World {
    pub(crate) routes: Routes,
    pub(crate) node: FakeNode,
    /// The directory of relays.
    pub(crate) relays: Relays,
    /// The control API of all of them.
    pub(crate) relay: FakeRelay,
    pub(crate) relay_addr: SocketAddr,
    pub(crate) ends: mpsc::Receiver<NodeEnd>,
    /// What the leader was asked to bind.
    pub(crate) binds: mpsc::Receiver<BindRequest>,
    pub(crate) closing: Shutdown,
    router: Router,
    addr: SocketAddr,
}

impl World {
    pub(crate) async fn new() -> Self {
        let authority = Authority::generate(SystemTime::now()).unwrap();
        let (node, ends) = FakeNode::start(&authority, "media").await;
        let (leader, binds) = leader(&authority).await;
        let (relay, relay_addr) = FakeRelay::start(&authority).await;
        let relays = Relays::new();
        let issued = authority.issue(GATEWAY_SAN, SystemTime::now()).unwrap();
        let client = ControlClient::new(Arc::new(Identity::from_issued(&issued).unwrap()));
        let (routes, closing, keys) = (Routes::new(), Shutdown::new(), keys());
        let gateway = Gateway::new(Parts {
            pod: "gateway-a".into(),
            region: Some("eu".into()),
            keys,
            routes: routes.clone(),
            homes: Homes::new(),
            relays: relays.clone(),
            leader,
            client,
            counters: Counters::new(),
            requests: Rates::new(100),
            tokens: Rates::new(1),
            ice_servers: Rates::new(1),
            sockets: SocketPermits::new(10, 10, 10),
            closing: closing.clone(),
        });
        let router = plenum_gateway::router(gateway);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(serve_plain(listener, router.clone(), Limits::default(), Shutdown::new()));
        Self { routes, node, relays, relay, relay_addr, ends, binds, closing, router, addr }
    }

    /// Applies the room as bound to the node under `epoch`, and the node's grant for it.
    pub(crate) fn bind(&self, epoch: i64) {
        self.node.grant(&"uid-1".parse().unwrap(), Epoch(epoch));
        self.routes.apply(self.bound(epoch));
    }

    /// The same, with relays.
    pub(crate) fn bind_with(&self, epoch: i64, relays: RelayRules) {
        self.node.grant(&"uid-1".parse().unwrap(), Epoch(epoch));
        self.routes.apply(Route { relays, ..self.bound(epoch) });
    }

    pub(crate) fn bound(&self, epoch: i64) -> Route {
        let media = MediaPlace { pod: "eu-0".into(), node: None, region: "eu".into(), zone: None };
        route(epoch, Standing::Bound(Place { namespace: "media".into(), control: self.node.addr, media }))
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(format!("/v1/rooms/team-a/demo/{path}"));
        request = request.header("authorization", format!("Bearer {}", token("demo")));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        timeout(DEADLINE, self.router.clone().oneshot(request)).await.unwrap().unwrap()
    }

    pub(crate) async fn publish(&self) -> Response<Body> {
        self.ask("POST", "whip", &[("content-type", "application/sdp")], "v=0").await
    }

    /// Any request, as it is.
    pub(crate) async fn raw(&self, request: Request<Body>) -> Response<Body> {
        timeout(DEADLINE, self.router.clone().oneshot(request)).await.unwrap().unwrap()
    }

    pub(crate) async fn join(&self, token: &str) -> Client {
        let url = format!("ws://{}/v1/rooms/team-a/demo/socket", self.addr);
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse().unwrap());
        let (mut client, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        let join = serde_json::json!({"type": "join", "token": token});
        client.send(Message::text(join.to_string())).await.unwrap();
        client
    }

    /// A client that has joined, with the node's end of its socket.
    pub(crate) async fn joined(&mut self) -> (Client, NodeEnd) {
        let mut client = self.join(&token("demo")).await;
        let end = timeout(DEADLINE, self.ends.recv()).await.unwrap().unwrap();
        assert!(matches!(next(&mut client).await, Some(ServerMessage::Joined { .. })));
        (client, end)
    }
}

/// The next message; `None` once the socket closes.
pub(crate) async fn next(client: &mut Client) -> Option<ServerMessage> {
    loop {
        match timeout(DEADLINE, client.next()).await.unwrap() {
            Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
            Some(Ok(_)) => {}
        }
    }
}

pub(crate) fn route(epoch: i64, standing: Standing) -> Route {
    let name = RoomName { namespace: "team-a".into(), name: "demo".into() };
    let (uid, relays) = ("uid-1".parse().unwrap(), RelayRules::default());
    Route { name, uid, epoch: Epoch(epoch), standing, relays, upgrades: false, max_kbps: 2_500 }
}

pub(crate) fn closed() -> Standing {
    Standing::Closed("the room is closed".into())
}

/// The key that [`token`] signs with.
pub(crate) fn keys() -> ApiKeys {
    let keys = ApiKeys::new();
    let mut secret = Secret::default();
    secret.metadata.namespace = Some("team-a".into());
    secret.data = Some([("key".to_owned(), ByteString(b"secret".to_vec()))].into());
    keys.apply(secret);
    keys
}

pub(crate) fn unbound(awaits_participant: bool) -> Route {
    let why = "NoMatchingPool: no pool in eu".to_owned();
    route(0, Standing::Unbound { why, awaits_participant, hopeful: awaits_participant })
}

pub(crate) fn token(room: &str) -> String {
    token_of("ann", "Ann", room)
}

pub(crate) fn token_of(identity: &str, name: &str, room: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let video = VideoGrant { room: room.into(), room_join: true, ..VideoGrant::default() };
    let claims =
        Claims { iss: "key".into(), sub: identity.into(), exp: now + 60, nbf: now, name: Some(name.into()), video };
    sign(&claims, b"secret").unwrap()
}

pub(crate) async fn text(response: Response<Body>) -> String {
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(crate) async fn leader(authority: &Authority) -> (Leader, mpsc::Receiver<BindRequest>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (sender, binds) = mpsc::channel(64);
    let bind = async move |JsonBody(request): JsonBody<BindRequest>| {
        drop(sender.send(request).await);
        http::StatusCode::ACCEPTED
    };
    let issued = authority.issue(OPERATOR_SAN, SystemTime::now()).unwrap();
    let identity = Arc::new(Identity::from_issued(&issued).unwrap());
    let router = Router::new().route("/v1/bind", post(bind));
    tokio::spawn(mtls::serve(listener, identity, router, Shutdown::new()));
    (Leader::new(Box::new(move || Box::pin(async move { Ok(addr) }))), binds)
}
