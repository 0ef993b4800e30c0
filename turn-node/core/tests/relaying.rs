//! Send and Data indications, IPv6, bandwidth.

use crate::support::client::{Answer, Request, channel_data};
use crate::support::world::{MEDIA, MEDIA_INSIDE, PUBLIC, World, address};
use plenum_protocol::ports::PortRange;
use plenum_protocol::relay::PeerEndpoint;
use plenum_protocol::turn::{RelayTransport, Scope};
use rtc_stun::attributes::*;
use rtc_stun::message::*;
use std::time::Duration;

fn data(bytes: &[u8]) -> (std::net::SocketAddr, Vec<u8>) {
    let indication = Answer::parse(bytes);
    assert_eq!((indication.message.typ.method, indication.message.typ.class), (METHOD_DATA, CLASS_INDICATION));
    (indication.address(ATTR_XOR_PEER_ADDRESS), indication.attribute(ATTR_DATA))
}

#[test]
fn indications_carry_data_both_ways() {
    let mut world = World::new();
    let mut client = world.allocated();
    client.permit(&mut world, &[PUBLIC]);
    for payload in [b"".as_slice(), b"1", b"12", b"123", b"1234"] {
        client.send(&mut world, PUBLIC, payload);
        assert_eq!(world.at_peers(), [(address(PUBLIC), payload.to_vec())]);
        world.peer_sends(client.port(), PUBLIC, payload);
        assert_eq!(data(&world.at_clients()[0]), (address(PUBLIC), payload.to_vec()));
    }
    let relayed = world.server.counters().relayed(RelayTransport::Udp);
    assert_eq!((relayed.packets_to_peers, relayed.bytes_to_peers), (5, 10));
    assert_eq!((relayed.packets_to_clients, relayed.bytes_to_clients), (5, 10));
}

#[test]
fn an_endpoint_is_spoken_of_by_its_outside_address() {
    let mut world = World::new();
    let mut client = world.client(RelayTransport::Udp, "192.0.2.10:1", "SE_1", Some(Scope::Media));
    client.allocate(&mut world);
    client.permit(&mut world, &[MEDIA]);
    client.send(&mut world, MEDIA, b"x");
    assert_eq!(world.at_peers(), [(address(MEDIA_INSIDE), b"x".to_vec())]);
    world.peer_sends(client.port(), MEDIA_INSIDE, b"y");
    assert_eq!(data(&world.at_clients()[0]), (address(MEDIA), b"y".to_vec()));
}

#[test]
fn relays_that_share_an_address_all_hear_a_client_until_one_of_them_speaks() {
    let (peer, places) = ("198.51.100.20:50000", ["10.0.0.20:50000", "10.0.0.21:50000"]);
    let mut world = World::new();
    world.push(|config| {
        config.peers.relays = places
            .map(|place| PeerEndpoint {
                outside: vec![address(peer).ip()],
                inside: address(place).ip(),
                ports: PortRange { min: 50_000, max: 50_999 },
            })
            .to_vec();
    });
    let mut client = world.client(RelayTransport::Udp, "192.0.2.10:1", "SE_1", Some(Scope::Peers));
    client.allocate(&mut world);
    client.permit(&mut world, &[peer]);
    let both = |payload: &[u8]| places.map(|place| (address(place), payload.to_vec())).to_vec();
    client.send(&mut world, peer, b"check");
    assert_eq!(world.at_peers(), both(b"check"));
    client.bind(&mut world, 0x4000, peer);
    client.send_channel(&mut world, 0x4000, b"check");
    assert_eq!(world.at_peers(), both(b"check"));

    world.peer_sends(client.port(), "10.0.0.22:50000", b"nobody");
    world.peer_sends(client.port(), "10.0.0.21:50001", b"somebody else");
    assert_eq!(world.at_clients().len(), 1, "by indication, from where the client permits, at another port");
    for place in [places[1], places[0]] {
        world.peer_sends(client.port(), place, b"here");
        assert_eq!(world.at_clients(), [channel_data(0x4000, b"here", false)]);
        client.send_channel(&mut world, 0x4000, b"there");
        client.bind(&mut world, 0x4000, peer);
        client.send(&mut world, peer, b"there");
        world.push(|config| config.max_lifetime_seconds += 1);
        client.send_channel(&mut world, 0x4000, b"there");
        assert_eq!(world.at_peers(), vec![(address(place), b"there".to_vec()); 3]);
    }
    world.push(|config| drop(config.peers.relays.remove(0)));
    client.send_channel(&mut world, 0x4000, b"moved");
    assert_eq!(world.at_peers(), [(address(places[1]), b"moved".to_vec())]);
}

