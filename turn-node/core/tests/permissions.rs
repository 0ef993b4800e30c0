//! CreatePermission.

use crate::support::client::request;
use crate::support::world::{MEDIA, World, rule};
use plenum_protocol::turn::{RelayTransport, Scope};
use rtc_stun::attributes::*;
use rtc_stun::message::*;
use std::time::Duration;

const DISGUISES: [&str; 12] = [
    "10.96.0.1:443",
    "127.0.0.1:7443",
    "169.254.169.254:80",
    "100.64.0.1:1",
    "0.0.0.0:1",
    "255.255.255.255:1",
    "224.0.0.251:5353",
    "198.51.100.1:3478",
    "10.8.0.1:3478",
    "192.168.0.1:1",
    "240.0.0.1:1",
    "100.100.100.200:80",
];
const DISGUISES_V6: [&str; 16] = [
    "[::1]:1",
    "[::]:1",
    "[fe80::1]:1",
    "[fd00:8::1]:1",
    "[fd00::1]:1",
    "[ff02::1]:1",
    "[::ffff:10.96.0.1]:443",
    "[::ffff:8.8.8.8]:443",
    "[::10.96.0.1]:443",
    "[64:ff9b::10.96.0.1]:443",
    "[64:ff9b::169.254.169.254]:80",
    "[64:ff9b:1::10.96.0.1]:443",
    "[2002:a60:1::1]:443",
    "[2001:0:808:808:0:0:f59f:fffe]:443",
    "[2a00::5efe:10.96.0.1]:443",
    "[2001:db8:1::1]:3478",
];

#[test]
fn every_peer_of_a_request_is_permitted_and_others_are_not() {
    let mut world = World::new();
    let mut client = world.allocated();
    assert!(client.permit(&mut world, &["8.8.8.8:1", "9.9.9.9:2", "1.1.1.1:3"]).is_success());
    assert_eq!(world.server.memory().permissions, 3);
    for from in ["8.8.8.8:77", "9.9.9.9:78", "1.1.1.1:79", "1.0.0.1:79"] {
        world.peer_sends(client.port(), from, b"hello");
    }
    assert_eq!(world.at_clients().len(), 3, "any port of a permitted address may send");
    assert_eq!(world.server.counters().drops.unknown_peer, 1);
}

#[test]
fn a_permission_lasts_five_minutes_unless_it_is_renewed() {
    let mut world = World::new();
    let mut client = world.allocated();
    client.permit(&mut world, &["8.8.8.8:1", "9.9.9.9:1"]);
    client.refresh(&mut world, 3_600);
    world.pass(Duration::from_secs(200));
    client.permit(&mut world, &["8.8.8.8:1"]);
    world.pass(Duration::from_secs(100));
    assert_eq!(world.server.memory().permissions, 1, "what expired is forgotten");
    client.send(&mut world, "8.8.8.8:1", b"a");
    client.send(&mut world, "9.9.9.9:1", b"b");
    assert_eq!(world.at_peers().len(), 1);
    world.pass(Duration::from_secs(200));
    client.send(&mut world, "8.8.8.8:1", b"c");
    world.peer_sends(client.port(), "8.8.8.8:1", b"d");
    assert!(world.at_peers().is_empty() && world.at_clients().is_empty());
    let drops = world.server.counters().drops;
    assert_eq!((drops.no_permission, drops.unknown_peer), (2, 1));
}

#[test]
fn one_bad_peer_spoils_the_request() {
    let mut world = World::new();
    let mut client = world.allocated();
    assert_eq!(client.permit(&mut world, &["8.8.8.8:1", "10.0.0.1:1"]).code(), 403);
    assert_eq!(client.permit(&mut world, &["8.8.8.8:1", "[2a00::1]:1"]).code(), 443);
    let malformed =
        request(METHOD_CREATE_PERMISSION).peer("8.8.8.8:1".parse().unwrap()).with(ATTR_XOR_PEER_ADDRESS, &[0, 9]);
    assert_eq!(client.ask(&mut world, malformed).code(), 400);
    assert_eq!(client.ask(&mut world, request(METHOD_CREATE_PERMISSION)).code(), 400);
    assert_eq!(world.server.memory().permissions, 0);
}

