//! Bad input gets a clear error or a counted drop, and calls go on.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use plenum_api::room::{Assignment, EndpointPurpose};
use plenum_e2e::call::{Call, MEDIA};
use plenum_e2e::door::Door;
use plenum_e2e::grants;
use plenum_e2e::http::expect_problem;
use plenum_e2e::metrics::Metrics;
use plenum_e2e::room_socket::RoomSocket;
use plenum_e2e::scene::Scene;
use plenum_e2e::suite::room_spec;
use plenum_e2e::wait::{Look, until};
use plenum_protocol::control::MAX_SDP;
use plenum_protocol::problem::Code;
use plenum_protocol::room::{ClientMessage, ServerMessage};
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::UdpSocket;

const READY: Duration = Duration::from_secs(10);
const SDP: &str = "application/sdp";

struct Offer<'a> {
    door: &'a Door,
    path: String,
}

impl Offer<'_> {
    fn post(&self, token: &str) -> RequestBuilder {
        self.door.request(Method::POST, &self.path).bearer_auth(token).header("content-type", SDP)
    }
}

async fn refused(what: &str, request: RequestBuilder, code: Code) -> Result<()> {
    let answer = request.send().await.with_context(|| format!("{what}: sending"))?;
    expect_problem(answer, code).await.map(drop).with_context(|| what.to_owned())
}

pub(crate) async fn bad_tokens_open_nothing(scene: &Scene<'_>) -> Result<()> {
    scene.suite.kube.apply_room(&scene.namespace, "safe", room_spec("eu-west")).await?;
    let key = scene.key().await?;
    let door = scene.suite.door(0)?;
    let whip = Offer { door: &door, path: format!("/v1/rooms/{}/safe/whip", scene.namespace) };
    let good = key.claims("safe", "ann")?;

    refused(
        "no token",
        door.request(Method::POST, &whip.path).header("content-type", SDP).body("v=0"),
        Code::Unauthorized,
    )
    .await?;
    refused("no JWT", whip.post("nonsense").body("v=0"), Code::Unauthorized).await?;
    refused("a token of 10,000 bytes", whip.post(&"x".repeat(10_000)).body("v=0"), Code::Unauthorized).await?;
    let forged = plenum_protocol::token::sign(&good, b"another secret").context("signing")?;
    refused("another secret", whip.post(&forged).body("v=0"), Code::Unauthorized).await?;
    let mut expired = good.clone();
    expired.exp = expired.nbf.saturating_sub(600);
    refused("an expired token", whip.post(&key.sign(&expired)?).body("v=0"), Code::Unauthorized).await?;
    let mut unknown = good.clone();
    "no-such-key".clone_into(&mut unknown.iss);
    refused("an unknown key", whip.post(&key.sign(&unknown)?).body("v=0"), Code::Unauthorized).await?;
    let mut elsewhere = good.clone();
    "other".clone_into(&mut elsewhere.video.room);
    refused("a token of another room", whip.post(&key.sign(&elsewhere)?).body("v=0"), Code::Forbidden).await?;
    let mut silent = good.clone();
    silent.video.can_publish = Some(false);
    refused("a token that may not publish", whip.post(&key.sign(&silent)?).body("v=0"), Code::Forbidden).await?;
    let mut stranger = good;
    stranger.video.room_join = false;
    refused("a token that may not join", whip.post(&key.sign(&stranger)?).body("v=0"), Code::Forbidden).await?;
    // A key opens rooms of its own namespace only.
    let foreign = Offer { door: &door, path: "/v1/rooms/default/safe/whip".to_owned() };
    refused("a key of another namespace", foreign.post(&key.token("safe", "ann")?).body("v=0"), Code::Unauthorized)
        .await
}

