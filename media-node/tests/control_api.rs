//! The whole node on loopback: mutual TLS, sync, sessions, room sockets, probes, the end.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use futures_util::{SinkExt as _, StreamExt as _};
use plenum_media_node::settings::Settings;
use plenum_media_node::{MediaNode, NodeError};
use plenum_protocol::control::{
    GATEWAY_SAN, Grant, IfMatch, Known, NodeConfig, NodeJoin, OPERATOR_SAN, OpenSession, PatchSession, Revocation,
    RevokeReason, SessionKind, SessionOpened, SessionOwner, SessionPatched, SyncReport, SyncRequest, node_san,
};
use plenum_protocol::flow::{CandidateType, LegRole, LegState, RoomLegs};
use plenum_protocol::ids::{BootId, Epoch, ParticipantKey, RoomName, RoomUid, SessionId, Term};
use plenum_protocol::ports::PortRange;
use plenum_protocol::problem::Code;
use plenum_protocol::reach::Ping;
use plenum_protocol::relay::RelaySource;
use plenum_protocol::room::{ClientMessage, RejoinReason, ServerMessage};
use plenum_runtime::ca::Authority;
use plenum_runtime::client::{CallError, ControlClient, Message, NodeSocket, Target};
use plenum_runtime::mtls::Identity;
use plenum_runtime::shutdown::Shutdown;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinHandle;

const DEADLINE: Duration = Duration::from_secs(10);
const PUBLISH_OFFER: &str = include_str!("fixtures/chromium-publish.sdp");
/// Credentials in that offer.
const OFFER_UFRAG: &str = "VRQm";
const OFFER_PWD: &str = "22NoggjJ3WL0DJoblXCOsKPt";

struct Harness {
    operator: ControlClient,
    gateway: ControlClient,
    target: Target,
    metrics: SocketAddr,
    ports: Vec<u16>,
    shutdown: Shutdown,
    running: JoinHandle<Result<(), NodeError>>,
    _certificates: tempfile::TempDir,
}

impl Harness {
    async fn start() -> Self {
        plenum_runtime::crypto::install();
        let now = SystemTime::now();
        let authority = Authority::generate(now).unwrap();
        let certificates = tempfile::tempdir().unwrap();
        let own = authority.issue(&node_san("demo"), now).unwrap();
        for (name, text) in [("tls.crt", &own.cert), ("tls.key", &own.key), ("ca.crt", &own.ca)] {
            std::fs::write(certificates.path().join(name), text).unwrap();
        }
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let node = MediaNode::bind(&Settings {
            pod_name: "media-0-abcde".into(),
            pod_namespace: "demo".into(),
            pod_uid: "pod-uid".into(),
            node_name: "here".into(),
            workers: 2,
            media_port_base: 0,
            control: loopback,
            metrics: loopback,
            control_cert_dir: certificates.path().to_owned(),
        })
        .await
        .unwrap();
        let client = |san| {
            let issued = authority.issue(san, now).unwrap();
            ControlClient::new(Arc::new(Identity::from_issued(&issued).unwrap()))
        };
        let shutdown = Shutdown::new();
        Self {
            operator: client(OPERATOR_SAN),
            gateway: client(GATEWAY_SAN),
            target: Target::new(node.control_address().unwrap(), node_san("demo")),
            metrics: node.metrics_address().unwrap(),
            ports: node.media_ports(),
            running: tokio::spawn(node.run(shutdown.clone())),
            shutdown,
            _certificates: certificates,
        }
    }

    /// Configured, with room `a` under epoch 1.
    async fn with_room() -> Self {
        let harness = Self::start().await;
        let request = SyncRequest { config: Some(config(true)), grants: vec![grant("a", 1)], ..sync(1) };
        harness.sync(&request).await.unwrap();
        harness
    }

    async fn sync(&self, request: &SyncRequest) -> Result<SyncReport, CallError> {
        self.operator.post(&self.target, "/v1/sync", request, DEADLINE).await
    }

