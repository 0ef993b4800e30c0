//! Allocate: what is granted, and every way in which it is refused.

use crate::support::client::{Request, allocate_request, request};
use crate::support::world::{OUTSIDE_V4, OUTSIDE_V6, POD_V4, POD_V6, World, address, ip};
use plenum_protocol::turn::{RelayTransport, Scope};
use plenum_turn_core::{Event, Method, Outcome};
use rtc_stun::attributes::*;
use rtc_stun::message::*;

const PEERS: Option<Scope> = Some(Scope::Peers);

#[test]
fn a_client_with_credentials_gets_a_relay() {
    let mut world = World::new();
    let mut client = world.client(RelayTransport::Udp, "192.0.2.10:1000", "SE_1", Some(Scope::Media));
    let answer = client.allocate(&mut world);
    let relayed = answer.address(ATTR_XOR_RELAYED_ADDRESS);
    assert_eq!(relayed.ip(), ip(OUTSIDE_V4));
    assert!((50_000..=50_099).contains(&relayed.port()));
    assert_eq!(answer.address(ATTR_XORMAPPED_ADDRESS), address("192.0.2.10:1000"));
    assert_eq!(answer.number(ATTR_LIFETIME), 600);
    assert!(answer.has(ATTR_SOFTWARE) && !answer.has(ATTR_FINGERPRINT));
    let local = world.io.relays.values().next().unwrap();
    assert_eq!((local.ip(), local.port()), (ip(POD_V4), relayed.port()));
    let Some(Event::Allocated(state)) = world.events.first() else { panic!("{:?}", world.events) };
    assert_eq!((state.port, state.session.as_str(), state.scope), (relayed.port(), "SE_1", Some(Scope::Media)));
    assert_eq!(world.server.allocation(relayed.port()).as_ref(), Some(state));
    assert_eq!(world.server.counters().requests(Method::Allocate, Outcome::Success), 1);
    world.check();
}

#[test]
fn a_mapped_client_address_is_told_as_ipv4() {
    let mut world = World::new();
    let mut client = world.client(RelayTransport::Udp, "[::ffff:192.0.2.10]:1000", "SE_1", PEERS);
    let answer = client.allocate(&mut world);
    assert_eq!(answer.address(ATTR_XORMAPPED_ADDRESS), address("192.0.2.10:1000"));
}

#[test]
fn a_relay_has_the_address_family_that_was_asked_for() {
    let mut world = World::new();
    let mut client = world.client(RelayTransport::Udp, "192.0.2.10:1000", "SE_1", PEERS);
    let family = |family: u8| move |it: Request| it.with(ATTR_REQUESTED_ADDRESS_FAMILY, &[family, 0, 0, 0]);
    let answer = client.allocate_with(&mut world, family(2));
    assert_eq!(answer.address(ATTR_XOR_RELAYED_ADDRESS).ip(), ip(OUTSIDE_V6));
    assert_eq!(world.io.relays.values().next().unwrap().ip(), ip(POD_V6));
    let mut other = world.client(RelayTransport::Udp, "192.0.2.10:1001", "SE_1", PEERS);
    assert_eq!(other.allocate_with(&mut world, family(1)).address(ATTR_XOR_RELAYED_ADDRESS).ip(), ip(OUTSIDE_V4));
    let mut odd = world.client(RelayTransport::Udp, "192.0.2.10:1002", "SE_1", PEERS);
    assert_eq!(odd.allocate_with(&mut world, family(3)).code(), 440);
}

#[test]
fn a_family_that_the_pod_does_not_have_is_refused() {
    let mut world = World::new();
    world.push(|config| config.outside_addresses.retain(std::net::IpAddr::is_ipv6));
    let mut client = world.client(RelayTransport::Udp, "192.0.2.10:1000", "SE_1", PEERS);
    assert_eq!(client.allocate(&mut world).code(), 440);
    world.check();
}

#[test]
fn a_second_relay_is_refused_beside_the_first() {
    let mut world = World::new();
    let mut client = world.client(RelayTransport::Udp, "192.0.2.10:1000", "SE_1", PEERS);
    let additional = AttrType(0x8000);
    let answer = client.allocate_with(&mut world, |it| it.with(additional, &[2, 0, 0, 0]));
    assert_eq!(answer.address(ATTR_XOR_RELAYED_ADDRESS).ip(), ip(OUTSIDE_V4));
    let error = answer.attribute(AttrType(0x8001));
    assert_eq!(error[..4], [2, 0, 4, 40]);
    let mut other = world.client(RelayTransport::Udp, "192.0.2.10:1001", "SE_1", PEERS);
    for bad in [
        allocate_request().with(additional, &[1, 0, 0, 0]),
        allocate_request().with(additional, &[2, 0, 0, 0]).with(ATTR_REQUESTED_ADDRESS_FAMILY, &[1, 0, 0, 0]),
        allocate_request().with(additional, &[2, 0, 0, 0]).with(ATTR_EVEN_PORT, &[0x80]),
    ] {
        assert_eq!(other.ask(&mut world, bad).code(), 400);
    }
}

