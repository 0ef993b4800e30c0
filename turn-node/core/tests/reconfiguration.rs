//! A new configuration holds at once for those who are there.

use crate::support::client::channel_data;
use crate::support::world::{MEDIA, MEDIA_INSIDE, PUBLIC, World, address, ip, rule};
use plenum_protocol::turn::{RelayTransport, Scope};

#[test]
fn peers_that_a_new_configuration_forbids_are_cut_off_both_ways() {
    let mut world = World::new();
    let mut client = world.allocated();
    client.bind(&mut world, 0x4000, PUBLIC);
    client.permit(&mut world, &["9.9.9.9:1"]);
    world.push(|config| config.peers.deny = vec![rule("8.8.8.0/24")]);
    assert_eq!(world.server.counters().revoked, 2, "a channel and its permission");
    client.send_channel(&mut world, 0x4000, b"x");
    client.send(&mut world, PUBLIC, b"x");
    world.peer_sends(client.port(), PUBLIC, b"x");
    assert!(world.at_peers().is_empty() && world.at_clients().is_empty());
    client.send(&mut world, "9.9.9.9:1", b"x");
    assert_eq!(world.at_peers().len(), 1, "others are not touched");
    assert_eq!(client.bind(&mut world, 0x4000, PUBLIC).code(), 403);
}

#[test]
fn an_endpoint_that_is_no_longer_named_is_cut_off_and_one_that_moved_is_followed() {
    let mut world = World::new();
    let mut client = world.client(RelayTransport::Udp, "192.0.2.10:1", "SE_1", Some(Scope::Media));
    client.allocate(&mut world);
    client.bind(&mut world, 0x4000, MEDIA);
    world.push(|config| config.peers.media[0].inside = ip("10.0.0.9"));
    client.send_channel(&mut world, 0x4000, b"x");
    assert_eq!(world.at_peers(), [(address("10.0.0.9:20000"), b"x".to_vec())]);
    world.peer_sends(client.port(), MEDIA_INSIDE, b"old place");
    assert!(world.at_clients().is_empty());
    world.peer_sends(client.port(), "10.0.0.9:20000", b"new place");
    assert_eq!(world.at_clients(), [channel_data(0x4000, b"new place", false)]);
    world.push(|config| config.peers.media[0].ports.min = 20_001);
    client.send_channel(&mut world, 0x4000, b"x");
    world.peer_sends(client.port(), "10.0.0.9:20000", b"x");
    assert!(world.at_peers().is_empty() && world.at_clients().is_empty(), "its port is no longer named");
    world.push(|config| config.peers.media.clear());
    assert_eq!(world.server.memory().permissions, 0);
}

#[test]
fn an_endpoint_that_is_named_now_can_be_reached_now() {
    let mut world = World::new();
    let mut client = world.client(RelayTransport::Udp, "192.0.2.10:1", "SE_1", Some(Scope::Media));
    client.allocate(&mut world);
    assert_eq!(client.permit(&mut world, &["198.51.100.8:21000"]).code(), 403);
    world.push(|config| {
        let mut endpoint = config.peers.media[0].clone();
        endpoint.outside = vec![ip("198.51.100.8")];
        endpoint.inside = ip("10.0.0.8");
        endpoint.ports.min = 21_000;
        endpoint.ports.max = 21_000;
        config.peers.media.push(endpoint);
    });
    assert!(client.permit(&mut world, &["198.51.100.8:21000"]).is_success());
}

#[test]
fn two_clients_of_one_relay_reach_each_other_by_the_named_relay_ports() {
    let mut world = World::new();
    world.push(|config| {
        let mut relay = config.peers.media[0].clone();
        relay.outside = vec![ip("198.51.100.1")];
        relay.inside = ip("10.8.0.1");
        relay.ports.min = 50_000;
        relay.ports.max = 50_099;
        config.peers.relays.push(relay);
        config.peers.guarded.push(rule("198.51.100.1/32"));
    });
    let mut one = world.client(RelayTransport::Udp, "192.0.2.10:1", "SE_1", Some(Scope::Peers));
    let mut two = world.client(RelayTransport::Udp, "192.0.2.10:2", "SE_1", Some(Scope::Peers));
    one.allocate(&mut world);
    two.allocate(&mut world);
    let (first, second) = (one.relayed.unwrap(), two.relayed.unwrap());
    assert!(one.bind(&mut world, 0x4000, &second.to_string()).is_success());
    assert!(two.bind(&mut world, 0x4000, &first.to_string()).is_success());
    one.send_channel(&mut world, 0x4000, b"hello");
    let (to, payload) = world.at_peers().remove(0);
    assert_eq!(to, address(&format!("10.8.0.1:{}", second.port())));
    world.peer_sends(two.port(), &format!("10.8.0.1:{}", first.port()), &payload);
    assert_eq!(world.at_clients(), [channel_data(0x4000, b"hello", false)]);
    assert_eq!(one.bind(&mut world, 0x4001, "198.51.100.1:3478").code(), 403, "not its listener");
}
