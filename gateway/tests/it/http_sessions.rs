//! WHIP, WHEP, flow and tokens against bindings that come, move and are missing.

use crate::world::{DEADLINE, World, text, token, unbound};
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::Request;
use plenum_gateway::Standing;
use plenum_protocol::flow::{Basis, FlowReport};
use plenum_protocol::ids::Epoch;
use plenum_protocol::problem::{Code, Problem};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::timeout;

const FRAGMENT: (&str, &str) = ("content-type", "application/trickle-ice-sdpfrag");

#[tokio::test]
async fn a_session_opens_on_the_rooms_node_and_any_replica_can_end_it() {
    let world = World::new().await;
    world.bind(1);
    let response = world.publish().await;
    assert_eq!(response.status(), 201);
    assert_eq!(response.headers()["location"], "/v1/rooms/team-a/demo/whip/S-1");
    assert_eq!(text(response).await, "answer to Ann by gateway-a");
    let trickle = world.ask("PATCH", "whip/S-1", &[FRAGMENT, ("if-match", "\"e1\"")], "a").await;
    assert_eq!(trickle.status(), 204);
    assert_eq!(world.ask("PATCH", "whip/S-1", &[FRAGMENT, ("if-match", "\"e0\"")], "a").await.status(), 412);
    assert_eq!(world.ask("PATCH", "whip/S-1", &[FRAGMENT, ("if-match", "*")], "a").await.status(), 200);
    assert_eq!(world.ask("DELETE", "whip/S-1", &[], "").await.status(), 200);
    assert_eq!(world.ask("DELETE", "whip/S-2", &[], "").await.status(), 404);
}

#[tokio::test]
async fn what_the_node_says_of_an_offer_reaches_the_client() {
    let world = World::new().await;
    world.bind(1);
    let response = world.ask("POST", "whip", &[("content-type", "application/sdp")], "nonsense").await;
    assert_eq!(response.status(), 400);
    let problem: Problem = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!((problem.code, problem.detail.as_str()), (Code::BadSdp, "line 1 is nonsense"));
}

