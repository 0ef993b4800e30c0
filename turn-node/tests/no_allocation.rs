//! A whole node relays without an allocation on its workers' threads.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]
#![allow(dead_code, unreachable_pub, reason = "the harness is made for more than this test")]

#[path = "turn_node/harness.rs"]
mod harness;

use harness::{DEADLINE, Harness, credentials, outside, peer};
use plenum_testing::Counting;
use std::sync::Arc;
use turn::client::{Client, ClientConfig};
use webrtc_util::conn::Conn;

#[global_allocator]
static ALLOCATOR: Counting = Counting::of_threads("relay-");

#[tokio::test(flavor = "multi_thread")]
async fn relaying_over_udp_allocates_nothing_per_packet() {
    let peer = peer();
    let harness = Harness::with_peers(2, &[&peer]).await;
    let conn = Arc::new(tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let server = harness.listener("udp").to_string();
    let (username, password) = credentials("T_1");
    let client = Client::new(ClientConfig {
        stun_serv_addr: server.clone(),
        turn_serv_addr: server,
        username,
        password,
        realm: String::new(),
        software: String::new(),
        rto_in_ms: 0,
        conn,
        vnet: None,
    });
    let client = client.await.unwrap();
    client.listen().await.unwrap();
    let relay = client.allocate().await.unwrap();
    let round = async |count: u32| {
        let mut buffer = [0; 2048];
        for _ in 0..count {
            relay.send_to(&[7; 1100], outside(&peer)).await.unwrap();
            let (len, from) = peer.recv_from(&mut buffer).unwrap();
            assert_eq!(len, 1100);
            peer.send_to(&[8; 200], from).unwrap();
            let heard = tokio::time::timeout(DEADLINE, relay.recv_from(&mut buffer)).await.unwrap().unwrap();
            assert_eq!(heard.0, 200);
        }
    };
    // The client's permission and channel are made here.
    round(100).await;
    assert!(ALLOCATOR.allocations() > 0, "workers are not counted");
    let before = ALLOCATOR.allocations();
    round(2_000).await;
    assert_eq!(ALLOCATOR.allocations() - before, 0);
}
