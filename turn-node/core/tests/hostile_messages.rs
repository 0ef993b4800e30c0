//! Whatever clients and peers send: no panic, no growth beyond the bounds, no harm to others.

use crate::support::client::{Client, allocate_request, channel_data, request};
use crate::support::world::{PUBLIC, World, address};
use plenum_testing::Dice;
use proptest::prelude::*;
use rtc_stun::attributes::*;
use rtc_stun::message::*;
use std::time::Duration;

fn still_works(world: &mut World, client: &Client) {
    world.at_peers();
    world.at_clients();
    client.send_channel(world, 0x4000, b"still there");
    world.peer_sends(client.port(), PUBLIC, b"still there");
    assert_eq!((world.at_peers().len(), world.at_clients().len()), (1, 1), "{:?}", world.server.counters());
    world.check();
}

#[test]
fn noise_from_anywhere_does_no_harm() {
    let mut world = World::new();
    let mut client = world.allocated();
    client.bind(&mut world, 0x4000, PUBLIC);
    let mut dice = Dice::new(1);
    let memory = world.server.memory();
    for round in 0..20_000 {
        let len = dice.below(300) as usize;
        let mut bytes = dice.bytes(len);
        if bytes.len() >= 8 {
            // Three quarters look like STUN.
            match round % 4 {
                0 => {}
                _ => {
                    bytes[0] = (round % 3) as u8;
                    let body = bytes.len().saturating_sub(20) as u16;
                    bytes[2..4].copy_from_slice(&body.to_be_bytes());
                    bytes[4..8].copy_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
                }
            }
        }
        let mut id = client.id;
        if dice.chance(50) {
            id.remote = address("192.0.2.66:666");
        }
        world.deliver(id, &bytes);
        world.peer_sends(client.port(), "203.0.113.6:6", &bytes);
    }
    assert_eq!(world.server.memory(), memory);
    still_works(&mut world, &client);
}

#[test]
fn mutated_copies_of_real_requests_do_no_harm() {
    let mut world = World::new();
    let mut client = world.allocated();
    client.bind(&mut world, 0x4000, PUBLIC);
    let originals = [
        client.sign(allocate_request()).bytes(),
        client.sign(request(METHOD_REFRESH).with(ATTR_LIFETIME, &[0; 4])).bytes(),
        client.sign(request(METHOD_CREATE_PERMISSION).peer(address("9.9.9.9:1"))).bytes(),
        client
            .sign(request(METHOD_CHANNEL_BIND).with(ATTR_CHANNEL_NUMBER, &[0x40, 1, 0, 0]).peer(address("9.9.9.9:1")))
            .bytes(),
        channel_data(0x4000, b"payload", false),
    ];
    let mut dice = Dice::new(2);
    for _ in 0..20_000 {
        let mut bytes = dice.pick(&originals).clone();
        match dice.below(3) {
            0 => bytes.truncate(dice.below(bytes.len() as u64) as usize),
            1 => {
                let at = dice.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << dice.below(8);
            }
            _ => {
                let more = dice.below(40) as usize + 1;
                bytes.extend(dice.bytes(more));
            }
        }
        if bytes.first().is_some_and(|first| *first >= 4) {
            bytes[0] = 0x40;
        }
        world.deliver(client.id, &bytes);
    }
    let memory = world.server.memory();
    assert_eq!((memory.allocations, memory.permissions, memory.channels), (1, 1, 1), "nothing without a signature");
    still_works(&mut world, &client);
}

#[test]
fn a_hostile_client_with_credentials_cannot_grow_state_beyond_its_bounds() {
    let mut world = World::new();
    world.push(|config| config.quotas.allocations_per_user = 5);
    let mut dice = Dice::new(3);
    for index in 0..2_000u16 {
        world.pass(Duration::from_millis(10));
        let remote = format!("192.0.2.10:{}", 1_000 + index % 50);
        let mut client = world.client(plenum_protocol::turn::RelayTransport::Udp, &remote, "SE_1", None);
        client.allocate(&mut world);
        let peers: Vec<String> = (0..20).map(|_| format!("8.8.{}.{}:1", dice.below(250), dice.below(250))).collect();
        let peers: Vec<&str> = peers.iter().map(String::as_str).collect();
        client.permit(&mut world, &peers);
        client.bind(&mut world, 0x4000 + (dice.below(0x1000) as u16), peers[0]);
        client.refresh(&mut world, dice.below(4_000) as u32 + 1);
        world.check();
    }
    assert!(world.server.len() <= 5);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn any_sequence_of_messages_is_survived(
        messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..40)
    ) {
        let mut world = World::new();
        let mut client = world.allocated();
        client.bind(&mut world, 0x4000, PUBLIC);
        for message in &messages {
            world.deliver(client.id, message);
            world.peer_sends(client.port(), PUBLIC, message);
        }
        world.at_clients();
        world.at_peers();
        prop_assert_eq!(world.server.len(), 1);
        still_works(&mut world, &client);
    }
}
