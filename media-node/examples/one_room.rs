//! One media node with one room on loopback, without a cluster: for a look by hand with a browser.
//!
//! `cargo run -p plenum-media-node --example one_room -- 8099`, then open `http://127.0.0.1:8099/`. The page publishes
//! and receives its own media for some seconds; what it measured and the node's legs are printed.

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::response::{Html, IntoResponse};
use axum::routing::{get, post};
use plenum_media_node::MediaNode;
use plenum_media_node::settings::Settings;
use plenum_protocol::control::{
    GATEWAY_SAN, Grant, NodeConfig, OPERATOR_SAN, OpenSession, SessionKind, SessionOpened, SessionOwner, SyncReport,
    SyncRequest, node_san,
};
use plenum_protocol::flow::RoomLegs;
use plenum_protocol::ids::{Epoch, RoomName, Term};
use plenum_runtime::ca::Authority;
use plenum_runtime::client::{ControlClient, Target};
use plenum_runtime::mtls::Identity;
use plenum_runtime::shutdown::Shutdown;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone)]
struct Gateway {
    client: ControlClient,
    node: Target,
    done: Shutdown,
}

impl Gateway {
    async fn open(&self, session: SessionKind, offer: String) -> Result<String, String> {
        let owner = SessionOwner { participant_key: None, identity: "me".to_owned(), name: "Me".to_owned() };
        let request = OpenSession { epoch: Epoch(1), session, owner, gateway: "example".to_owned(), offer };
        let opened: Result<SessionOpened, _> =
            self.client.post(&self.node, "/v1/rooms/room/sessions", &request, TIMEOUT).await;
        opened.map(|opened| opened.answer).map_err(|error| format!("{error:?}"))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    plenum_runtime::telemetry::init("info")?;
    plenum_runtime::crypto::install();
    let port: u16 = std::env::args().nth(1).context("usage: one_room PORT")?.parse().context("the port")?;
    let now = SystemTime::now();
    let authority = Authority::generate(now)?;
    let certificates = tempfile::tempdir()?;
    let own = authority.issue(&node_san("example"), now)?;
    for (name, text) in [("tls.crt", &own.cert), ("tls.key", &own.key), ("ca.crt", &own.ca)] {
        std::fs::write(certificates.path().join(name), text)?;
    }
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let node = MediaNode::bind(&Settings {
        pod_name: "example".to_owned(),
        pod_namespace: "example".to_owned(),
        pod_uid: "example".to_owned(),
        node_name: "example".to_owned(),
        workers: 1,
        media_port_base: 0,
        control: loopback,
        metrics: loopback,
        control_cert_dir: certificates.path().to_owned(),
    })
    .await?;
    println!("metrics: http://{}/metrics", node.metrics_address()?);
    let target = Target::new(node.control_address()?, node_san("example"));
    let client = |san| -> anyhow::Result<ControlClient> {
        Ok(ControlClient::new(Arc::new(Identity::from_issued(&authority.issue(san, now)?)?)))
    };
    let (stop, done) = (Shutdown::new(), Shutdown::new());
    let running = tokio::spawn(node.run(stop));
    grant(&client(OPERATOR_SAN)?, &target).await?;
    let gateway = Gateway { client: client(GATEWAY_SAN)?, node: target, done: done.clone() };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    println!("open http://127.0.0.1:{port}/");
    let serving = axum::serve(listener, page(gateway));
    tokio::select! {
        served = serving => served.context("serving the page"),
        ended = running => ended?.context("running the node"),
        () = done.requested() => Ok(()),
    }
}

async fn grant(operator: &ControlClient, node: &Target) -> anyhow::Result<()> {
    let room = Grant {
        uid: "room".parse()?,
        room: RoomName { namespace: "example".to_owned(), name: "room".to_owned() },
        epoch: Epoch(1),
        max_participants: 16,
        max_bitrate_kbps: 2_500,
        relay_only: false,
    };
    let config = NodeConfig {
        outside_addresses: vec!["127.0.0.1".to_owned()],
        max_participants: 0,
        accepting: true,
        relays: vec![],
    };
    let request =
        SyncRequest { term: Term(1), known: None, config: Some(config), grants: vec![room], revocations: vec![] };
    let report: SyncReport = operator.post(node, "/v1/sync", &request, TIMEOUT).await?;
    println!("the node runs {} room", report.rooms.len());
    Ok(())
}

fn page(gateway: Gateway) -> Router {
    Router::new()
        .route("/", get(|| async { Html(include_str!("one_room.html")) }))
        .route("/whip", post(whip))
        .route("/whep", post(whep))
        .route("/legs", post(legs))
        .route("/report", post(report))
        .with_state(gateway)
}

async fn whip(State(gateway): State<Gateway>, offer: String) -> impl IntoResponse {
    answer(gateway.open(SessionKind::Publish, offer).await)
}

async fn whep(State(gateway): State<Gateway>, offer: String) -> impl IntoResponse {
    answer(gateway.open(SessionKind::Subscribe { publication: None }, offer).await)
}

fn answer(outcome: Result<String, String>) -> impl IntoResponse {
    outcome.map_err(|error| (axum::http::StatusCode::BAD_GATEWAY, error))
}

async fn legs(State(gateway): State<Gateway>) {
    let legs: Result<RoomLegs, _> = gateway.client.get(&gateway.node, "/v1/rooms/room/legs?epoch=1", TIMEOUT).await;
    match legs.map(|legs| serde_json::to_string_pretty(&legs.legs)) {
        Ok(Ok(legs)) => println!("the node says: {legs}"),
        other => println!("the node says nothing: {other:?}"),
    }
}

async fn report(State(gateway): State<Gateway>, body: String) {
    println!("the browser says: {body}");
    legs(State(gateway.clone())).await;
    gateway.done.trigger();
}
