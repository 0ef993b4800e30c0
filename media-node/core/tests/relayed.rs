//! Who comes by a relay, and rooms that only relayed clients may use.

use crate::support::net::{Make, Net, ROOM, limits, relay};
use plenum_media_core::{CloseReason, Event, Path, RelayTable, RoomLimits, SessionStats};
use plenum_protocol::relay::RelaySource;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

const FIRST: [u8; 4] = [10, 0, 0, 8];
const SECOND: [u8; 4] = [10, 0, 0, 9];

fn by(relay: [u8; 4], port: u16) -> SocketAddr {
    SocketAddr::from((relay, port))
}

fn set_relays(net: &mut Net, relays: &[RelaySource]) {
    net.engine.set_relays(Arc::new(RelayTable::new(relays).unwrap()));
}

fn relays_only(net: &mut Net) {
    net.engine.add_room(ROOM, RoomLimits { relay_only: true, ..limits(2_000) }).unwrap();
}

fn leg(net: &Net, place: usize) -> SessionStats {
    let key = net.clients[place].key;
    net.engine.legs(ROOM).into_iter().find(|leg| leg.session == key).unwrap()
}

fn pod(net: &Net, place: usize) -> Option<String> {
    leg(net, place).relay.map(|relay| relay.pod.clone())
}

#[test]
fn a_leg_is_known_by_the_relay_that_it_comes_from() {
    let mut net = Net::new(141);
    set_relays(&mut net, &[relay("turn-0", FIRST), relay("turn-1", SECOND)]);
    let publisher = net.connect_from(by(SECOND, 61_007), Make::Rtc, None);
    let subscriber = net.connect(Make::Rtc, Some(publisher));
    assert_eq!((pod(&net, publisher).as_deref(), pod(&net, subscriber)), (Some("turn-1"), None));
    let paths = net.events.iter().filter_map(|event| match event {
        Event::SessionConnected { path, .. } => Some(*path),
        _ => None,
    });
    let direct = Path { remote: net.clients[subscriber].address, relayed: false };
    assert_eq!(paths.collect::<Vec<_>>(), [Path { remote: by(SECOND, 61_007), relayed: true }, direct]);
}

#[test]
fn a_relay_that_becomes_known_later_is_told_once_and_one_that_goes_keeps_its_legs() {
    let mut net = Net::new(142);
    let publisher = net.connect_from(by(FIRST, 61_001), Make::Rtc, None);
    assert_eq!(pod(&net, publisher), None);
    set_relays(&mut net, &[relay("turn-0", FIRST)]);
    net.run(Duration::from_secs(3));
    let path = Path { remote: by(FIRST, 61_001), relayed: true };
    assert_eq!(net.events[1..], [Event::PathChanged { session: net.clients[publisher].key, path }]);
    set_relays(&mut net, &[]);
    net.run(Duration::from_secs(60));
    assert_eq!(pod(&net, publisher).as_deref(), Some("turn-0"));
    assert_eq!(net.events.len(), 2);
}

#[test]
fn a_room_for_relays_answers_no_direct_check_and_takes_relayed_ones() {
    for make in [Make::Rtc, Make::Str0m] {
        let mut net = Net::new(143);
        set_relays(&mut net, &[relay("turn-0", FIRST)]);
        relays_only(&mut net);
        let direct = net.open(make, None);
        let beside = net.open_from(by(FIRST, 60_999), make, None);
        net.run(Duration::from_secs(5));
        let strangers = [net.clients[direct].address, net.clients[beside].address];
        assert!(net.sent_by_node.iter().all(|(to, _)| !strangers.contains(to)), "{make:?}: something was answered");
        assert!(net.engine.counters().drops.stun_not_relayed >= 4, "{make:?}: {:?}", net.engine.counters());
        assert_eq!(net.engine.counters().sessions_connected, 0);
        let publisher = net.connect_from(by(FIRST, 61_000), make, None);
        let subscriber = net.connect_from(by(FIRST, 62_499), make, Some(publisher));
        net.clients[publisher].send_rtp(true, 1, 0, b"by the relay");
        net.run(Duration::from_millis(50));
        assert_eq!(net.clients[subscriber].video_payloads(), [b"by the relay".to_vec()], "{make:?}");
    }
}

