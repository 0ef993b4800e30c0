//! Refresh and expiry.

use crate::support::client::request;
use crate::support::world::World;
use plenum_protocol::turn::{RelayTransport, Scope};
use plenum_turn_core::Event;
use rtc_stun::attributes::*;
use rtc_stun::message::*;
use std::time::Duration;

#[test]
fn an_allocation_that_is_not_refreshed_ends_in_time() {
    let mut world = World::new();
    let client = world.allocated();
    world.pass(Duration::from_millis(599_999));
    assert_eq!(world.server.len(), 1);
    world.pass(Duration::from_millis(1));
    assert!(world.server.is_empty() && world.io.relays.is_empty());
    assert_eq!(world.events.last(), Some(&Event::Ended { port: client.port() }));
    assert_eq!(world.server.counters().expired, 1);
    assert_eq!(world.server.poll_timeout(), None);
    world.check();
}

#[test]
fn lifetimes_are_granted_within_the_bounds_of_the_rfc() {
    let mut world = World::new();
    let mut client = world.allocated();
    for (asked, granted) in [(1, 600), (600, 600), (1_800, 1_800), (3_600, 3_600), (u32::MAX, 3_600)] {
        assert_eq!(client.refresh(&mut world, asked).number(ATTR_LIFETIME), granted, "{asked}");
    }
    assert_eq!(client.ask(&mut world, request(METHOD_REFRESH)).number(ATTR_LIFETIME), 600);
    world.pass(Duration::from_secs(599));
    assert_eq!(world.server.len(), 1);
    world.pass(Duration::from_secs(1));
    assert!(world.server.is_empty(), "a shorter lifetime holds too");
}

#[test]
fn no_refresh_goes_beyond_the_longest_life() {
    let mut world = World::new();
    world.push(|config| config.max_lifetime_seconds = 1_000);
    let mut client = world.allocated();
    world.pass(Duration::from_secs(500));
    assert_eq!(client.refresh(&mut world, 600).number(ATTR_LIFETIME), 500);
    world.pass(Duration::from_millis(499_500));
    assert_eq!(client.refresh(&mut world, 600).code(), 437, "its last second");
    world.pass(Duration::from_millis(500));
    assert!(world.server.is_empty());
}

#[test]
fn an_allocation_that_is_given_back_ends_at_once() {
    let mut world = World::new();
    let mut client = world.allocated();
    let answer = client.refresh(&mut world, 0);
    assert_eq!(answer.number(ATTR_LIFETIME), 0);
    assert!(world.server.is_empty() && world.io.relays.is_empty());
    assert_eq!(world.events.last(), Some(&Event::Ended { port: client.port() }));
    assert_eq!(client.refresh(&mut world, 600).code(), 437);
    assert_eq!(client.permit(&mut world, &["8.8.8.8:1"]).code(), 437);
    assert!(client.allocate(&mut world).is_success());
    world.check();
}

#[test]
fn a_refresh_of_the_other_family_is_refused() {
    let mut world = World::new();
    let mut client = world.allocated();
    let other = request(METHOD_REFRESH).with(ATTR_REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0]);
    assert_eq!(client.ask(&mut world, other).code(), 443);
    let same = request(METHOD_REFRESH).with(ATTR_REQUESTED_ADDRESS_FAMILY, &[1, 0, 0, 0]);
    assert!(client.ask(&mut world, same).is_success());
}

#[test]
fn a_released_port_rests_before_it_is_used_again() {
    let mut world = World::with(
        plenum_turn_core::ServerConfig {
            ports: plenum_protocol::ports::PortRange { min: 50_000, max: 50_000 },
            ..crate::support::world::server_config()
        },
        crate::support::world::relay_config(),
    );
    let mut client = world.allocated();
    client.refresh(&mut world, 0);
    world.pass(Duration::from_millis(9_999));
    assert_eq!(client.allocate(&mut world).code(), 508);
    world.pass(Duration::from_millis(1));
    assert!(client.allocate(&mut world).is_success());
}

#[test]
fn a_late_timer_lets_nothing_pass_that_expired() {
    let mut world = World::new();
    let mut client = world.allocated();
    client.bind(&mut world, 0x4000, "8.8.8.8:4000");
    let port = client.port();
    // The owner is late: nobody called handle_timeout.
    world.now += Duration::from_secs(601);
    client.send_channel(&mut world, 0x4000, b"late");
    world.peer_sends(port, "8.8.8.8:4000", b"late");
    assert!(world.at_peers().is_empty() && world.at_clients().is_empty());
    assert_eq!(client.refresh(&mut world, 600).code(), 437);
    let mut again = world.client(RelayTransport::Udp, "192.0.2.11:1", "SE_1", Some(Scope::Peers));
    assert!(again.allocate(&mut world).is_success());
}

#[test]
fn a_relay_that_leaves_ends_what_nobody_uses_and_keeps_the_rest() {
    let mut world = World::new();
    let mut used = world.allocated();
    let mut left = world.client(RelayTransport::Tcp, "192.0.2.11:1000", "SE_2", Some(Scope::Peers));
    assert!(left.allocate(&mut world).is_success());
    assert!(used.permit(&mut world, &["8.8.8.8:4000"]).is_success());
    let talk = |world: &mut World| {
        used.send(world, "8.8.8.8:4000", b"a check");
        world.pass(Duration::from_secs(20));
    };
    for _ in 0..5 {
        talk(&mut world);
    }
    assert_eq!(world.server.len(), 2, "a relay that stays keeps what is quiet");
    world.push(|config| config.accepting = false);
    for _ in 0..5 {
        talk(&mut world);
        world.push(|_| {});
    }
    assert_eq!((world.server.len(), world.server.counters().idle), (1, 1));
    assert!(world.server.allocation(used.port()).is_some() && world.io.closed_clients.contains(&left.id));
    world.push(|config| config.accepting = true);
    world.pass(Duration::from_secs(100));
    assert_eq!(world.server.len(), 1, "it stays after all");
    world.check();
}

#[test]
fn a_relay_that_leaves_again_gives_the_quiet_their_whole_time_again() {
    let mut world = World::new();
    world.allocated();
    for accepting in [false, true, false] {
        world.push(|config| config.accepting = accepting);
        world.pass(Duration::from_secs(5));
    }
    world.pass(Duration::from_secs(24));
    assert_eq!(world.server.len(), 1, "what was seen before it stayed does not count");
    world.pass(Duration::from_secs(1));
    assert!(world.server.is_empty());
}
