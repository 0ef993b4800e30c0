//! Probes, metrics and the end.

use crate::harness::{DEADLINE, Harness, config, grant, publish, say, sync, uid};
use plenum_protocol::control::{Revocation, RevokeReason, SyncRequest};
use plenum_protocol::ids::Epoch;
use plenum_protocol::room::ClientMessage;

#[tokio::test]
async fn the_node_is_ready_when_it_is_configured() {
    let harness = Harness::start().await;
    assert!(harness.probe("/livez").await.starts_with("HTTP/1.1 200"));
    assert!(harness.probe("/readyz").await.starts_with("HTTP/1.1 503"));
    harness.sync(&SyncRequest { config: Some(config(true)), ..sync(1) }).await.unwrap();
    assert!(harness.probe("/readyz").await.starts_with("HTTP/1.1 200"));
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
        let back = Revocation { uid: uid("b"), epoch: Epoch(1), reason: RevokeReason::Deleted, detail: None };
        harness.sync(&SyncRequest { revocations: vec![back], ..sync(1) }).await.unwrap();
    };
    assert_eq!(report.rooms[0].uid, uid("a"));
    harness.open(&publish(Some(key))).await.unwrap();
    assert!(!harness.running.is_finished());
    say(&mut ann, &ClientMessage::Leave).await;
    tokio::time::timeout(DEADLINE, harness.running).await.unwrap().unwrap().unwrap();
}
