//! ChannelBind and ChannelData.

use crate::support::client::{channel_data, request};
use crate::support::world::{MEDIA, MEDIA_INSIDE, PUBLIC, World, address};
use plenum_protocol::turn::{RelayTransport, Scope};
use rtc_stun::attributes::*;
use rtc_stun::message::*;
use std::time::Duration;

#[test]
fn a_channel_carries_data_both_ways() {
    let mut world = World::new();
    let mut client = world.allocated();
    assert!(client.bind(&mut world, 0x4001, PUBLIC).is_success());
    client.send_channel(&mut world, 0x4001, b"there");
    assert_eq!(world.at_peers(), [(address(PUBLIC), b"there".to_vec())]);
    world.peer_sends(client.port(), PUBLIC, b"back");
    assert_eq!(world.at_clients(), [channel_data(0x4001, b"back", false)]);
    world.peer_sends(client.port(), "8.8.8.8:9", b"other port");
    assert!(rtc_stun::message::is_stun_message(&world.at_clients()[0]), "a permission came with the channel");
    let state = world.server.allocation(client.port()).unwrap();
    assert_eq!((state.sent_bytes, state.received_bytes), (5, 14));
}

#[test]
fn a_channel_to_an_endpoint_goes_inside_and_speaks_of_outside() {
    let mut world = World::new();
    let mut client = world.client(RelayTransport::Udp, "192.0.2.10:1", "SE_1", Some(Scope::Media));
    client.allocate(&mut world);
    assert!(client.bind(&mut world, 0x4001, MEDIA).is_success());
    client.send_channel(&mut world, 0x4001, b"there");
    assert_eq!(world.at_peers(), [(address(MEDIA_INSIDE), b"there".to_vec())]);
    world.peer_sends(client.port(), MEDIA_INSIDE, b"back");
    assert_eq!(world.at_clients(), [channel_data(0x4001, b"back", false)]);
    world.peer_sends(client.port(), MEDIA, b"from outside");
    assert!(world.at_clients().is_empty());
}

#[test]
fn every_number_that_can_be_bound_carries_data() {
    let mut world = World::new();
    let mut client = world.allocated();
    for (index, number) in [0x4000, 0x4fff, 0x5000, 0x7fff].into_iter().enumerate() {
        let peer = format!("8.8.8.8:{}", 1_000 + index);
        assert!(client.bind(&mut world, number, &peer).is_success(), "{number:#x}");
        client.send_channel(&mut world, number, b"there");
        assert_eq!(world.at_peers(), [(address(&peer), b"there".to_vec())], "{number:#x}");
        world.peer_sends(client.port(), &peer, b"back");
        assert_eq!(world.at_clients(), [channel_data(number, b"back", false)], "{number:#x}");
    }
}

#[test]
fn numbers_and_peers_are_bound_once() {
    let mut world = World::new();
    let mut client = world.allocated();
    assert!(client.bind(&mut world, 0x4000, PUBLIC).is_success());
    assert!(client.bind(&mut world, 0x4000, PUBLIC).is_success(), "renewed");
    assert_eq!(client.bind(&mut world, 0x4000, "8.8.8.8:4001").code(), 400, "the number is taken");
    assert_eq!(client.bind(&mut world, 0x4001, PUBLIC).code(), 400, "the peer is taken");
    assert!(client.bind(&mut world, 0x7fff, "8.8.8.8:4001").is_success());
    for number in [0, 0x3fff, 0x8000, 0xffff] {
        assert_eq!(client.bind(&mut world, number, "9.9.9.9:1").code(), 400, "{number:#x}");
    }
    let without_peer = request(METHOD_CHANNEL_BIND).with(ATTR_CHANNEL_NUMBER, &[0x40, 5, 0, 0]);
    assert_eq!(client.ask(&mut world, without_peer).code(), 400);
    let without_number = request(METHOD_CHANNEL_BIND).peer(address(PUBLIC));
    assert_eq!(client.ask(&mut world, without_number).code(), 400);
    assert_eq!(client.bind(&mut world, 0x4005, "[2a00::1]:1").code(), 443);
    assert_eq!(client.bind(&mut world, 0x4005, "8.8.8.8:0").code(), 403);
    assert_eq!(world.server.memory().channels, 2);
}

#[test]
fn a_channel_lasts_ten_minutes_and_its_permission_five() {
    let mut world = World::new();
    let mut client = world.allocated();
    client.refresh(&mut world, 3_600);
    client.bind(&mut world, 0x4000, PUBLIC);
    world.pass(Duration::from_secs(300));
    client.send_channel(&mut world, 0x4000, b"no permission");
    world.peer_sends(client.port(), PUBLIC, b"nor back");
    assert!(world.at_peers().is_empty() && world.at_clients().is_empty());
    client.permit(&mut world, &[PUBLIC]);
    client.send_channel(&mut world, 0x4000, b"again");
    world.peer_sends(client.port(), PUBLIC, b"again");
    assert_eq!((world.at_peers().len(), world.at_clients().len()), (1, 1));
    world.pass(Duration::from_secs(299));
    client.permit(&mut world, &[PUBLIC]);
    world.pass(Duration::from_secs(1));
    client.send_channel(&mut world, 0x4000, b"no channel");
    assert!(world.at_peers().is_empty());
    assert_eq!(world.server.counters().drops.no_channel, 1);
    world.peer_sends(client.port(), PUBLIC, b"by indication");
    assert!(rtc_stun::message::is_stun_message(&world.at_clients()[0]));
    assert!(client.bind(&mut world, 0x4000, "9.9.9.9:1").is_success(), "its number is free");
}

#[test]
fn data_for_nobody_is_counted_and_dropped() {
    let mut world = World::new();
    let client = world.allocated();
    client.send_channel(&mut world, 0x4000, b"not bound");
    world.deliver(client.id, &[0x40, 0, 0, 5, 1, 2, 3, 4]);
    world.deliver(client.id, &[0x40, 0]);
    let stranger = world.client(RelayTransport::Udp, "192.0.2.99:1", "SE_9", None);
    stranger.send_channel(&mut world, 0x4000, b"no allocation");
    let drops = world.server.counters().drops;
    assert_eq!((drops.no_channel, drops.malformed, drops.no_allocation), (1, 2, 1));
    assert!(world.at_peers().is_empty());
}

#[test]
fn channels_of_one_allocation_are_bounded() {
    let mut world = World::new();
    let mut client = world.allocated();
    for index in 0..64u16 {
        assert!(client.bind(&mut world, 0x4000 + index, &format!("8.8.8.8:{}", 1_000 + index)).is_success());
    }
    assert_eq!(client.bind(&mut world, 0x4100, "8.8.8.8:9999").code(), 508);
    assert!(client.bind(&mut world, 0x4000, "8.8.8.8:1000").is_success());
    world.check();
}
