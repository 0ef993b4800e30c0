//! A request that is sent again gets the answer of the first time, and does nothing twice.

use crate::support::client::{allocate_request, request};
use crate::support::world::{World, address};
use plenum_protocol::turn::{RelayTransport, Scope};
use rtc_stun::attributes::*;
use rtc_stun::message::*;
use std::time::Duration;

#[test]
fn the_answer_is_the_same_to_the_byte() {
    let mut world = World::new();
    let mut client = world.client(RelayTransport::Udp, "192.0.2.10:1", "SE_1", Some(Scope::Peers));
    client.greet(&mut world);
    let requests = [
        allocate_request().with(AttrType(0x8000), &[2, 0, 0, 0]),
        request(METHOD_REFRESH).with(ATTR_LIFETIME, &1_800u32.to_be_bytes()),
        request(METHOD_CREATE_PERMISSION).peer(address("8.8.8.8:1")),
        request(METHOD_CREATE_PERMISSION).peer(address("10.0.0.1:1")),
        request(METHOD_CHANNEL_BIND).with(ATTR_CHANNEL_NUMBER, &[0x40, 0, 0, 0]).peer(address("8.8.8.8:1")),
        request(METHOD_CHANNEL_BIND).with(ATTR_CHANNEL_NUMBER, &[0x40, 0, 0, 0]).peer(address("8.8.8.8:2")),
        request(METHOD_REFRESH).with(ATTR_LIFETIME, &[0; 4]),
    ];
    for (index, request) in requests.into_iter().enumerate() {
        let signed = client.sign(request).fingerprint().bytes();
        let first = world.exchange(client.id, &signed).unwrap();
        for _ in 0..6 {
            world.pass(Duration::from_millis(500));
            let again = world.exchange(client.id, &signed).unwrap();
            assert_eq!(first.bytes, again.bytes, "request {index}");
        }
    }
    assert_eq!(world.server.counters().replayed, 7 * 6);
    assert_eq!(world.io.opened, 1);
    assert!(world.server.is_empty());
    world.check();
}

#[test]
fn a_late_copy_of_a_give_back_does_not_take_the_next_allocation() {
    let mut world = World::new();
    let mut client = world.allocated();
    let give_back = client.sign(request(METHOD_REFRESH).with(ATTR_LIFETIME, &[0; 4])).bytes();
    assert!(world.exchange(client.id, &give_back).unwrap().is_success());
    assert!(client.allocate(&mut world).is_success());
    assert_eq!(world.exchange(client.id, &give_back).unwrap().number(ATTR_LIFETIME), 0);
    assert_eq!(world.server.len(), 1);
    world.pass(Duration::from_secs(41));
    assert_eq!(world.server.len(), 1);
}

#[test]
fn an_allocate_that_is_sent_again_after_its_credential_expired_is_answered() {
    let mut world = World::new();
    let mut client = world.client(RelayTransport::Udp, "192.0.2.10:1", "SE_1", Some(Scope::Peers));
    world.unix += 3_600;
    client.greet(&mut world);
    let signed = client.sign(allocate_request()).bytes();
    assert!(world.exchange(client.id, &signed).unwrap().is_success());
    world.unix += 1;
    assert!(world.exchange(client.id, &signed).unwrap().is_success());
}

#[test]
fn ends_that_are_remembered_are_bounded_and_forgotten() {
    let mut world = World::new();
    for index in 0..400 {
        let mut client =
            world.client(RelayTransport::Udp, &format!("192.0.2.10:{}", index + 1), "SE_1", Some(Scope::Peers));
        assert!(client.allocate(&mut world).is_success());
        client.refresh(&mut world, 0);
        world.pass(Duration::from_millis(120));
    }
    assert_eq!(world.server.memory().remembered_ends, 256);
    world.pass(Duration::from_secs(60));
    world.allocated().refresh(&mut world, 0);
    assert_eq!(world.server.memory().remembered_ends, 1);
}