#[tokio::test]
async fn a_client_that_comes_before_the_grant_waits_for_it() {
    let world = World::new().await;
    world.routes.apply(world.bound(1));
    let (node, refusals) = (world.node.clone(), world.node.refusals.clone());
    let granting = tokio::spawn(async move {
        let refused = async {
            while *refusals.lock().unwrap() == 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(DEADLINE, refused).await.unwrap();
        node.grant(&"uid-1".parse().unwrap(), Epoch(1));
    });
    assert_eq!(world.publish().await.status(), 201);
    granting.await.unwrap();
}

#[tokio::test]
async fn a_client_follows_a_room_that_moves_from_a_lost_node() {
    let world = World::new().await;
    let mut lost = world.bound(1);
    if let Standing::Bound(place) = &mut lost.standing {
        place.control = "127.0.0.1:1".parse().unwrap();
    }
    world.routes.apply(lost);
    let (request, ()) = tokio::join!(world.publish(), async {
        tokio::task::yield_now().await;
        world.bind(2);
    });
    assert_eq!(request.status(), 201);
}

#[tokio::test]
async fn an_unplaced_room_is_503_with_the_reason_of_its_conditions() {
    let world = World::new().await;
    world.routes.apply(unbound(false));
    let response = world.publish().await;
    assert_eq!((response.status().as_u16(), response.headers()["retry-after"].to_str().unwrap()), (503, "1"));
    assert!(text(response).await.contains("NoMatchingPool: no pool in eu"));
}

#[tokio::test]
async fn a_closed_room_says_so_and_a_missing_one_is_404() {
    let world = World::new().await;
    assert_eq!(world.publish().await.status(), 404);
    world.routes.apply(crate::world::route(1, crate::world::closed()));
    let response = world.publish().await;
    assert_eq!(response.status(), 503);
    assert!(text(response).await.contains("is closed"));
    assert_eq!(world.ask("DELETE", "whip/S-1", &[], "").await.status(), 404);
}

#[tokio::test]
async fn the_first_participant_wakes_the_room() {
    let mut world = World::new().await;
    world.routes.apply(unbound(true));
    let (routes, node, bound) = (world.routes.clone(), world.node.clone(), world.bound(1));
    let (_, empty) = tokio::sync::mpsc::channel(1);
    let mut binds = std::mem::replace(&mut world.binds, empty);
    let waking = async {
        let request = timeout(DEADLINE, binds.recv()).await.unwrap().unwrap();
        assert_eq!((request.uid.as_str(), request.region.as_deref()), ("uid-1", Some("eu")));
        node.grant(&request.uid, Epoch(1));
        routes.apply(bound);
    };
    let (response, ()) = tokio::join!(world.publish(), waking);
    assert_eq!(response.status(), 201);
}

#[tokio::test]
async fn the_flow_shows_the_nodes_legs_and_hides_addresses() {
    let world = World::new().await;
    world.routes.apply(unbound(false));
    let planned: FlowReport = serde_json::from_str(&text(world.ask("GET", "flow", &[], "").await).await).unwrap();
    assert_eq!((planned.basis, planned.media, planned.legs.len()), (Basis::Planned, None, 0));
    world.bind(3);
    let seen: FlowReport = serde_json::from_str(&text(world.ask("GET", "flow", &[], "").await).await).unwrap();
    assert_eq!((seen.basis, seen.counts.direct, seen.media.unwrap().pod.as_str()), (Basis::Observed, 1, "eu-0"));
    assert_eq!((seen.gateway.as_str(), seen.legs[0].gateway.as_str()), ("gateway-a", "gateway-b"));
    assert_eq!(seen.legs[0].client.address, None);
}

#[tokio::test]
async fn a_token_of_another_room_opens_nothing() {
    let world = World::new().await;
    world.bind(1);
    let request = Request::post("/v1/rooms/team-a/demo/whip").header("content-type", "application/sdp");
    let request = request.header("authorization", format!("Bearer {}", token("other"))).body(Body::from("v=0"));
    assert_eq!(world.raw(request.unwrap()).await.status(), 403);
}

#[tokio::test]
async fn one_source_mints_only_so_many_tokens() {
    let world = World::new().await;
    let source = ConnectInfo("192.0.2.9:999".parse::<SocketAddr>().unwrap());
    let wish = r#"{"namespace":"team-a","identity":"bo","video":{"room":"demo","roomJoin":true}}"#;
    let mut seen = Vec::new();
    for _ in 0..6 {
        let request = Request::post("/v1/tokens").header("content-type", "application/json");
        // key:secret
        let request =
            request.header("authorization", "Basic a2V5OnNlY3JldA==").extension(source).body(Body::from(wish));
        seen.push(world.raw(request.unwrap()).await.status().as_u16());
    }
    assert_eq!((seen[0], seen.last()), (200, Some(&429)), "{seen:?}");
}

#[tokio::test]
async fn one_source_makes_only_so_many_requests_and_the_refusal_can_be_read_by_scripts() {
    let world = World::new().await;
    let source = ConnectInfo("192.0.2.8:999".parse::<SocketAddr>().unwrap());
    for _ in 0..2_000 {
        let response = world.raw(Request::get("/").extension(source).body(Body::empty()).unwrap()).await;
        if response.status() == 429 {
            assert_eq!(response.headers()["access-control-allow-origin"], "*");
            return;
        }
    }
    panic!("no request was refused");
}

#[tokio::test]
async fn a_node_of_another_namespace_is_not_believed() {
    let world = World::new().await;
    world.bind(1);
    let mut foreign = world.bound(1);
    if let Standing::Bound(place) = &mut foreign.standing {
        place.namespace = "elsewhere".into();
    }
    world.routes.apply(foreign);
    let response = timeout(Duration::from_secs(10), world.publish()).await.unwrap();
    assert_eq!(response.status(), 503);
}