    async fn revoke(&self, reason: RevokeReason) {
        let revocations = vec![Revocation { uid: uid("a"), epoch: Epoch(1), reason }];
        self.sync(&SyncRequest { revocations, ..sync(1) }).await.unwrap();
    }

    async fn open(&self, request: &OpenSession) -> Result<SessionOpened, CallError> {
        self.gateway.post(&self.target, "/v1/rooms/a/sessions", request, DEADLINE).await
    }

    async fn patch(&self, session: &SessionId, request: &PatchSession) -> Result<SessionPatched, CallError> {
        self.gateway.patch(&self.target, &format!("/v1/sessions/{session}"), request, DEADLINE).await
    }

    async fn close(&self, session: &SessionId, room: &str) -> Result<(), CallError> {
        self.gateway.delete(&self.target, &format!("/v1/sessions/{session}?room={room}"), DEADLINE).await
    }

    async fn legs(&self, epoch: i64) -> Result<RoomLegs, CallError> {
        self.gateway.get(&self.target, &format!("/v1/rooms/a/legs?epoch={epoch}"), DEADLINE).await
    }

    async fn socket(&self) -> NodeSocket {
        self.gateway.websocket(&self.target, "/v1/rooms/a/socket", DEADLINE).await.unwrap()
    }

    /// A socket of the room that has joined, and what `joined` said.
    async fn join(&self, identity: &str) -> (NodeSocket, ParticipantKey) {
        let mut socket = self.socket().await;
        say(&mut socket, &node_join(identity, 1)).await;
        let ServerMessage::Joined { participant_key, .. } = hear(&mut socket).await else { panic!("not joined") };
        (socket, participant_key)
    }

