//! The room socket through the gateway: what clients are told when rooms move, end, or the gateway goes.

use crate::world::{DEADLINE, World, closed, next, route, token, unbound};
use futures_util::SinkExt as _;
use plenum_protocol::ids::Epoch;
use plenum_protocol::problem::Code;
use plenum_protocol::room::{ClientMessage, RejoinReason, ServerMessage};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

async fn rejoins(client: &mut crate::world::Client) -> RejoinReason {
    match next(client).await {
        Some(ServerMessage::Rejoin { reason, .. }) => {
            assert_eq!(next(client).await, None);
            reason
        }
        other => panic!("expected rejoin, got {other:?}"),
    }
}

#[tokio::test]
async fn messages_pass_between_client_and_node() {
    let mut world = World::new().await;
    world.bind(4);
    let (mut client, mut end) = world.joined().await;
    assert_eq!((end.join.epoch, end.join.identity.as_str(), end.join.gateway.as_str()), (Epoch(4), "ann", "gateway-a"));
    let left = ServerMessage::ParticipantLeft { participant: "PA_2".parse().unwrap() };
    end.say.send(left.clone()).await.unwrap();
    assert_eq!(next(&mut client).await, Some(left));
    client.send(Message::text(r#"{"type":"view","legs":[]}"#)).await.unwrap();
    client.send(Message::text(r#"{"type":"leave"}"#)).await.unwrap();
    assert_eq!(timeout(DEADLINE, end.heard.recv()).await.unwrap(), Some(ClientMessage::View { legs: Vec::new() }));
    assert_eq!(timeout(DEADLINE, end.heard.recv()).await.unwrap(), Some(ClientMessage::Leave));
}

#[tokio::test]
async fn a_new_epoch_sends_the_client_to_the_new_binding_at_once() {
    let mut world = World::new().await;
    world.bind(1);
    let (mut client, mut end) = world.joined().await;
    world.bind(2);
    assert_eq!(rejoins(&mut client).await, RejoinReason::Rebound);
    assert_eq!(timeout(DEADLINE, end.heard.recv()).await.unwrap(), Some(ClientMessage::Leave));
    let (_client, again) = world.joined().await;
    assert_eq!(again.join.epoch, Epoch(2));
}

#[tokio::test]
async fn a_room_that_loses_its_pod_or_its_node_connection_is_rejoined() {
    let mut world = World::new().await;
    world.bind(1);
    let (mut client, end) = world.joined().await;
    drop(end);
    assert_eq!(rejoins(&mut client).await, RejoinReason::MediaNodeLost);
    let (mut client, _end) = world.joined().await;
    world.routes.apply(unbound(false));
    assert_eq!(rejoins(&mut client).await, RejoinReason::MediaNodeLost);
}

#[tokio::test]
async fn a_closed_or_deleted_room_ends_its_sockets() {
    let mut world = World::new().await;
    world.bind(1);
    let (mut client, _end) = world.joined().await;
    world.routes.apply(route(1, closed()));
    assert!(matches!(next(&mut client).await, Some(ServerMessage::Ended { .. })));
    let mut late = world.join(&token("demo")).await;
    assert!(matches!(next(&mut late).await, Some(ServerMessage::Ended { .. })));
    world.bind(2);
    let (mut client, _end) = world.joined().await;
    world.routes.remove(&world.bound(2));
    assert!(matches!(next(&mut client).await, Some(ServerMessage::Ended { .. })));
}

#[tokio::test]
async fn a_join_waits_for_the_grant() {
    let mut world = World::new().await;
    world.routes.apply(world.bound(1));
    let mut client = world.join(&token("demo")).await;
    let refused = async {
        while *world.node.refusals.lock().unwrap() == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, refused).await.unwrap();
    world.bind(1);
    assert!(timeout(DEADLINE, world.ends.recv()).await.unwrap().is_some());
    assert!(matches!(next(&mut client).await, Some(ServerMessage::Joined { .. })));
}

#[tokio::test]
async fn the_shutdown_of_a_gateway_moves_its_clients() {
    let mut world = World::new().await;
    world.bind(1);
    let (mut client, mut end) = world.joined().await;
    world.closing.trigger();
    assert_eq!(rejoins(&mut client).await, RejoinReason::GatewayShutdown);
    assert_eq!(timeout(DEADLINE, end.heard.recv()).await.unwrap(), Some(ClientMessage::Leave));
}

#[tokio::test]
async fn a_bad_token_and_too_many_sockets_are_refused() {
    let mut world = World::new().await;
    world.bind(1);
    let mut stranger = world.join("x.y.z").await;
    assert!(matches!(next(&mut stranger).await, Some(ServerMessage::Error { code: Code::Unauthorized, .. })));
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(world.joined().await);
    }
    let mut late = world.join(&token("demo")).await;
    assert!(matches!(next(&mut late).await, Some(ServerMessage::Error { code: Code::Full, .. })));
}
