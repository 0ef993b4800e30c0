//! The control API of a TURN pod that has one allocation, behind the real mutual TLS server; and its directory entry.

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use plenum_protocol::control::node_san;
use plenum_protocol::ids::ParticipantId;
use plenum_protocol::peer::relay_session_start;
use plenum_protocol::relay::{
    AllocationAnswer, AllocationQuery, AllocationState, Relay, RelayDirectory, RelayDoor, RelaySecret,
};
use plenum_protocol::turn::{RelayTransport, Scope};
use plenum_runtime::ca::Authority;
use plenum_runtime::http::{JsonBody, ProblemResponse, require_role};
use plenum_runtime::mtls::{self, Identity, PeerRole, RoleKind};
use plenum_runtime::shutdown::Shutdown;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;
use tokio::net::TcpListener;

/// The relay port that is allocated.
pub(crate) const RELAY_PORT: u16 = 50_007;
pub(crate) const SECRET: &str = "hush";

#[derive(Clone, Default)]
pub(crate) struct FakeRelay {
    pub(crate) asked: Arc<Mutex<Vec<AllocationQuery>>>,
    /// Sessions of peers that have an allocation by TLS.
    pub(crate) peers: Arc<Mutex<Vec<String>>>,
}

impl FakeRelay {
    /// Serves in namespace `turn`.
    pub(crate) async fn start(authority: &Authority) -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let relay = Self::default();
        let issued = authority.issue(&node_san("turn"), SystemTime::now()).unwrap();
        let identity = Arc::new(Identity::from_issued(&issued).unwrap());
        let router = Router::new().route("/v1/allocations", post(allocations)).with_state(relay.clone());
        tokio::spawn(mtls::serve(listener, identity, router, Shutdown::new()));
        (relay, addr)
    }
}

async fn allocations(
    State(relay): State<FakeRelay>,
    PeerRole(role): PeerRole,
    JsonBody(query): JsonBody<AllocationQuery>,
) -> Result<JsonBody<AllocationAnswer>, ProblemResponse> {
    require_role(&role, &[RoleKind::Gateway, RoleKind::Operator])?;
    let live = query.ports.iter().filter(|port| **port == RELAY_PORT);
    let allocations = live.map(|port| AllocationState {
        port: *port,
        transport: RelayTransport::Tls,
        session: "T_1".into(),
        scope: Some(Scope::Media),
        sent_bytes: 1_000,
        received_bytes: 2_000,
    });
    let sessions = relay.peers.lock().unwrap().clone();
    let of = |participant: &ParticipantId| {
        let start = relay_session_start(participant);
        sessions.iter().filter(move |session| session.starts_with(&start)).map(|session| AllocationState {
            port: 50_008,
            transport: RelayTransport::Tls,
            session: session.clone(),
            scope: Some(Scope::Peers),
            sent_bytes: 3_000,
            received_bytes: 4_000,
        })
    };
    let answer = AllocationAnswer { allocations: allocations.chain(query.participants.iter().flat_map(of)).collect() };
    relay.asked.lock().unwrap().push(query);
    Ok(JsonBody(answer))
}

/// Ready relays: pool, pod, boot id and region of each, all with the control API at `control`.
pub(crate) fn directory(control: SocketAddr, relays: &[(&str, &str, &str, &str)]) -> RelayDirectory {
    let door = |transport, host: &str, port| RelayDoor { transport, hosts: vec![host.into()], port };
    let of = |(pool, pod, boot, region): &(&str, &str, &str, &str)| Relay {
        namespace: "turn".into(),
        pool: (*pool).into(),
        pod: (*pod).into(),
        boot_id: boot.parse().unwrap(),
        region: (*region).into(),
        control: control.to_string(),
        doors: vec![
            door(RelayTransport::Udp, "192.0.2.7", 3478),
            door(RelayTransport::Tcp, "192.0.2.7", 3478),
            door(RelayTransport::Tls, "turn.test", 443),
        ],
        secret: RelaySecret(SECRET.into()),
        credential_ttl_seconds: 600,
    };
    RelayDirectory { relays: relays.iter().map(of).collect() }
}