#[test]
fn a_direct_session_is_ended_at_once_when_its_room_becomes_one_for_relays_and_a_relayed_one_stays() {
    let mut net = Net::new(144);
    set_relays(&mut net, &[relay("turn-0", FIRST)]);
    let publisher = net.connect_from(by(FIRST, 61_000), Make::Rtc, None);
    let relayed = net.connect_from(by(FIRST, 61_001), Make::Rtc, Some(publisher));
    let direct = net.connect(Make::Rtc, Some(publisher));
    let waiting = net.open(Make::Rtc, None);
    net.run(Duration::from_millis(40));
    relays_only(&mut net);
    relays_only(&mut net);
    net.run(Duration::from_millis(10));
    let closed =
        |place: usize| Event::SessionClosed { session: net.clients[place].key, reason: CloseReason::RelayRequired };
    assert_eq!(net.events[3..], [closed(direct), closed(waiting)]);
    let goodbye = net.sent_by_node.iter().rev().find(|(to, _)| *to == net.clients[direct].address);
    assert_eq!(goodbye.unwrap().1[0], 21, "a DTLS alert");
    net.clients[publisher].send_rtp(true, 1, 0, b"goes on");
    net.run(Duration::from_secs(60));
    assert_eq!(net.clients[relayed].video_payloads(), [b"goes on".to_vec()]);
    assert!(net.clients[direct].media.is_empty());
    assert_eq!(net.engine.legs(ROOM).len(), 2);
}

#[test]
fn a_session_that_has_left_its_direct_path_is_not_heard_on_it_any_more_in_a_room_for_relays() {
    let mut net = Net::new(145);
    set_relays(&mut net, &[relay("turn-0", FIRST)]);
    let publisher = net.connect(Make::Rtc, None);
    let before = net.clients[publisher].address;
    crate::ice_restart::restart_from(&mut net, publisher, by(FIRST, 61_000));
    net.run(Duration::from_secs(2));
    relays_only(&mut net);
    net.clients[publisher].send_rtp(true, 1, 0, b"late");
    let packet = net.clients[publisher].outbox.pop().unwrap();
    net.inject(before, packet);
    assert_eq!(net.engine.counters().drops.unknown_source, 1);
    assert_eq!(net.engine.legs(ROOM).len(), 1, "its relayed pair stays");
}

#[test]
fn in_a_room_for_relays_a_leg_whose_relay_left_the_list_ends_with_its_consent() {
    let mut net = Net::new(146);
    set_relays(&mut net, &[relay("turn-0", FIRST)]);
    relays_only(&mut net);
    let publisher = net.connect_from(by(FIRST, 61_000), Make::Rtc, None);
    set_relays(&mut net, &[]);
    net.run(Duration::from_secs(20));
    assert_eq!(pod(&net, publisher).as_deref(), Some("turn-0"));
    net.run(Duration::from_secs(15));
    let session = net.clients[publisher].key;
    assert_eq!(net.events.last(), Some(&Event::SessionClosed { session, reason: CloseReason::ConsentExpired }));
}

#[test]
fn all_bytes_of_a_leg_are_counted_both_ways() {
    let mut net = Net::new(147);
    let publisher = net.connect(Make::Rtc, None);
    let subscriber = net.connect(Make::Rtc, Some(publisher));
    for index in 0..50 {
        net.clients[publisher].send_rtp(true, index, index as u32, &[7; 900]);
        net.run(Duration::from_millis(20));
    }
    net.run(Duration::from_secs(3));
    for place in [publisher, subscriber] {
        let sent = net.sent_by_node.iter().filter(|(to, _)| *to == net.clients[place].address);
        let bytes: usize = sent.map(|(_, bytes)| bytes.len()).sum();
        assert_eq!(leg(&net, place).bytes.sent, bytes as u64);
    }
    let received = leg(&net, publisher).bytes.received + leg(&net, subscriber).bytes.received;
    assert_eq!(received, net.engine.counters().bytes_in, "nobody else spoke");
}
