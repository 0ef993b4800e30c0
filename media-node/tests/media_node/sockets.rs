//! Room sockets: what people hear.

use crate::harness::{DEADLINE, Harness, code, grant, hear, node_join, publish, say, sync, uid};
use futures_util::{SinkExt as _, StreamExt as _};
use plenum_protocol::control::{Revocation, RevokeReason, SyncRequest};
use plenum_protocol::ids::Epoch;
use plenum_protocol::problem::Code;
use plenum_protocol::room::{ClientMessage, RejoinReason, ServerMessage};
use plenum_runtime::client::Message;

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

    say(&mut bob, &ClientMessage::Join { token: String::new(), name: None, instance: None }).await;
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
    let deleted = Revocation { uid: uid("a"), epoch: Epoch(2), reason: RevokeReason::Deleted, detail: None };
    let report = harness.sync(&SyncRequest { revocations: vec![deleted], ..sync(1) }).await.unwrap();
    assert!(matches!(hear(&mut bob).await, ServerMessage::Ended { .. }));
    assert!(report.rooms.is_empty());
}
