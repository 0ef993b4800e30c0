//! Over UDP, by the client of the `turn` crate.

use crate::harness::{DEADLINE, Harness, TOLD, config, credentials, outside, peer, sync};
use plenum_protocol::relay::{RelaySecret, RelaySyncRequest};
use plenum_protocol::turn::{RelayTransport, Scope};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use turn::client::{Client, ClientConfig};
use webrtc_util::conn::Conn;

/// A client that speaks to the node by a socket of its own.
async fn client(server: SocketAddr, session: &str) -> Client {
    let conn = Arc::new(tokio::net::UdpSocket::bind(SocketAddr::new(server.ip(), 0)).await.unwrap());
    let (username, password) = credentials(session);
    let client = Client::new(ClientConfig {
        stun_serv_addr: server.to_string(),
        turn_serv_addr: server.to_string(),
        username,
        password,
        realm: String::new(),
        software: String::new(),
        rto_in_ms: 0,
        conn,
        vnet: None,
    })
    .await
    .unwrap();
    client.listen().await.unwrap();
    client
}

async fn hear(relay: &impl Conn) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 2048];
    let (len, from) = tokio::time::timeout(DEADLINE, relay.recv_from(&mut buffer)).await.unwrap().unwrap();
    (buffer[..len].to_vec(), from)
}

fn hear_peer(peer: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 2048];
    let (len, from) = peer.recv_from(&mut buffer).unwrap();
    (buffer[..len].to_vec(), from)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_relays_to_a_media_endpoint_and_hears_from_it() {
    let peer = peer();
    let harness = Harness::with_peers(2, &[&peer]).await;
    let client = client(harness.listener("udp"), "T_1").await;
    let mapped = client.send_binding_request().await.unwrap();
    assert_eq!(mapped.ip(), IpAddr::from([127, 0, 0, 1]));
    let relay = client.allocate().await.unwrap();
    let told = relay.local_addr().unwrap();
    assert_eq!(told.ip(), IpAddr::V4(TOLD));
    assert!((20_000..30_000).contains(&told.port()));

    // The first goes by an indication, later ones by a channel.
    for round in 0..50u8 {
        relay.send_to(&[round; 1000], outside(&peer)).await.unwrap();
        let (data, from) = hear_peer(&peer);
        assert_eq!((data, from), (vec![round; 1000], SocketAddr::from(([127, 0, 0, 1], told.port()))));
        peer.send_to(&[round, 1], from).unwrap();
        assert_eq!(hear(&relay).await, (vec![round, 1], outside(&peer)));
    }

    let report = harness.until(|report| report.load.allocations == 1).await;
    let allocation = &report.allocations[0];
    assert_eq!((allocation.port, allocation.transport), (told.port(), RelayTransport::Udp));
    assert_eq!((allocation.session.as_str(), allocation.scope), ("T_1", Some(Scope::Media)));
    let answer = harness.query(vec![1, told.port(), 20_001]).await.unwrap();
    let found: Vec<_> = answer.allocations.iter().map(|a| (a.port, a.sent_bytes, a.received_bytes)).collect();
    assert_eq!(found, [(told.port(), 50_000, 100)]);
    let text = harness.scrape(&["plenum_turn_allocations{transport=\"UDP\"} 1"]).await;
    assert!(!text.contains("127.0.0.") && !text.contains("T_1"), "the metrics tell who it is\n{text}");

    relay.close().await.unwrap();
    let ended = harness.until(|report| report.load.allocations == 0).await;
    assert!(ended.state_version > report.state_version);
    client.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_are_spread_over_the_workers_and_all_are_served() {
    let peer = peer();
    let harness = Harness::with_peers(4, &[&peer]).await;
    let mut relays = Vec::new();
    for number in 0..24u8 {
        let client = client(harness.listener("udp"), &format!("T_{number}")).await;
        let relay = client.allocate().await.unwrap();
        relay.send_to(&[number], outside(&peer)).await.unwrap();
        let (data, from) = hear_peer(&peer);
        assert_eq!(data, [number]);
        relays.push((client, relay, from));
    }
    for (number, (_, relay, from)) in relays.iter().enumerate() {
        let number = u8::try_from(number).unwrap();
        peer.send_to(&[number, number], from).unwrap();
        assert_eq!(hear(relay).await.0, [number, number]);
    }
    let report = harness.until(|report| report.load.allocations == 24).await;
    let slices = report.allocations.iter().map(|allocation| (allocation.port - 20_000) / 2_500);
    assert!(slices.collect::<std::collections::BTreeSet<_>>().len() > 1, "one worker has them all");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_a_named_endpoint_is_refused_and_hears_nothing() {
    let (named, other) = (peer(), peer());
    let harness = Harness::with_peers(1, &[&named]).await;
    let client = client(harness.listener("udp"), "T_1").await;
    let relay = client.allocate().await.unwrap();
    assert!(relay.send_to(b"in", harness.metrics).await.is_err(), "a relay spoke to the metrics of its node");
    // The address is permitted, this port of it is not.
    relay.send_to(b"in", outside(&other)).await.unwrap();
    relay.send_to(b"right", outside(&named)).await.unwrap();
    let (data, from) = hear_peer(&named);
    assert_eq!(data, b"right");
    other.send_to(b"out", from).unwrap();
    named.send_to(b"right", from).unwrap();
    assert_eq!(hear(&relay).await.0, b"right");
    other.set_nonblocking(true).unwrap();
    assert!(other.recv_from(&mut [0; 8]).is_err(), "a packet came to a port that nobody named");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_with_both_families_serves_both() {
    let peer = peer();
    let harness = Harness::start_at(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()], 1).await;
    harness.sync(&RelaySyncRequest { config: Some(config(&[&peer])), ..sync(1) }).await.unwrap();
    let udp = harness.listeners.iter().filter(|(name, _)| name == "udp").map(|(_, address)| *address);
    let addresses: Vec<SocketAddr> = udp.collect();
    assert_eq!(addresses.iter().map(SocketAddr::is_ipv6).collect::<Vec<_>>(), [false, true]);
    for server in addresses {
        let client = client(server, "T_1").await;
        assert_eq!(client.send_binding_request().await.unwrap().ip(), server.ip());
        let relay = client.allocate().await.unwrap();
        relay.send_to(b"hello", outside(&peer)).await.unwrap();
        let (data, from) = hear_peer(&peer);
        assert_eq!(data, b"hello");
        peer.send_to(b"you", from).unwrap();
        assert_eq!(hear(&relay).await, (b"you".to_vec(), outside(&peer)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_may_change_under_a_relay() {
    let peer = peer();
    let harness = Harness::with_peers(1, &[&peer]).await;
    let old = client(harness.listener("udp"), "T_1").await;
    let relay = old.allocate().await.unwrap();
    let mut rotated = config(&[&peer]);
    rotated.secrets = vec![RelaySecret("another secret".into())];
    harness.sync(&RelaySyncRequest { config: Some(rotated), ..sync(1) }).await.unwrap();
    relay.send_to(b"goes on", outside(&peer)).await.unwrap();
    assert_eq!(hear_peer(&peer).0, b"goes on");
    let late = client(harness.listener("udp"), "T_2").await;
    assert!(late.allocate().await.is_err(), "credentials of a secret that is gone");
}