pub(crate) async fn bad_requests_get_problem_documents(scene: &Scene<'_>) -> Result<()> {
    scene.suite.shared_pools().await?;
    scene.suite.kube.apply_room(&scene.namespace, "safe", room_spec("eu-west")).await?;
    scene.suite.kube.ready_room(&scene.namespace, "safe", READY).await?;
    let key = scene.key().await?;
    let door = scene.suite.door(0)?;
    let token = key.token("safe", "ann")?;
    let whip = Offer { door: &door, path: format!("/v1/rooms/{}/safe/whip", scene.namespace) };
    let whep = Offer { door: &door, path: format!("/v1/rooms/{}/safe/whep", scene.namespace) };
    let plain = door.request(Method::POST, &whip.path).bearer_auth(&token).header("content-type", "text/plain");

    refused("another media type", plain.body("v=0"), Code::UnsupportedMediaType).await?;
    refused("no SDP at all", whip.post(&token).body(""), Code::BadSdp).await?;
    refused("text that is no SDP", whip.post(&token).body("hello\r\n"), Code::BadSdp).await?;
    refused("bytes that are no text", whip.post(&token).body(vec![0xff_u8; 64]), Code::BadRequest).await?;
    refused(
        "an SDP without media",
        whip.post(&token).body("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"),
        Code::BadSdp,
    )
    .await?;
    refused("an SDP that is too large", whip.post(&token).body("a".repeat(MAX_SDP + 1)), Code::TooLarge).await?;
    let unknown = Offer { door: &door, path: format!("{}?publication=PU_none", whep.path) };
    refused("an unknown publication", unknown.post(&token).body(viewer_offer()), Code::NotFound).await?;
    let invalid = Offer { door: &door, path: format!("{}?publication=..%2F", whep.path) };
    refused("a publication that is no id", invalid.post(&token).body(viewer_offer()), Code::BadRequest).await?;
    let missing = Offer { door: &door, path: format!("/v1/rooms/{}/missing/whip", scene.namespace) };
    refused("no such room", missing.post(&key.token("missing", "ann")?).body(viewer_offer()), Code::NotFound).await?;
    refused("no such path", door.request(Method::GET, "/v1/none"), Code::NotFound).await?;

    let session = |method| door.request(method, &format!("{}/nobody", whip.path)).bearer_auth(&token);
    refused("no such session", session(Method::DELETE), Code::NotFound).await?;
    let patch =
        session(Method::PATCH).header("content-type", "application/trickle-ice-sdpfrag").header("if-match", "\"x\"");
    refused("a PATCH of no session", patch.body("a=end-of-candidates\r\n"), Code::NotFound).await?;

    let mint = || door.request(Method::POST, "/v1/tokens").header("content-type", "application/json");
    let basic = || mint().basic_auth(key.id(), Some(key.secret()));
    refused("no API key", mint().body("{}"), Code::Unauthorized).await?;
    refused("malformed JSON", basic().body("{\"namespace\":"), Code::BadRequest).await?;
    let wish = json!({"namespace": scene.namespace, "identity": "ann", "video": {"room": "safe", "roomJoin": true}});
    refused("a wrong secret", mint().basic_auth(key.id(), Some("wrong")).json(&wish), Code::Unauthorized).await?;
    let mut endless = wish;
    endless["ttlSeconds"] = json!(100_000);
    refused("a token for too long", basic().json(&endless), Code::BadRequest).await
}

pub(crate) async fn a_bad_message_on_the_room_socket_gets_an_error(scene: &Scene<'_>) -> Result<()> {
    scene.suite.shared_pools().await?;
    scene.suite.kube.apply_room(&scene.namespace, "safe", room_spec("eu-west")).await?;
    scene.suite.kube.ready_room(&scene.namespace, "safe", READY).await?;
    let door = scene.suite.door(0)?;
    for (what, text, code) in [
        ("no JSON", "{".to_owned(), Code::BadRequest),
        ("no message", "{\"type\":\"dance\"}".to_owned(), Code::BadRequest),
        ("view before join", serde_json::to_string(&ClientMessage::View { legs: Vec::new() })?, Code::BadRequest),
        (
            "a bad token",
            serde_json::to_string(&ClientMessage::Join { token: "x".to_owned(), name: None, instance: None })?,
            Code::Unauthorized,
        ),
    ] {
        let mut socket = RoomSocket::connect(&door, &scene.namespace, "safe").await?;
        socket.send_text(text).await?;
        let answer = socket.next().await.with_context(|| what.to_owned())?;
        ensure!(
            matches!(&answer, ServerMessage::Error { code: got, .. } if *got == code),
            "{what}: wanted {code:?}, got {answer:?}"
        );
    }
    // A bad message after join does no harm to the connection.
    let token = scene.token("safe", "ann").await?;
    let mut ann = RoomSocket::joined(&door, &scene.namespace, "safe", &token).await?;
    ann.send_text("{\"type\":\"dance\"}".to_owned()).await?;
    ann.expect("an error", READY, |message| matches!(message, ServerMessage::Error { code: Code::BadRequest, .. }))
        .await?;
    let token = scene.token("safe", "bob").await?;
    let _bob = RoomSocket::joined(&door, &scene.namespace, "safe", &token).await?;
    ann.expect("bob", READY, |message| matches!(message, ServerMessage::ParticipantJoined { .. })).await.map(drop)
}

