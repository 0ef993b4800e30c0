//! Whatever the network sends: no panic, no growth, no harm to those who are connected.

use crate::support::net::{Make, Net, ROOM};
use proptest::prelude::*;
use std::net::SocketAddr;
use std::time::Duration;

fn stranger() -> SocketAddr {
    "192.0.2.66:666".parse().unwrap()
}

fn still_works(net: &mut Net, publisher: usize, subscriber: usize, index: u64) {
    let before = net.clients[subscriber].media.len();
    net.clients[publisher].send_rtp(true, index, 0, b"still there");
    net.run(Duration::from_millis(50));
    assert_eq!(net.clients[subscriber].media.len(), before + 1, "{:?}", net.engine.counters());
}

#[test]
fn noise_from_anywhere_is_dropped_and_counted() {
    let mut net = Net::new(101);
    let publisher = net.connect(Make::Rtc, None);
    let subscriber = net.connect(Make::Rtc, Some(publisher));
    net.run(Duration::from_millis(200));
    let entries = net.engine.demux_entries();
    let addresses = [stranger(), net.clients[publisher].address, net.clients[subscriber].address];
    let before = net.engine.counters();
    for round in 0..6_000u64 {
        let len = net.dice.below(1_400) as usize;
        let mut bytes = net.dice.bytes(len);
        // A third looks like each of the kinds.
        if let Some(first) = bytes.first_mut() {
            *first = match round % 4 {
                0 => 0,
                1 => 22,
                2 => 0x80 | *first & 0x3f,
                _ => *first,
            };
        }
        let from = addresses[net.dice.below(3) as usize];
        net.inject(from, bytes);
    }
    let after = net.engine.counters();
    assert_eq!(after.drops.total() - before.drops.total(), 6_000, "{after:?}");
    assert_eq!(net.engine.demux_entries(), entries);
    assert_eq!(net.engine.legs(ROOM).len(), 2);
    still_works(&mut net, publisher, subscriber, 1);
}

#[test]
fn mutated_copies_of_real_packets_do_no_harm() {
    let mut net = Net::new(102);
    let publisher = net.connect(Make::Rtc, None);
    let subscriber = net.connect(Make::Rtc, Some(publisher));
    still_works(&mut net, publisher, subscriber, 1);
    let originals: Vec<Vec<u8>> = net.sent_by_node.iter().map(|(_, bytes)| bytes.clone()).collect();
    let addresses = [stranger(), net.clients[publisher].address, net.clients[subscriber].address];
    let entries = net.engine.demux_entries();
    for _ in 0..6_000 {
        let mut bytes = originals[net.dice.below(originals.len() as u64) as usize].clone();
        match net.dice.below(3) {
            0 => bytes.truncate(net.dice.below(bytes.len() as u64) as usize),
            1 => {
                let at = net.dice.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << net.dice.below(8);
            }
            _ => {
                let more = net.dice.below(40) as usize;
                bytes.extend(net.dice.bytes(more));
            }
        }
        let from = addresses[net.dice.below(3) as usize];
        net.inject(from, bytes);
    }
    assert!(net.engine.demux_entries() <= entries + 4);
    still_works(&mut net, publisher, subscriber, 2);
}

#[test]
fn a_replayed_check_from_elsewhere_does_not_take_the_media_away() {
    let mut net = Net::new(103);
    let publisher = net.connect(Make::Rtc, None);
    let subscriber = net.open(Make::Rtc, Some(publisher));
    // Every check of the subscriber is also sent from the attacker's address.
    for _ in 0..400 {
        let now = net.now;
        net.clients[subscriber].stack.tick(now);
        let mut own = Vec::new();
        while let Some(bytes) = net.clients[subscriber].stack.transmit() {
            own.push(bytes);
        }
        for bytes in own {
            let address = net.clients[subscriber].address;
            net.inject(stranger(), bytes.clone());
            net.inject(address, bytes);
        }
        net.step();
    }
    let key = net.clients[subscriber].key;
    let leg = net.engine.legs(ROOM).into_iter().find(|leg| leg.session == key).unwrap();
    assert_eq!(leg.remote, Some(net.clients[subscriber].address), "the attacker never answered a check");
    still_works(&mut net, publisher, subscriber, 1);
    assert!(net.sent_by_node.iter().all(|(to, bytes)| *to != stranger() || bytes[0] < 64), "no media to the attacker");
}

#[test]
fn replayed_and_forged_media_is_dropped() {
    let mut net = Net::new(104);
    let publisher = net.connect(Make::Rtc, None);
    let subscriber = net.connect(Make::Rtc, Some(publisher));
    net.clients[publisher].send_rtp(true, 5, 0, b"once");
    let packet = net.clients[publisher].outbox.pop().unwrap();
    let address = net.clients[publisher].address;
    for _ in 0..3 {
        net.inject(address, packet.clone());
    }
    net.inject(stranger(), packet);
    net.run(Duration::from_millis(50));
    let drops = net.engine.counters().drops;
    assert_eq!((drops.rtp_replayed, drops.unknown_source), (2, 1));
    assert_eq!(net.clients[subscriber].media.len(), 1);
}

#[test]
fn a_hostile_publisher_with_valid_keys_cannot_grow_state() {
    let mut net = Net::new(105);
    let publisher = net.connect(Make::Rtc, None);
    let address = net.clients[publisher].address;
    for ssrc in 0..500u32 {
        let mut packet = vec![0x80, 96, 0, 1, 0, 0, 0, 0];
        packet.extend(ssrc.to_be_bytes());
        packet.extend(b"x");
        net.clients[publisher].seal(packet, 12, 1);
        let packet = net.clients[publisher].outbox.pop().unwrap();
        net.inject(address, packet);
    }
    let drops = net.engine.counters().drops;
    assert_eq!(drops.rtp_too_many_ssrcs, 500 - 16);
    assert_eq!(drops.rtp_unexpected, 15, "one source at a time");
}

#[test]
fn a_hostile_client_cannot_check_from_any_number_of_addresses() {
    let mut net = Net::new(106);
    let publisher = net.open(Make::Rtc, None);
    let now = net.now;
    let mut check = None;
    while check.is_none() {
        net.step();
        net.clients[publisher].stack.tick(now + Duration::from_secs(1));
        check = net.clients[publisher].stack.transmit();
    }
    let entries = net.engine.demux_entries();
    for port in 1..400u16 {
        net.inject(SocketAddr::from(([192, 0, 2, 67], port)), check.clone().unwrap());
    }
    assert!(net.engine.demux_entries() <= entries + 2 * 16 + 1, "{}", net.engine.demux_entries());
    let drops = net.engine.counters().drops;
    assert!(drops.stun_too_many_sources > 100 && drops.stun_too_frequent > 100, "{drops:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn any_sequence_of_datagrams_is_survived(
        datagrams in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..40)
    ) {
        let mut net = Net::new(107);
        net.open(Make::Rtc, None);
        for datagram in datagrams {
            net.inject(stranger(), datagram);
        }
        prop_assert_eq!(net.engine.legs(ROOM).len(), 1);
    }
}