#[test]
fn no_address_of_the_inside_is_permitted_in_any_disguise() {
    for scope in [Some(Scope::Media), Some(Scope::Peers), None] {
        let mut world = World::new();
        let mut v4 = world.client(RelayTransport::Udp, "192.0.2.10:1", "SE_1", scope);
        let mut v6 = world.client(RelayTransport::Udp, "192.0.2.10:2", "SE_1", scope);
        assert!(v4.allocate(&mut world).is_success());
        assert!(v6.allocate_with(&mut world, |it| it.with(ATTR_REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0])).is_success());
        for peer in DISGUISES {
            assert_eq!(v4.permit(&mut world, &[peer]).code(), 403, "{scope:?} {peer}");
            assert_eq!(v4.bind(&mut world, 0x4000, peer).code(), 403, "{scope:?} {peer}");
            v4.send(&mut world, peer, b"x");
            world.peer_sends(v4.port(), peer, b"x");
        }
        for peer in DISGUISES_V6 {
            assert_eq!(v6.permit(&mut world, &[peer]).code(), 403, "{scope:?} {peer}");
            assert_eq!(v6.bind(&mut world, 0x4000, peer).code(), 403, "{scope:?} {peer}");
            v6.send(&mut world, peer, b"x");
            world.peer_sends(v6.port(), peer, b"x");
        }
        assert!(world.at_peers().is_empty() && world.at_clients().is_empty());
        let tries = (DISGUISES.len() + DISGUISES_V6.len()) as u64;
        let drops = world.server.counters().drops;
        assert_eq!((drops.no_permission, drops.unknown_peer), (tries, tries), "each is counted");
    }
}

#[test]
fn scope_media_reaches_a_named_endpoint_on_its_named_ports_only() {
    let mut world = World::new();
    let mut client = world.client(RelayTransport::Udp, "192.0.2.10:1", "SE_1", Some(Scope::Media));
    client.allocate(&mut world);
    assert_eq!(client.permit(&mut world, &["8.8.8.8:1"]).code(), 403);
    assert_eq!(client.permit(&mut world, &["10.0.0.7:20000"]).code(), 403, "the inside is not for clients");
    assert!(client.permit(&mut world, &[MEDIA]).is_success());
    for port in [1, 443, 19_999, 20_002, 65_535] {
        let peer = format!("198.51.100.7:{port}");
        assert_eq!(client.bind(&mut world, 0x4000, &peer).code(), 403, "{peer}");
        client.send(&mut world, &peer, b"x");
        world.peer_sends(client.port(), &format!("10.0.0.7:{port}"), b"x");
    }
    assert!(world.at_peers().is_empty() && world.at_clients().is_empty());
    let drops = world.server.counters().drops;
    assert_eq!((drops.forbidden_peer, drops.unknown_peer), (5, 5));
}

#[test]
fn a_rule_opens_a_private_range_for_foreign_users_but_not_what_is_guarded() {
    let mut world = World::new();
    world.push(|config| {
        config.peers.allow = vec![rule("10.0.0.0/8")];
        config.peers.guarded = vec![rule("10.1.0.0/16")];
    });
    let mut client = world.client(RelayTransport::Udp, "192.0.2.10:1", "somebody", None);
    client.allocate(&mut world);
    assert!(client.permit(&mut world, &["10.0.0.7:1"]).is_success());
    assert_eq!(client.permit(&mut world, &["10.1.0.7:1"]).code(), 403);
    assert_eq!(client.permit(&mut world, &["10.8.0.1:1"]).code(), 403, "the relay itself");
    client.send(&mut world, "10.0.0.7:53", b"x");
    assert_eq!(world.at_peers(), [("10.0.0.7:53".parse().unwrap(), b"x".to_vec())]);
}

#[test]
fn permissions_of_one_allocation_are_bounded() {
    let mut world = World::new();
    let mut client = world.allocated();
    for index in 0..64 {
        assert!(client.permit(&mut world, &[&format!("8.8.8.{index}:1")]).is_success());
    }
    assert_eq!(client.permit(&mut world, &["8.8.9.1:1"]).code(), 508);
    assert_eq!(client.bind(&mut world, 0x4000, "8.8.9.1:1").code(), 508, "a channel needs one too");
    assert!(client.permit(&mut world, &["8.8.8.1:1"]).is_success(), "renewing needs no place");
    world.check();
}