/// Datagrams of each kind.
const GARBAGE: u32 = 200;

pub(crate) async fn garbage_at_the_media_port_is_counted_and_harms_nobody(scene: &Scene<'_>) -> Result<()> {
    scene.suite.shared_pools().await?;
    let mut call = Call::prepare(scene, "noisy", room_spec("eu-west")).await?;
    call.enter_all(&[("eu-west", 0), ("eu-west", 1)]).await?;
    call.flows(10, MEDIA).await?;
    let room = call.state().await?;
    let assignment = room.media_assignment().context("the Room is bound")?;
    let endpoint =
        assignment.endpoints.iter().find(|e| e.purpose == EndpointPurpose::Media).context("no media endpoint")?;
    let target =
        SocketAddr::new(endpoint.address.parse().context("parsing the endpoint")?, u16::try_from(endpoint.port)?);
    let before = drops(scene, assignment).await?;
    let socket = UdpSocket::bind("0.0.0.0:0").await.context("binding a socket")?;
    for number in 0..GARBAGE {
        for (_, datagram) in garbage(number) {
            socket.send_to(&datagram, target).await.context("sending garbage")?;
        }
    }
    call.flows(40, MEDIA).await.context("under garbage")?;
    until("the garbage is counted", Duration::from_secs(10), async || {
        let now = drops(scene, assignment).await?;
        let grown = |reason: &str| {
            now.sum("plenum_media_drops_total", &[reason]) - before.sum("plenum_media_drops_total", &[reason])
        };
        let kinds = garbage(0);
        let wanted = |reason: &str| {
            f64::from(GARBAGE)
                * f64::from(u32::try_from(kinds.iter().filter(|(r, _)| *r == reason).count()).unwrap_or(0))
        };
        // A busy machine may lose some before they are read.
        let missing: Vec<_> =
            kinds.iter().map(|(reason, _)| *reason).filter(|reason| grown(reason) < wanted(reason) * 0.8).collect();
        Ok(Look::when(missing.is_empty(), (), || {
            format!("too few {missing:?}: {:?}", now.series("plenum_media_drops_total"))
        }))
    })
    .await?;
    for page in &call.pages {
        let timings = page.timings().await?;
        ensure!(timings.rejoins.is_empty(), "{} had to rejoin: {:?}", page.name(), timings.rejoins);
    }
    call.end().await
}

async fn drops(scene: &Scene<'_>, assignment: &Assignment) -> Result<Metrics> {
    let kube = &scene.suite.kube;
    let pod: Pod = kube.api(&assignment.namespace).get(&assignment.pod).await.context("reading the media pod")?;
    grants::metrics(kube, &pod).await
}

/// One datagram of each kind, with the label under which it must be counted.
fn garbage(number: u32) -> Vec<(&'static str, Vec<u8>)> {
    let noise: Vec<u8> = number.to_be_bytes().repeat(20);
    let with = |head: &[u8]| [head, &noise].concat();
    vec![
        ("reason=\"NotWebrtc\"", with(&[200, 1, 2, 3])),
        ("reason=\"StunMalformed\"", with(&[0, 1, 0, 200, 0x21, 0x12, 0xa4, 0x42])),
        ("reason=\"StunUnknownUser\"", binding_of_nobody(number)),
        ("reason=\"UnknownSource\"", with(&[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 80])),
        ("reason=\"UnknownSource\"", with(&[0x80, 96, 0, 1])),
        ("reason=\"UnknownSource\"", with(&[0x80, 200, 0, 6])),
    ]
}

/// A well-formed STUN binding request (RFC 8489) for a session that does not exist.
fn binding_of_nobody(number: u32) -> Vec<u8> {
    let user = b"none:none---";
    let mut message = vec![0, 1, 0, 16, 0x21, 0x12, 0xa4, 0x42];
    message.extend(number.to_be_bytes().repeat(3));
    message.extend([0, 6, 0, 12]);
    message.extend(user);
    message
}

/// A well-formed WHEP offer of nobody in particular.
fn viewer_offer() -> String {
    let fingerprint = ["AB"; 32].join(":");
    let head = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n";
    let media = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=recvonly\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\n";
    format!(
        "{head}{media}a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=fingerprint:sha-256 {fingerprint}\r\na=setup:actpass\r\n"
    )
}