#[test]
fn an_ipv6_relay_carries_ipv6() {
    let mut world = World::new();
    let mut client = world.client(RelayTransport::Udp, "192.0.2.10:1", "SE_1", Some(Scope::Peers));
    client.allocate_with(&mut world, |it| it.with(ATTR_REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0]));
    let peer = "[2a00:1450::1]:5000";
    assert_eq!(client.permit(&mut world, &[PUBLIC]).code(), 443);
    assert!(client.permit(&mut world, &[peer]).is_success());
    client.send(&mut world, peer, b"six");
    client.send(&mut world, PUBLIC, b"four");
    assert_eq!(world.at_peers(), [(address(peer), b"six".to_vec())]);
    world.peer_sends(client.port(), peer, b"back");
    assert_eq!(data(&world.at_clients()[0]), (address(peer), b"back".to_vec()));
    assert!(client.bind(&mut world, 0x4000, peer).is_success());
}

#[test]
fn a_malformed_indication_is_dropped() {
    let mut world = World::new();
    let mut client = world.allocated();
    client.permit(&mut world, &[PUBLIC]);
    let send = || Request::new(METHOD_SEND, CLASS_INDICATION);
    for bad in [
        send(),
        send().peer(address(PUBLIC)),
        send().with(ATTR_DATA, b"x"),
        send().peer(address(PUBLIC)).with(ATTR_DATA, b"x").with(ATTR_DONT_FRAGMENT, &[]),
        send().peer(address(PUBLIC)).with(ATTR_DATA, b"x").with(ATTR_XOR_PEER_ADDRESS, &[0; 3]),
    ] {
        world.deliver(client.id, &bad.bytes());
    }
    assert_eq!(world.server.counters().drops.malformed, 5);
    assert!(world.at_peers().is_empty() && world.at_clients().is_empty());
}

#[test]
fn bandwidth_is_bounded_both_ways_together() {
    let mut world = World::new();
    world.push(|config| config.quotas.kbps_per_allocation = 1_000);
    let mut client = world.allocated();
    client.refresh(&mut world, 3_600);
    client.bind(&mut world, 0x4000, PUBLIC);
    for _ in 0..10_000 {
        client.send_channel(&mut world, 0x4000, &[1; 222]);
        world.peer_sends(client.port(), PUBLIC, &[2; 222]);
        world.pass(Duration::from_millis(1));
    }
    let (sent, received) = (world.at_peers().len(), world.at_clients().len());
    // 250 bytes each with headers: 500 packets a second, and a burst of two seconds.
    assert!((5_900..=6_100).contains(&(sent + received)), "{sent} {received}");
    assert_eq!(world.server.counters().drops.over_bandwidth, 20_000 - (sent + received) as u64);
    world.push(|config| config.quotas.kbps_per_allocation = 0);
    client.send_channel(&mut world, 0x4000, &[1; 1_000]);
    assert_eq!(world.at_peers().len(), 1, "the bound is lifted live");
}

#[test]
fn a_full_send_buffer_loses_packets_and_counts_them() {
    let mut world = World::new();
    let mut client = world.allocated();
    client.bind(&mut world, 0x4000, PUBLIC);
    world.io.full = true;
    client.send_channel(&mut world, 0x4000, b"x");
    world.peer_sends(client.port(), PUBLIC, b"x");
    assert_eq!(world.server.counters().drops.send_full, 2);
    assert_eq!(world.server.counters().relayed(RelayTransport::Udp), plenum_turn_core::Relayed::default());
}

#[test]
fn a_packet_that_no_message_can_hold_is_dropped() {
    let mut world = World::new();
    let mut client = world.allocated();
    client.permit(&mut world, &[PUBLIC]);
    world.peer_sends(client.port(), PUBLIC, &vec![0; 65_500]);
    assert_eq!(world.server.counters().drops.too_large, 1);
}

#[test]
fn a_socket_of_no_allocation_is_not_an_error() {
    let mut world = World::new();
    world.server.handle_peer(world.now, plenum_turn_core::RelayId(7), address(PUBLIC), b"x", &mut world.io);
    assert_eq!(world.server.counters().drops.no_allocation, 1);
}
