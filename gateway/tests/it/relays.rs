//! ICE servers near the client, the flow of relayed legs, and what clients hear when a relay is gone.

use crate::fake_relay::{RELAY_PORT, SECRET, directory};
use crate::world::{World, next, text, token};
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{Request, Response};
use plenum_api::room::{RelayPolicy, RelayPoolRef};
use plenum_gateway::RelayRules;
use plenum_protocol::flow::{Basis, FlowName, FlowReport, LegRelay};
use plenum_protocol::ice::{IceServers, IceTransportPolicy};
use plenum_protocol::relay::RelayDirectory;
use plenum_protocol::room::ServerMessage;
use plenum_protocol::turn::{RelayTransport, Scope, Username, password};
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

const SDP: (&str, &str) = ("content-type", "application/sdp");
const FRAGMENT: (&str, &str) = ("content-type", "application/trickle-ice-sdpfrag");

fn rules(policy: RelayPolicy, pools: &[&str]) -> RelayRules {
    let pool = |name: &&str| RelayPoolRef { namespace: "turn".into(), name: (*name).into(), region: "eu".into() };
    RelayRules { policy, pools: pools.iter().map(pool).collect() }
}

/// A gateway in region `eu` with two relays there, one in `us`, and a room that may use both pools.
async fn world(policy: RelayPolicy) -> World {
    let world = World::new().await;
    world.bind_with(1, rules(policy, &["eu-turn", "us-turn"]));
    world.relays.replace(all(&world));
    world
}

fn all(world: &World) -> RelayDirectory {
    let relays = [("eu-turn", "eu-0", "b1", "eu"), ("eu-turn", "eu-1", "b1", "eu"), ("us-turn", "us-0", "b1", "us")];
    directory(world.relay_addr, &relays)
}

fn ask_for(token: &str, wish: serde_json::Value) -> Request<Body> {
    let mut body = serde_json::json!({"namespace": "team-a", "room": "demo"});
    body.as_object_mut().unwrap().extend(wish.as_object().unwrap().clone());
    let request = Request::post("/v1/ice-servers").header("content-type", "application/json");
    request.header("authorization", format!("Bearer {token}")).body(Body::from(body.to_string())).unwrap()
}

async fn servers(world: &World, wish: serde_json::Value) -> IceServers {
    let response = world.raw(ask_for(&token("demo"), wish)).await;
    assert_eq!(response.status(), 200);
    serde_json::from_str(&text(response).await).unwrap()
}

/// The pod that TURN credentials are for.
async fn pod(world: &World, wish: serde_json::Value) -> String {
    servers(world, wish).await.ice_servers.into_iter().find_map(|server| server.relay).unwrap().pod
}

fn links(response: &Response<Body>) -> Vec<String> {
    response.headers().get_all("link").iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test]
async fn credentials_open_the_chosen_relay_for_media_until_they_expire() {
    let world = world(RelayPolicy::Fallback).await;
    let (before, answer, again) =
        (now(), servers(&world, serde_json::json!({})).await, servers(&world, serde_json::json!({})).await);
    assert!((before + 600..=now() + 600).contains(&answer.expires_at));
    assert_eq!(answer.ice_transport_policy, IceTransportPolicy::All);
    assert_eq!(answer.ice_servers[0].urls, ["stun:192.0.2.7:3478"]);
    let turn = &answer.ice_servers[1];
    let urls =
        ["turn:192.0.2.7:3478?transport=udp", "turn:192.0.2.7:3478?transport=tcp", "turns:turn.test:443?transport=tcp"];
    assert_eq!(turn.urls, urls);
    let username = turn.username.as_deref().unwrap();
    let parsed = Username::parse(username).unwrap();
    assert_eq!((parsed.expires, parsed.scope), (answer.expires_at, Some(Scope::Media)));
    assert!(parsed.session.starts_with("T_") && parsed.session.len() == 34, "{username}");
    assert_eq!(turn.credential.as_deref(), Some(password(SECRET.as_bytes(), username).as_str()));
    assert_ne!(turn.username, again.ice_servers[1].username);
}

#[tokio::test]
async fn a_client_gets_a_relay_near_it_and_not_one_that_failed_it() {
    let world = world(RelayPolicy::Fallback).await;
    for _ in 0..8 {
        assert!(pod(&world, serde_json::json!({})).await.starts_with("eu-"));
        assert_eq!(pod(&world, serde_json::json!({"region": "us"})).await, "us-0");
        assert_eq!(pod(&world, serde_json::json!({"avoid": ["eu-0"]})).await, "eu-1");
        assert_eq!(pod(&world, serde_json::json!({"avoid": ["eu-0", "eu-1"]})).await, "us-0");
    }
    world.bind_with(1, rules(RelayPolicy::Fallback, &["us-turn"]));
    assert_eq!(pod(&world, serde_json::json!({"region": "eu"})).await, "us-0");
}

#[tokio::test]
async fn the_policy_of_the_room_decides_what_is_named() {
    let world = world(RelayPolicy::Always).await;
    assert_eq!(servers(&world, serde_json::json!({})).await.ice_transport_policy, IceTransportPolicy::Relay);
    world.bind_with(1, rules(RelayPolicy::Never, &["eu-turn"]));
    let never = servers(&world, serde_json::json!({})).await;
    assert_eq!((never.ice_servers.len(), never.ice_servers[0].urls[0].as_str()), (1, "stun:192.0.2.7:3478"));
    world.bind_with(1, rules(RelayPolicy::Fallback, &[]));
    assert!(servers(&world, serde_json::json!({})).await.ice_servers.is_empty());
    world.bind_with(1, rules(RelayPolicy::Fallback, &["eu-turn"]));
    world.relays.replace(RelayDirectory::default());
    assert!(servers(&world, serde_json::json!({})).await.ice_servers.is_empty());
}