    /// `GET` on the probe port: the status line and the body.
    async fn probe(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.metrics).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

fn uid(text: &str) -> RoomUid {
    text.parse().unwrap()
}

fn sync(term: i64) -> SyncRequest {
    SyncRequest { term: Term(term), known: None, config: None, grants: vec![], revocations: vec![] }
}

fn config(accepting: bool) -> NodeConfig {
    NodeConfig { outside_addresses: vec!["127.0.0.1".into()], max_participants: 0, accepting, relays: vec![] }
}

/// A TURN pod on loopback with one relay port.
fn relay(port: u16) -> RelaySource {
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

fn grant(name: &str, epoch: i64) -> Grant {
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

fn publish(key: Option<ParticipantKey>) -> OpenSession {
    OpenSession {
        epoch: Epoch(1),
        session: SessionKind::Publish,
        owner: SessionOwner { participant_key: key, identity: "ann".into(), name: "Ann".into() },
        gateway: "gateway-0".into(),
        offer: PUBLISH_OFFER.into(),
    }
}

fn node_join(identity: &str, epoch: i64) -> NodeJoin {
    NodeJoin {
        epoch: Epoch(epoch),
        identity: identity.into(),
        name: identity.into(),
        can_publish: true,
        can_subscribe: true,
        gateway: "gateway-0".into(),
    }
}

fn code<T: std::fmt::Debug>(outcome: Result<T, CallError>) -> Code {
    match outcome {
        Err(CallError::Problem(problem)) => problem.code,
        other => panic!("no problem but {other:?}"),
    }
}

async fn say(socket: &mut NodeSocket, message: &impl serde::Serialize) {
    socket.send(Message::text(serde_json::to_string(message).unwrap())).await.unwrap();
}

/// The next message of the room; panics when the socket closes first.
async fn hear(socket: &mut NodeSocket) -> ServerMessage {
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

#[tokio::test]
async fn a_leader_of_an_older_term_and_words_for_another_start_are_refused() {
    let harness = Harness::start().await;
    let report = harness.sync(&sync(5)).await.unwrap();
    assert!(!report.configured && report.whole);
    let ping: Ping = harness.gateway.get(&harness.target, "/v1/ping", DEADLINE).await.unwrap();
    assert_eq!(ping.boot_id, report.boot_id);
    let stale = SyncRequest { config: Some(config(true)), ..sync(4) };
    assert_eq!(code(harness.sync(&stale).await), Code::StaleTerm);
    let other = Known { boot_id: BootId::from_bits("", 1), state_version: 0 };
    let wrong = SyncRequest { known: Some(other), config: Some(config(true)), ..sync(5) };
    assert_eq!(code(harness.sync(&wrong).await), Code::WrongBoot);
    assert!(!harness.sync(&sync(5)).await.unwrap().configured, "a refused sync changed something");
    assert_eq!(
        code(harness.gateway.post::<_, SyncReport>(&harness.target, "/v1/sync", &sync(6), DEADLINE).await),
        Code::Forbidden
    );
}

#[tokio::test]
async fn a_bad_configuration_is_refused_and_names_what_is_wrong() {
    let harness = Harness::start().await;
    for addresses in [vec![], vec!["here".to_owned()], vec!["127.0.0.1".to_owned(); 9]] {
        let bad = NodeConfig { outside_addresses: addresses, ..config(true) };
        let Err(CallError::Problem(problem)) = harness.sync(&SyncRequest { config: Some(bad), ..sync(1) }).await else {
            panic!("taken")
        };
        assert_eq!(problem.code, Code::BadRequest);
        assert!(problem.detail.contains("outsideAddresses"), "{}", problem.detail);
    }
}

#[tokio::test]
async fn bad_relays_are_refused_and_change_nothing() {
    let harness = Harness::with_room().await;
    let ports = PortRange { min: 9, max: 8 };
    let long = "x".repeat(300);
    for bad in [RelaySource { ports, ..relay(1) }, RelaySource { pod: long, ..relay(1) }] {
        let bad = NodeConfig { relays: vec![bad], ..config(false) };
        let Err(CallError::Problem(problem)) = harness.sync(&SyncRequest { config: Some(bad), ..sync(1) }).await else {
            panic!("taken")
        };
        assert_eq!(problem.code, Code::BadRequest);
        assert!(problem.detail.contains("relays"), "{}", problem.detail);
    }
    harness.join("ann").await;
}

/// One datagram that the socket hears, within the deadline.
async fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 1_500];
    let len = tokio::time::timeout(DEADLINE, socket.recv(&mut buffer)).await.unwrap().unwrap();
    buffer.truncate(len);
    buffer
}

#[tokio::test]
async fn a_leg_names_its_relay_and_a_room_for_relays_drops_direct_checks() {
    let harness = Harness::with_room().await;
    let (relayed, direct) =
        (UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let port = relayed.local_addr().unwrap().port();
    let config = NodeConfig { relays: vec![relay(port)], ..config(true) };
    let relay_only = Grant { relay_only: true, ..grant("a", 1) };
    harness.sync(&SyncRequest { config: Some(config), grants: vec![relay_only], ..sync(1) }).await.unwrap();
    let opened = harness.open(&publish(None)).await.unwrap();
    let media = opened.answer.split(" 127.0.0.1 ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let media: SocketAddr = format!("127.0.0.1:{media}").parse().unwrap();
    let attribute = |name: &str| {
        let line = opened.answer.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.to_owned()
    };
    let (ufrag, pwd) = (attribute("a=ice-ufrag:"), attribute("a=ice-pwd:"));
    let check = stun::check(&format!("{ufrag}:{OFFER_UFRAG}"), &pwd);

    direct.send_to(&check, media).await.unwrap();
    relayed.send_to(&check, media).await.unwrap();
    let mut answered = 0;
    // The node checks the relay's address too, before it takes a nomination.
    while answered == 0 || harness.legs(1).await.unwrap().legs[0].relay.is_none() {
        let datagram = receive(&relayed).await;
        if datagram.starts_with(&[1, 1]) {
            answered += 1;
        } else {
            relayed.send_to(&stun::success(&datagram, media, OFFER_PWD), media).await.unwrap();
            relayed.send_to(&check, media).await.unwrap();
        }
    }
    let leg = harness.legs(1).await.unwrap().legs.remove(0);
    let named = leg.relay.unwrap();
    assert_eq!((named.namespace.as_str(), named.pool.as_str()), ("turn", "turn-eu"));
    assert_eq!((named.pod.as_str(), named.region.as_str(), named.transport), ("turn-0", "eu", None));
    assert_eq!((leg.client.port, leg.client.candidate_type), (Some(port), Some(CandidateType::Relay)));
    assert!(leg.bytes.received >= 2 * check.len() as u64 && leg.bytes.sent > 0, "{:?}", leg.bytes);
    assert_eq!(direct.try_recv(&mut [0; 1]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    let dropped = async {
        while !harness.probe("/metrics").await.contains("reason=\"StunNotRelayed\"} 1") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, dropped).await.unwrap();
}

#[tokio::test]
async fn the_node_is_ready_when_it_is_configured() {
    let harness = Harness::start().await;
    assert!(harness.probe("/livez").await.starts_with("HTTP/1.1 200"));
    assert!(harness.probe("/readyz").await.starts_with("HTTP/1.1 503"));
    harness.sync(&SyncRequest { config: Some(config(true)), ..sync(1) }).await.unwrap();
    assert!(harness.probe("/readyz").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_session_is_opened_patched_listed_and_closed() {
    let harness = Harness::with_room().await;
    let opened = harness.open(&publish(None)).await.unwrap();
    let port = |port: &u16| opened.answer.contains(&format!(" 127.0.0.1 {port} typ host"));
    assert!(harness.ports.iter().any(port), "no candidate in {}", opened.answer);
    assert!(opened.answer.contains("a=ice-lite"));

    let legs = harness.legs(1).await.unwrap().legs;
    assert_eq!(legs.len(), 1);
    assert_eq!(
        (&legs[0].session, legs[0].role, legs[0].state),
        (&opened.session, LegRole::Publisher, LegState::Connecting)
    );
    assert_eq!((legs[0].gateway.as_str(), legs[0].participant_name.as_str()), ("gateway-0", "Ann"));
    assert_eq!(code(harness.legs(2).await), Code::NotGranted);

    let patch = |room: &str, if_match| PatchSession {
        room: uid(room),
        if_match,
        fragment: "a=mid:0\r\na=candidate:1 1 udp 2113937151 127.0.0.1 40000 typ host\r\n".into(),
    };
    let etag = Some(IfMatch::Etag(opened.etag.clone()));
    assert_eq!(harness.patch(&opened.session, &patch("a", etag.clone())).await.unwrap(), SessionPatched::Trickled);
    assert_eq!(code(harness.patch(&opened.session, &patch("b", etag)).await), Code::NotFound);
    let other = Some(IfMatch::Etag("other".into()));
    assert_eq!(code(harness.patch(&opened.session, &patch("a", other)).await), Code::PreconditionFailed);
    assert_eq!(code(harness.patch(&opened.session, &patch("a", None)).await), Code::PreconditionRequired);

    assert_eq!(code(harness.close(&opened.session, "b").await), Code::NotFound);
    harness.close(&opened.session, "a").await.unwrap();
    assert_eq!(code(harness.close(&opened.session, "a").await), Code::NotFound);
    assert!(harness.legs(1).await.unwrap().legs.is_empty());
}

#[tokio::test]
async fn sessions_need_a_grant_an_offer_and_somebody_who_publishes() {
    let harness = Harness::with_room().await;
    let other = OpenSession { epoch: Epoch(2), ..publish(None) };
    assert_eq!(code(harness.open(&other).await), Code::NotGranted);
    let broken = OpenSession { offer: "hello".into(), ..publish(None) };
    assert_eq!(code(harness.open(&broken).await), Code::BadSdp);
    let nobody = OpenSession { session: SessionKind::Subscribe { publication: None }, ..publish(None) };
    assert_eq!(code(harness.open(&nobody).await), Code::NotFound);
    let stranger = publish(Some(ParticipantKey::from_bits("PK_", 1)));
    assert_eq!(code(harness.open(&stranger).await), Code::NotFound);
    assert_eq!(harness.sync(&sync(1)).await.unwrap().load.participants, 0, "a refused session left a participant");
    harness.revoke(RevokeReason::Rebound).await;
    assert_eq!(code(harness.open(&publish(None)).await), Code::NotGranted);
    let again = harness.sync(&SyncRequest { grants: vec![grant("a", 1)], ..sync(1) }).await.unwrap();
    assert!(again.rooms.is_empty(), "a revoked epoch came back");
}

#[tokio::test]
async fn people_of_a_room_hear_of_each_other() {
    let harness = Harness::with_room().await;
    let (mut ann, key) = harness.join("ann").await;
    let (mut bob, _) = harness.join("bob").await;
    assert!(
        matches!(hear(&mut ann).await, ServerMessage::ParticipantJoined { participant } if participant.identity == "bob")
    );
    let opened = harness.open(&publish(Some(key))).await.unwrap();
    let report = harness.sync(&sync(1)).await.unwrap();
    assert_eq!((report.rooms[0].participants, report.load.participants), (2, 2));

    say(&mut bob, &ClientMessage::Join { token: String::new(), name: None }).await;
    assert!(matches!(hear(&mut bob).await, ServerMessage::Error { code: Code::BadRequest, .. }));
    bob.send(Message::text("{\"type\":\"dance\"}")).await.unwrap();
    assert!(matches!(hear(&mut bob).await, ServerMessage::Error { code: Code::BadRequest, .. }));

    say(&mut ann, &ClientMessage::Leave).await;
    assert!(matches!(hear(&mut bob).await, ServerMessage::ParticipantLeft { .. }));
    assert_eq!(code(harness.close(&opened.session, "a").await), Code::NotFound, "her session outlived her");
    drop(bob);
    while harness.sync(&sync(1)).await.unwrap().load.participants > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_socket_that_does_not_join_is_told_why_and_closed() {
    let harness = Harness::with_room().await;
    for (frame, expected) in [
        (serde_json::to_string(&node_join("ann", 2)).unwrap(), Code::NotGranted),
        ("{}".to_owned(), Code::BadRequest),
        ("hello".to_owned(), Code::BadRequest),
    ] {
        let mut socket = harness.socket().await;
        socket.send(Message::text(frame)).await.unwrap();
        assert!(matches!(hear(&mut socket).await, ServerMessage::Error { code, .. } if code == expected));
        let end = tokio::time::timeout(DEADLINE, socket.next()).await.unwrap();
        assert!(matches!(end, Some(Ok(Message::Close(_))) | None), "{end:?}");
    }
}

#[tokio::test]
async fn a_room_that_moves_sends_its_people_back_and_a_deleted_one_ends() {
    let harness = Harness::with_room().await;
    let (mut ann, key) = harness.join("ann").await;
    let opened = harness.open(&publish(Some(key))).await.unwrap();
    harness.revoke(RevokeReason::Rebound).await;
    assert!(matches!(hear(&mut ann).await, ServerMessage::Rejoin { reason: RejoinReason::Rebound, .. }));
    assert_eq!(code(harness.close(&opened.session, "a").await), Code::NotFound);
    harness.sync(&SyncRequest { grants: vec![grant("a", 2)], ..sync(1) }).await.unwrap();
    let mut bob = harness.socket().await;
    say(&mut bob, &node_join("bob", 2)).await;
    assert!(matches!(hear(&mut bob).await, ServerMessage::Joined { .. }));
    let deleted = Revocation { uid: uid("a"), epoch: Epoch(2), reason: RevokeReason::Deleted };
    let report = harness.sync(&SyncRequest { revocations: vec![deleted], ..sync(1) }).await.unwrap();
    assert!(matches!(hear(&mut bob).await, ServerMessage::Ended { .. }));
    assert!(report.rooms.is_empty());
}

#[tokio::test]
async fn metrics_tell_rooms_people_and_packets() {
    let harness = Harness::with_room().await;
    let (_ann, _) = harness.join("ann").await;
    let noise = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    noise.send_to(&[200; 40], ("127.0.0.1", harness.ports[0])).unwrap();
    let text = tokio::time::timeout(DEADLINE, async {
        loop {
            let text = harness.probe("/metrics").await;
            if text.contains("plenum_media_received_datagrams_total{worker=\"0\"} 1") {
                return text;
            }
            tokio::task::yield_now().await;
        }
    });
    let text = text.await.unwrap();
    for line in ["plenum_media_rooms 1", "plenum_media_participants 1", "plenum_media_handshake_seconds_count 0"] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    assert!(text.contains("plenum_media_legs{kind=\"Relayed\"} 0"));
    assert!(text.contains("plenum_media_sessions{role=\"Publisher\",state=\"Connected\"} 0"));
    assert!(text.contains("plenum_media_drops_total{worker=\"0\",reason=\"NotWebrtc\"} 1"), "{text}");
}

#[tokio::test]
async fn a_node_that_is_asked_to_stop_lets_its_call_go_on_until_it_is_empty() {
    let harness = Harness::with_room().await;
    let (mut ann, key) = harness.join("ann").await;
    harness.shutdown.trigger();
    while !harness.probe("/readyz").await.starts_with("HTTP/1.1 503") {
        tokio::task::yield_now().await;
    }
    let report = loop {
        let request = SyncRequest { grants: vec![grant("b", 1)], config: Some(config(true)), ..sync(1) };
        let report = harness.sync(&request).await.unwrap();
        if report.rooms.len() == 1 {
            break report;
        }
        // The grant was faster than the wish to stop; take it back and look again.
        let back = Revocation { uid: uid("b"), epoch: Epoch(1), reason: RevokeReason::Deleted };
        harness.sync(&SyncRequest { revocations: vec![back], ..sync(1) }).await.unwrap();
    };
    assert_eq!(report.rooms[0].uid, uid("a"));
    harness.open(&publish(Some(key))).await.unwrap();
    assert!(!harness.running.is_finished());
    say(&mut ann, &ClientMessage::Leave).await;
    tokio::time::timeout(DEADLINE, harness.running).await.unwrap().unwrap().unwrap();
}

/// Connectivity checks and their answers (RFC 8489), as far as these tests speak them.
mod stun {
    use aws_lc_rs::hmac;
    use std::net::SocketAddr;

    const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = [kind.to_be_bytes(), (value.len() as u16).to_be_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    /// A message with MESSAGE-INTEGRITY by `password`.
    fn message(kind: u16, transaction: &[u8], attributes: &[u8], password: &str) -> Vec<u8> {
        let len = (attributes.len() + 24) as u16;
        let header = [&kind.to_be_bytes()[..], &len.to_be_bytes(), &COOKIE, transaction].concat();
        let text = [header.as_slice(), attributes].concat();
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
        let tag = hmac::sign(&key, &text);
        [text, attribute(0x0008, tag.as_ref())].concat()
    }

    /// A check that nominates.
    pub(super) fn check(username: &str, password: &str) -> Vec<u8> {
        let parts = [
            attribute(0x0006, username.as_bytes()),
            attribute(0x0024, &0x7e00_00ff_u32.to_be_bytes()),
            attribute(0x802a, &7u64.to_be_bytes()),
            attribute(0x0025, &[]),
        ];
        message(0x0001, b"transaction1", &parts.concat(), password)
    }

    /// The answer to the node's check, which came from `node`.
    pub(super) fn success(request: &[u8], node: SocketAddr, password: &str) -> Vec<u8> {
        let SocketAddr::V4(node) = node else { panic!("loopback is IPv4 here") };
        let port = node.port() ^ u16::from_be_bytes([COOKIE[0], COOKIE[1]]);
        let mut mapped = [&[0, 1][..], &port.to_be_bytes()].concat();
        mapped.extend(node.ip().octets().iter().zip(COOKIE).map(|(byte, cookie)| byte ^ cookie));
        message(0x0101, &request[8..20], &attribute(0x0020, &mapped), password)
    }
}