#[test]
fn requests_for_what_there_is_not_are_refused_as_the_rfc_says() {
    let mut world = World::new();
    let mut client = world.client(RelayTransport::Udp, "192.0.2.10:1000", "SE_1", PEERS);
    let token = [7; 8];
    for (what, bad, code) in [
        ("no transport", request(METHOD_ALLOCATE), 400),
        ("a TCP relay", request(METHOD_ALLOCATE).with(ATTR_REQUESTED_TRANSPORT, &[6, 0, 0, 0]), 442),
        ("a malformed transport", request(METHOD_ALLOCATE).with(ATTR_REQUESTED_TRANSPORT, &[17]), 400),
        ("a port and the next", allocate_request().with(ATTR_EVEN_PORT, &[0x80]), 508),
        ("a reserved port", allocate_request().with(ATTR_RESERVATION_TOKEN, &token), 508),
        ("both", allocate_request().with(ATTR_RESERVATION_TOKEN, &token).with(ATTR_EVEN_PORT, &[0]), 400),
        ("no fragments", allocate_request().with(ATTR_DONT_FRAGMENT, &[]), 420),
    ] {
        assert_eq!(client.ask(&mut world, bad).code(), code, "{what}");
    }
    let answer = client.ask(&mut world, allocate_request().with(ATTR_DONT_FRAGMENT, &[]).with(AttrType(0x7abc), &[1]));
    assert_eq!(answer.attribute(ATTR_UNKNOWN_ATTRIBUTES), [0, 0x1a, 0x7a, 0xbc]);
    assert!(world.server.is_empty());
    world.check();
}

#[test]
fn an_even_port_is_even() {
    let mut world = World::new();
    for index in 0..50 {
        let remote = format!("192.0.2.10:{}", 1_000 + index);
        let mut client = world.client(RelayTransport::Udp, &remote, "SE_1", PEERS);
        assert!(client.allocate_with(&mut world, |it| it.with(ATTR_EVEN_PORT, &[0])).is_success());
        assert!(client.port().is_multiple_of(2));
    }
    let mut client = world.client(RelayTransport::Udp, "192.0.2.10:2000", "SE_1", PEERS);
    assert_eq!(client.allocate_with(&mut world, |it| it.with(ATTR_EVEN_PORT, &[0])).code(), 508);
    assert!(client.allocate(&mut world).is_success(), "odd ones are left");
}

#[test]
fn a_client_has_one_allocation() {
    let mut world = World::new();
    let mut client = world.allocated();
    assert_eq!(client.allocate(&mut world).code(), 437);
    let mut stranger = world.client(RelayTransport::Udp, "192.0.2.10:1000", "SE_2", PEERS);
    assert_eq!(stranger.allocate(&mut world).code(), 437, "whoever asks");
    assert_eq!(world.server.len(), 1);
}

#[test]
fn a_port_that_somebody_else_has_is_passed_over() {
    let mut world = World::new();
    world.io.taken = (50_000..50_095).collect();
    let mut granted = 0;
    for index in 0..40 {
        let remote = format!("192.0.2.10:{}", 1_000 + index);
        let mut client = world.client(RelayTransport::Udp, &remote, "SE_1", PEERS);
        let answer = client.allocate(&mut world);
        granted += u32::from(answer.is_success());
        assert!(answer.is_success() || answer.code() == 508);
    }
    assert_eq!(granted, 5, "the search is bounded, and goes on elsewhere with the next request");
    world.check();
}

#[test]
fn without_sockets_or_ports_or_while_draining_there_is_no_capacity() {
    let mut world = World::new();
    let mut client = world.client(RelayTransport::Udp, "192.0.2.10:1000", "SE_1", PEERS);
    world.io.exhausted = true;
    assert_eq!(client.allocate(&mut world).code(), 508);
    world.io.exhausted = false;
    world.push(|config| config.accepting = false);
    assert_eq!(client.allocate(&mut world).code(), 508);
    world.push(|config| config.accepting = true);
    assert!(client.allocate(&mut world).is_success());
    world.push(|config| config.accepting = false);
    assert!(client.refresh(&mut world, 600).is_success(), "those who are there stay");
    world.check();
}

#[test]
fn an_answer_without_room_to_send_is_counted_and_given_when_asked_again() {
    let mut world = World::new();
    let mut client = world.client(RelayTransport::Udp, "192.0.2.10:1000", "SE_1", PEERS);
    client.greet(&mut world);
    let signed = client.sign(allocate_request()).bytes();
    world.io.full = true;
    assert!(world.exchange(client.id, &signed).is_none());
    assert_eq!(world.server.counters().drops.send_full, 1);
    world.io.full = false;
    assert!(world.exchange(client.id, &signed).unwrap().is_success());
    assert_eq!(world.server.len(), 1);
}
