//! Strangers: nothing is kept of them, little is answered, nobody is harmed.

use crate::support::client::{Client, Request, allocate_request, request};
use crate::support::world::{PUBLIC, World, address};
use plenum_protocol::turn::{RelayTransport, Scope};
use plenum_turn_core::{ClientId, Method, Outcome};
use rtc_stun::attributes::*;
use rtc_stun::message::*;
use std::net::SocketAddr;
use std::time::Duration;

fn stranger(index: u32) -> ClientId {
    let remote = SocketAddr::from((std::net::Ipv4Addr::from_bits(0x1000_0000 + (index << 8)), 1_000));
    ClientId { transport: RelayTransport::Udp, remote, stream: 0 }
}

#[test]
fn anybody_may_ask_for_their_address() {
    let mut world = World::new();
    for remote in ["192.0.2.10:1000", "[2001:db8::5]:1000"] {
        let id = ClientId { transport: RelayTransport::Udp, remote: address(remote), stream: 0 };
        let answer = world.exchange(id, &request(METHOD_BINDING).bytes()).unwrap();
        assert!(answer.is_success() && !answer.has(ATTR_FINGERPRINT) && !answer.has(ATTR_SOFTWARE));
        assert_eq!(answer.address(ATTR_XORMAPPED_ADDRESS), address(remote));
        let answer = world.exchange(id, &request(METHOD_BINDING).fingerprint().bytes()).unwrap();
        assert!(answer.has(ATTR_FINGERPRINT));
        let answer = world.exchange(id, &request(METHOD_BINDING).with(AttrType(0x0003), &[0; 4]).bytes()).unwrap();
        assert_eq!((answer.code(), answer.attribute(ATTR_UNKNOWN_ATTRIBUTES)), (420, vec![0, 3]));
    }
    world.deliver(stranger(1), &Request::new(METHOD_BINDING, CLASS_INDICATION).bytes());
    assert_eq!(world.server.counters().keep_alives, 1);
    assert!(world.io.to_clients.is_empty());
}

#[test]
fn an_answer_to_a_stranger_is_hardly_larger_than_the_question() {
    let mut world = World::new();
    for (what, question, most) in [
        ("allocate", allocate_request().bytes(), 68),
        ("refresh", request(METHOD_REFRESH).bytes(), 68),
        ("binding", request(METHOD_BINDING).bytes(), 32),
        (
            "unknown",
            (0..20).fold(request(METHOD_BINDING), |it, kind| it.with(AttrType(0x7000 + kind), &[])).bytes(),
            48,
        ),
    ] {
        let answer = world.exchange(stranger(1), &question).unwrap();
        assert!(answer.bytes.len() <= most, "{what}: {} bytes for {}", answer.bytes.len(), question.len());
    }
}

#[test]
fn a_flood_keeps_nothing_and_is_answered_at_a_bounded_rate() {
    let mut world = World::new();
    let before = world.server.memory();
    let messages: Vec<Vec<u8>> = vec![
        allocate_request().bytes(),
        request(METHOD_BINDING).bytes(),
        Client::new(stranger(0), "1800000000:SE_1:peers", "guess").sign(allocate_request()).bytes(),
    ];
    for index in 0..300_000u32 {
        let message = &messages[(index % 3) as usize];
        world.server.handle_client(world.now, world.unix, stranger(index), message, &mut world.io);
        world.now += Duration::from_micros(10);
    }
    assert_eq!(world.server.memory(), before);
    let answered = world.at_clients().len();
    assert!((39_000..=41_000).contains(&answered), "{answered} in three seconds, with a burst of one");
    assert_eq!(world.server.counters().drops.unauthenticated_limited, 300_000 - answered as u64);
}

#[test]
fn one_network_cannot_take_the_answers_of_others() {
    let mut world = World::new();
    for _ in 0..5_000 {
        world.server.handle_client(world.now, world.unix, stranger(7), &allocate_request().bytes(), &mut world.io);
    }
    assert_eq!(world.at_clients().len(), 200);
    assert_eq!(world.exchange(stranger(8), &allocate_request().bytes()).unwrap().code(), 401);
}

#[test]
fn those_who_are_known_and_those_on_streams_do_not_share_the_bound() {
    let mut world = World::new();
    let mut client = world.allocated();
    client.bind(&mut world, 0x4000, PUBLIC);
    for index in 0..50_000 {
        world.server.handle_client(world.now, world.unix, stranger(index), &allocate_request().bytes(), &mut world.io);
    }
    world.at_clients();
    assert!(world.exchange(stranger(1), &allocate_request().bytes()).is_none(), "the bound is reached");
    assert!(world.exchange(client.id, &request(METHOD_BINDING).bytes()).unwrap().is_success());
    client.nonce = "stale".into();
    let answer = client.refresh(&mut world, 600);
    assert_eq!(answer.code(), 438);
    client.nonce = answer.text(ATTR_NONCE);
    assert!(client.refresh(&mut world, 600).is_success());
    client.send_channel(&mut world, 0x4000, b"on it goes");
    assert_eq!(world.at_peers().len(), 1);
    let mut stream = world.client(RelayTransport::Tcp, "192.0.2.77:1", "SE_2", Some(Scope::Peers));
    assert!(stream.allocate(&mut world).is_success());
}

#[test]
fn before_there_is_a_configuration_nothing_is_answered() {
    let mut world = World::new();
    world.server = plenum_turn_core::Server::new(crate::support::world::server_config(), world.now);
    assert!(world.exchange(stranger(1), &request(METHOD_BINDING).bytes()).is_none());
    assert_eq!(world.server.counters().drops.unconfigured, 1);
}

#[test]
fn what_no_client_sends_is_not_answered() {
    let mut world = World::new();
    for class in [CLASS_SUCCESS_RESPONSE, CLASS_ERROR_RESPONSE] {
        world.deliver(stranger(1), &Request::new(METHOD_ALLOCATE, class).bytes());
    }
    world.deliver(stranger(1), &Request::new(METHOD_DATA, CLASS_INDICATION).bytes());
    world.deliver(stranger(1), &request(METHOD_CONNECT).bytes());
    assert_eq!(world.server.counters().drops.unexpected, 4);
    assert!(world.io.to_clients.is_empty());
    assert_eq!(world.server.counters().requests(Method::Allocate, Outcome::Unauthorized), 0);
}

#[test]
fn the_address_of_a_known_client_cannot_be_flooded_with_answers_either() {
    let mut world = World::new();
    let client = world.allocated();
    for _ in 0..5_000 {
        world.server.handle_client(world.now, world.unix, client.id, &allocate_request().bytes(), &mut world.io);
    }
    assert_eq!(world.at_clients().len(), 20);
    world.pass(Duration::from_secs(1));
    assert!(world.exchange(client.id, &request(METHOD_BINDING).bytes()).unwrap().is_success());
}
