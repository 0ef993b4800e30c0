//! Over TCP and TLS.

use crate::client::{Client, Heard, connect, connect_tls};
use crate::harness::{Harness, outside, peer};
use plenum_protocol::turn::RelayTransport;
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::UdpSocket;
use std::sync::Arc;
use stun::message::METHOD_BINDING;

const CHANNEL: u16 = 0x4000;

/// There and back again, with lengths that need padding.
fn relay(client: &mut Client, peer: &UdpSocket) {
    for len in [1, 2, 3, 4, 1_199] {
        let payload = vec![7; len];
        client.send(CHANNEL, &payload).unwrap();
        let mut buffer = [0; 2048];
        let (got, from) = peer.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..got], payload);
        peer.send_to(&payload, from).unwrap();
        assert_eq!(client.receive().unwrap(), (CHANNEL, payload));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_relays_over_tcp_and_its_end_ends_the_allocation() {
    let peer = peer();
    let harness = Harness::with_peers(2, &[&peer]).await;
    let mut client = Client::new(connect(harness.listener("tcp")), "T_1");
    let told = client.allocate().unwrap();
    assert_eq!(client.bind(CHANNEL, outside(&peer)), None);
    relay(&mut client, &peer);
    let report = harness.until(|report| report.load.allocations == 1).await;
    let allocation = &report.allocations[0];
    assert_eq!((allocation.port, allocation.transport), (told.port(), RelayTransport::Tcp));
    harness.scrape(&["plenum_turn_connections{transport=\"TCP\"} 1"]).await;
    drop(client);
    harness.until(|report| report.load.allocations == 0).await;
    harness.scrape(&["plenum_turn_connections{transport=\"TCP\"} 0"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_relays_over_tls_with_and_without_alpn() {
    let peer = peer();
    let harness = Harness::with_peers(1, &[&peer]).await;
    for protocols in [&[][..], &[b"stun.turn".as_slice()], &[b"h3", b"stun.turn"]] {
        let mut client = Client::new(connect_tls(&harness, protocols), "T_1");
        let told = client.allocate().unwrap();
        assert_eq!(client.bind(CHANNEL, outside(&peer)), None);
        relay(&mut client, &peer);
        let report = harness.until(|report| report.load.allocations == 1).await;
        assert_eq!((report.allocations[0].port, report.allocations[0].transport), (told.port(), RelayTransport::Tls));
        client.release();
        harness.until(|report| report.load.allocations == 0).await;
    }
    let mut web = connect_tls(&harness, &[b"http/1.1"]);
    assert!(web.write_all(b"GET / HTTP/1.1\r\n\r\n").and_then(|()| web.flush()).is_err(), "a web client was let in");
    harness.scrape(&["plenum_turn_connections_refused_total{worker=\"0\",reason=\"TlsFailed\"} 1"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_shakes_hands_at_once_is_served() {
    let harness = Arc::new(Harness::with_peers(1, &[]).await);
    let clients: Vec<_> = (0..40)
        .map(|number| {
            let harness = Arc::clone(&harness);
            std::thread::spawn(move || {
                let mut client = Client::new(connect_tls(&harness, &[]), &format!("T_{number}"));
                client.allocate().unwrap().port()
            })
        })
        .collect();
    let ports: BTreeSet<u16> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    assert_eq!(ports.len(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_found_however_the_stream_is_cut() {
    let peer = peer();
    let harness = Harness::with_peers(1, &[&peer]).await;
    let mut client = Client::new(connect(harness.listener("tcp")), "T_1");
    client.allocate().unwrap();
    assert_eq!(client.bind(CHANNEL, outside(&peer)), None);
    let message = |payload: &[u8; 5]| [&[0x40, 0x00, 0, 5][..], payload, &[0; 3]].concat();
    let stream = [message(b"first"), message(b"other"), message(b"third")].concat();
    for cut in 1..stream.len() {
        for part in stream.chunks(cut) {
            client.write(part).unwrap();
        }
        for expected in [b"first", b"other", b"third"] {
            let mut buffer = [0; 16];
            let len = peer.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..len], expected, "cut at {cut}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_turn_ends_the_stream() {
    let peer = peer();
    let harness = Harness::with_peers(1, &[&peer]).await;
    let mut stream = connect(harness.listener("tcp"));
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // Closed with or without a reset: the request was not read to its end.
    let outcome = stream.read_to_end(&mut answer);
    assert!(answer.is_empty() && outcome.map_or(true, |len| len == 0));
    harness.scrape(&["plenum_turn_connections_refused_total{worker=\"0\",reason=\"NotTurn\"} 1"]).await;
    let mut client = Client::new(connect(harness.listener("tcp")), "T_1");
    assert!(client.ask(METHOD_BINDING, vec![]).is_ok(), "the next one is not served");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_loses_packets_and_hurts_nobody() {
    let peer = peer();
    let harness = Harness::with_peers(1, &[&peer]).await;
    let mut slow = Client::new(connect(harness.listener("tcp")), "T_slow");
    slow.allocate().unwrap();
    assert_eq!(slow.bind(CHANNEL, outside(&peer)), None);
    slow.send(CHANNEL, b"hello").unwrap();
    let (_, from) = peer.recv_from(&mut [0; 16]).unwrap();
    let mut other = Client::new(connect(harness.listener("tcp")), "T_other");
    other.allocate().unwrap();
    assert_eq!(other.bind(CHANNEL, outside(&peer)), None);
    let flood = async {
        loop {
            for _ in 0..200 {
                peer.send_to(&[1; 1200], from).unwrap();
            }
            let text = harness.probe("/metrics").await;
            if !text.contains("reason=\"SlowStream\"} 0") {
                return;
            }
        }
    };
    tokio::time::timeout(crate::harness::DEADLINE, flood).await.unwrap();
    relay(&mut other, &peer);
    // What was taken comes whole and in order, also after the drops.
    for _ in 0..100 {
        assert_eq!(slow.receive().unwrap(), (CHANNEL, vec![1; 1200]));
    }
    assert!(matches!(slow.hear(), Ok(Heard::Data(..))));
}
