//! Legs by way of a relay.

use crate::harness::{DEADLINE, Harness, config, grant, publish, relay, sync};
use crate::stun;
use plenum_protocol::control::{Grant, NodeConfig, SyncRequest};
use plenum_protocol::flow::CandidateType;
use std::net::SocketAddr;
use tokio::net::UdpSocket;

/// Credentials in the offer.
const OFFER_UFRAG: &str = "VRQm";
const OFFER_PWD: &str = "22NoggjJ3WL0DJoblXCOsKPt";

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
