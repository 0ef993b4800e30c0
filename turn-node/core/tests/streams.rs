//! Clients over TCP and TLS: padding, broken streams, ends.

use crate::support::client::channel_data;
use crate::support::world::{PUBLIC, World};
use plenum_protocol::turn::{RelayTransport, Scope};
use plenum_turn_core::{Event, Frame, frame_len};
use std::time::Duration;

const PEERS: Option<Scope> = Some(Scope::Peers);

#[test]
fn a_stream_is_relayed_with_padding() {
    for transport in [RelayTransport::Tcp, RelayTransport::Tls] {
        let mut world = World::new();
        let mut client = world.client(transport, "192.0.2.10:1", "SE_1", PEERS);
        assert!(client.allocate(&mut world).is_success());
        assert_eq!(world.server.allocation(client.port()).unwrap().transport, transport);
        client.bind(&mut world, 0x4000, PUBLIC);
        client.send_channel(&mut world, 0x4000, b"12345");
        assert_eq!(world.at_peers()[0].1, b"12345");
        world.peer_sends(client.port(), PUBLIC, b"12345");
        let answer = world.at_clients().remove(0);
        assert_eq!(answer, channel_data(0x4000, b"12345", true));
        assert_eq!(frame_len(&answer), Frame::Whole(12));
        assert_eq!(world.server.counters().relayed(transport).bytes_to_clients, 5);
    }
}

#[test]
fn two_streams_of_one_address_are_two_clients() {
    let mut world = World::new();
    let mut one = world.client(RelayTransport::Tcp, "192.0.2.10:1", "SE_1", PEERS);
    let mut two = world.client(RelayTransport::Tcp, "192.0.2.10:1", "SE_1", PEERS);
    assert!(one.allocate(&mut world).is_success() && two.allocate(&mut world).is_success());
    assert_ne!(one.port(), two.port());
}

#[test]
fn an_allocation_ends_with_its_stream() {
    let mut world = World::new();
    let mut client = world.client(RelayTransport::Tcp, "192.0.2.10:1", "SE_1", PEERS);
    client.allocate(&mut world);
    world.gone(&client);
    world.gone(&client);
    assert!(world.server.is_empty() && world.io.relays.is_empty());
    assert_eq!(world.events.last(), Some(&Event::Ended { port: client.port() }));
    assert!(world.io.closed_clients.is_empty(), "its owner knows");
    world.check();
}

#[test]
fn a_stream_ends_with_its_allocation_when_that_expires() {
    let mut world = World::new();
    let mut client = world.client(RelayTransport::Tls, "192.0.2.10:1", "SE_1", PEERS);
    client.allocate(&mut world);
    world.pass(Duration::from_secs(600));
    assert_eq!(world.io.closed_clients, [client.id]);
    world.gone(&client);
    world.check();
}

#[test]
fn a_stream_that_breaks_is_ended_and_a_datagram_is_not() {
    let mut world = World::new();
    let client = world.client(RelayTransport::Tcp, "192.0.2.10:1", "SE_1", PEERS);
    world.deliver(client.id, &[0, 1, 0, 0, 1, 2, 3, 4]);
    world.deliver(client.id, &[0x40, 0, 0, 9, 1]);
    assert_eq!(world.io.closed_clients, [client.id, client.id]);
    let datagrams = world.client(RelayTransport::Udp, "192.0.2.10:1", "SE_1", PEERS);
    world.deliver(datagrams.id, &[0, 1, 0, 0, 1, 2, 3, 4]);
    assert_eq!(world.server.counters().drops.malformed, 3);
    assert_eq!(world.io.closed_clients.len(), 2);
}

#[test]
fn a_packet_too_large_for_a_stream_is_dropped() {
    let mut world = World::new();
    let mut client = world.client(RelayTransport::Tcp, "192.0.2.10:1", "SE_1", PEERS);
    client.allocate(&mut world);
    client.bind(&mut world, 0x4000, PUBLIC);
    world.peer_sends(client.port(), PUBLIC, &vec![0; plenum_turn_core::MAX_FRAME - 4]);
    world.peer_sends(client.port(), PUBLIC, &vec![0; plenum_turn_core::MAX_FRAME - 3]);
    assert_eq!((world.at_clients().len(), world.server.counters().drops.too_large), (1, 1));
}