#[tokio::test]
async fn only_a_token_of_the_room_opens_relays_and_one_source_asks_only_so_often() {
    let world = world(RelayPolicy::Fallback).await;
    assert_eq!(world.raw(ask_for(&token("other"), serde_json::json!({}))).await.status(), 403);
    assert_eq!(world.raw(ask_for("x.y.z", serde_json::json!({}))).await.status(), 401);
    let source = ConnectInfo("192.0.2.9:999".parse::<SocketAddr>().unwrap());
    let mut seen = Vec::new();
    for _ in 0..6 {
        let mut request = ask_for(&token("demo"), serde_json::json!({}));
        request.extensions_mut().insert(source);
        seen.push(world.raw(request).await.status().as_u16());
    }
    assert_eq!((seen[0], seen.last()), (200, Some(&429)), "{seen:?}");
}

#[tokio::test]
async fn sessions_and_restarts_carry_links_for_that_session() {
    let world = world(RelayPolicy::Fallback).await;
    let created = world.ask("POST", "whip", &[SDP], "v=0").await;
    let restarted = world.ask("PATCH", "whip/S-1", &[FRAGMENT, ("if-match", "*")], "a").await;
    for (response, status) in [(created, 201), (restarted, 200)] {
        let links = links(&response);
        assert_eq!((response.status().as_u16(), links.len()), (status, 4), "{links:?}");
        assert_eq!(links[0], "<stun:192.0.2.7:3478>; rel=\"ice-server\"");
        assert!(links[1].starts_with("<turn:192.0.2.7:3478?transport=udp>; rel=\"ice-server\"; username=\""));
        assert!(links[1].contains(":S-1:media\"; credential=\""), "{}", links[1]);
    }
    let options = world.ask("OPTIONS", "whep", &[], "").await;
    assert!(links(&options)[1].contains(":T_"));
}

#[tokio::test]
async fn the_flow_shows_how_a_relayed_client_reaches_its_relay() {
    let world = world(RelayPolicy::Fallback).await;
    let by = |pod: &str| LegRelay {
        namespace: "turn".into(),
        pool: "eu-turn".into(),
        pod: pod.into(),
        region: "eu".into(),
        transport: None,
        sent_bytes: 0,
        received_bytes: 0,
    };
    world.node.relayed(Some(by("eu-0")), RELAY_PORT);
    let report: FlowReport = serde_json::from_str(&text(world.ask("GET", "flow", &[], "").await).await).unwrap();
    assert_eq!((report.flow, report.basis, report.counts.relayed), (FlowName::MediaServerRelayed, Basis::Observed, 1));
    let relay = report.legs[0].relay.clone().unwrap();
    assert_eq!((relay.transport, relay.sent_bytes, relay.received_bytes), (Some(RelayTransport::Tls), 1_000, 2_000));
    assert_eq!((relay.pod.as_str(), report.legs[0].client.port), ("eu-0", None));
    assert_eq!(world.relay.asked.lock().unwrap()[0].ports, [RELAY_PORT]);
    // A relay that is not in the directory, and a port that is not allocated any more.
    for (pod, port) in [("gone-0", RELAY_PORT), ("eu-0", 9)] {
        world.node.relayed(Some(by(pod)), port);
        let report: FlowReport = serde_json::from_str(&text(world.ask("GET", "flow", &[], "").await).await).unwrap();
        assert_eq!((report.legs[0].relay.clone().unwrap(), report.counts.relayed), (by(pod), 1));
    }
}

#[tokio::test]
async fn an_empty_room_that_always_relays_is_planned_to_be_relayed() {
    let world = World::new().await;
    let mut room = crate::world::unbound(false);
    room.relays = rules(RelayPolicy::Always, &[]);
    world.routes.apply(room);
    let report: FlowReport = serde_json::from_str(&text(world.ask("GET", "flow", &[], "").await).await).unwrap();
    assert_eq!((report.flow, report.basis), (FlowName::MediaServerRelayed, Basis::Planned));
}

#[tokio::test]
async fn a_lost_relay_is_told_to_the_rooms_that_may_use_it_and_the_socket_lives() {
    let mut world = world(RelayPolicy::Fallback).await;
    world.bind_with(1, rules(RelayPolicy::Fallback, &["eu-turn"]));
    let (mut client, end) = world.joined().await;
    // A relay of a pool that the room does not use, one that starts again, one that goes.
    world
        .relays
        .replace(directory(world.relay_addr, &[("eu-turn", "eu-0", "b2", "eu"), ("eu-turn", "eu-1", "b1", "eu")]));
    assert_eq!(next(&mut client).await, Some(ServerMessage::RelayLost { pod: "eu-0".into() }));
    world.relays.replace(directory(world.relay_addr, &[("eu-turn", "eu-0", "b2", "eu")]));
    assert_eq!(next(&mut client).await, Some(ServerMessage::RelayLost { pod: "eu-1".into() }));
    world.relays.replace(RelayDirectory::default());
    let left = ServerMessage::ParticipantLeft { participant: "PA_2".parse().unwrap() };
    end.say.send(left.clone()).await.unwrap();
    assert_eq!(next(&mut client).await, Some(left));
}
