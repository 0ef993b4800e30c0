//! An ICE restart moves a session to another network path; keys and media stay.

use crate::support::net::{Make, Net, ROOM, limits, relay};
use plenum_media_core::sdp::Fragment;
use plenum_media_core::{Event, Patched, RelayTable, RoomLimits, SessionError, SessionKey};
use plenum_protocol::control::IfMatch;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

fn fragment(credentials: &(String, String)) -> String {
    format!(
        "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n",
        credentials.0, credentials.1
    )
}

pub(crate) fn restart_from(net: &mut Net, place: usize, address: SocketAddr) {
    let now = net.now;
    let client = &mut net.clients[place];
    client.stack.restart(now, address);
    client.address = address;
    let text = fragment(&client.stack.credentials());
    let patched = net.engine.patch_session(now, net.clients[place].key, Some(&IfMatch::Any), &text).unwrap();
    let Patched::Restarted { fragment, etag } = patched else { panic!("not a restart") };
    let ice = Fragment::parse(&fragment).unwrap().ice.unwrap();
    assert_eq!(ice.ufrag, etag);
    let node = net.node;
    net.clients[place].stack.start(now, (&ice.ufrag, &ice.pwd), node);
}

/// Sessions whose path changed; fails when one was closed.
fn moves(net: &Net) -> Vec<SessionKey> {
    let moved = net.events.iter().filter_map(|event| match event {
        Event::PathChanged { session, .. } => Some(*session),
        Event::SessionConnected { .. } => None,
        Event::SessionClosed { .. } => panic!("{event:?}"),
    });
    moved.collect()
}

#[test]
fn a_subscriber_moves_to_another_address_and_media_follows() {
    for make in [Make::Rtc, Make::Str0m] {
        let mut net = Net::new(41);
        let publisher = net.connect(Make::Rtc, None);
        let subscriber = net.connect(make, Some(publisher));
        net.clients[publisher].send_rtp(true, 1, 0, b"before");
        net.run(Duration::from_millis(50));
        restart_from(&mut net, subscriber, "198.51.100.200:7777".parse().unwrap());
        net.run(Duration::from_secs(2));
        net.clients[publisher].send_rtp(true, 2, 0, b"after");
        net.run(Duration::from_millis(50));
        assert_eq!(net.clients[subscriber].video_payloads(), [b"before".to_vec(), b"after".to_vec()], "{make:?}");
        assert_eq!(moves(&net), [net.clients[subscriber].key], "the session stays connected");
    }
}

#[test]
fn a_publisher_moves_and_keeps_publishing() {
    let mut net = Net::new(42);
    let publisher = net.connect(Make::Rtc, None);
    let subscriber = net.connect(Make::Rtc, Some(publisher));
    restart_from(&mut net, publisher, "198.51.100.201:7777".parse().unwrap());
    net.run(Duration::from_secs(2));
    net.clients[publisher].send_rtp(true, 2, 0, b"after");
    net.run(Duration::from_millis(50));
    assert_eq!(net.clients[subscriber].video_payloads(), [b"after".to_vec()]);
    net.run(Duration::from_secs(40));
    assert_eq!(moves(&net), [net.clients[publisher].key], "checks under the new credentials renew the consent");
}

#[test]
fn a_keyframe_is_asked_for_as_soon_as_a_session_has_moved() {
    for moves_publisher in [false, true] {
        let mut net = Net::new(45);
        let publisher = net.connect(Make::Rtc, None);
        let subscriber = net.connect(Make::Rtc, Some(publisher));
        let mut next = 0;
        stream(&mut net, publisher, &mut next, Duration::from_secs(2));
        let before = net.clients[publisher].plis();
        let moving = if moves_publisher { publisher } else { subscriber };
        let new = "198.51.100.200:7777".parse().unwrap();
        restart_from(&mut net, moving, new);
        let deadline = net.now + Duration::from_secs(2);
        let key = net.clients[moving].key;
        while net.engine.legs(ROOM).iter().any(|leg| leg.session == key && leg.remote != Some(new)) {
            assert!(net.now < deadline, "no nomination");
            net.run(Duration::from_millis(5));
        }
        net.run(Duration::from_millis(30));
        assert_eq!(net.clients[publisher].plis(), before + 1, "the publisher moved: {moves_publisher}");
    }
}

/// Sends numbered video packets for `span`, one every 20 ms.
fn stream(net: &mut Net, publisher: usize, next: &mut u64, span: Duration) {
    let end = net.now + span;
    while net.now < end {
        net.clients[publisher].send_rtp(true, *next, *next as u32, &next.to_be_bytes());
        *next += 1;
        net.run(Duration::from_millis(20));
    }
}

/// The old relay works until the new one is nominated, as when credentials or pods are changed on purpose.
fn nothing_is_lost_between_two_relays(make: Make, publisher_moves: bool) {
    let mut net = Net::new(44);
    let relays = [relay("turn-0", [10, 0, 0, 8]), relay("turn-1", [10, 0, 0, 9])];
    net.engine.set_relays(Arc::new(RelayTable::new(&relays).unwrap()));
    net.engine.add_room(ROOM, RoomLimits { relay_only: true, ..limits(2_000) }).unwrap();
    let publisher = net.connect_from("10.0.0.8:61000".parse().unwrap(), Make::Rtc, None);
    let subscriber = net.connect_from("10.0.0.8:61001".parse().unwrap(), make, Some(publisher));
    let moving = if publisher_moves { publisher } else { subscriber };
    let old = net.clients[moving].address;
    let relay_of = |net: &Net| {
        let mut legs = net.engine.legs(ROOM).into_iter();
        let leg = legs.find(|leg| leg.session == net.clients[moving].key).unwrap();
        leg.relay.unwrap().pod.clone()
    };
    let mut next = 0;
    stream(&mut net, publisher, &mut next, Duration::from_millis(500));
    // The client has the new credentials, but gathering takes a while: the old pair carries on.
    let now = net.now;
    let new = "10.0.0.9:61000".parse().unwrap();
    net.clients[moving].old_address = Some(old);
    net.clients[moving].stack.restart(now, new);
    net.clients[moving].address = new;
    let text = fragment(&net.clients[moving].stack.credentials());
    let patched = net.engine.patch_session(now, net.clients[moving].key, Some(&IfMatch::Any), &text).unwrap();
    let Patched::Restarted { fragment, .. } = patched else { panic!("not a restart") };
    let from = net.sent_by_node.len();
    stream(&mut net, publisher, &mut next, Duration::from_secs(3));
    let media = |(to, bytes): &&(SocketAddr, Vec<u8>)| bytes[0] >= 128 && (*to == old || *to == new);
    assert!(net.sent_by_node[from..].iter().filter(media).all(|(to, _)| *to == old));
    assert_eq!(relay_of(&net), "turn-0");
    let ice = Fragment::parse(&fragment).unwrap().ice.unwrap();
    let node = net.node;
    net.clients[moving].stack.start(net.now, (&ice.ufrag, &ice.pwd), node);
    let before = net.now;
    while relay_of(&net) != "turn-1" {
        assert!(net.now < before + Duration::from_secs(2), "{make:?}: no nomination: {:?}", net.engine.counters());
        stream(&mut net, publisher, &mut next, Duration::from_millis(20));
    }
    // The client's own agent follows within a round trip; then the old relay is gone.
    stream(&mut net, publisher, &mut next, Duration::from_millis(200));
    net.clients[moving].old_address = None;
    let from = net.sent_by_node.len();
    stream(&mut net, publisher, &mut next, Duration::from_secs(35));
    net.run(Duration::from_millis(50));
    assert!(net.sent_by_node[from..].iter().all(|(to, _)| *to != old), "{make:?}: the old pair is not used any more");
    let expected: Vec<_> = (0..next).map(|index| index.to_be_bytes().to_vec()).collect();
    assert_eq!(net.clients[subscriber].video_payloads(), expected, "{make:?}");
    assert_eq!(moves(&net), [net.clients[moving].key]);
}

#[test]
fn a_subscriber_moves_from_one_relay_to_another_without_losing_a_packet() {
    nothing_is_lost_between_two_relays(Make::Rtc, false);
    nothing_is_lost_between_two_relays(Make::Str0m, false);
}

#[test]
fn a_publisher_moves_from_one_relay_to_another_without_losing_a_packet() {
    nothing_is_lost_between_two_relays(Make::Rtc, true);
}

#[test]
fn preconditions_are_checked() {
    let mut net = Net::new(43);
    let publisher = net.connect(Make::Rtc, None);
    let (now, key) = (net.now, net.clients[publisher].key);
    let trickle = "a=candidate:1 1 udp 1 192.0.2.1 5 typ host\r\n";
    let mut patch = |if_match: Option<IfMatch>| net.engine.patch_session(now, key, if_match.as_ref(), trickle);
    assert!(matches!(patch(None), Err(SessionError::PreconditionRequired)));
    assert!(matches!(patch(Some(IfMatch::Etag("old".into()))), Err(SessionError::PreconditionFailed)));
    assert_eq!(patch(Some(IfMatch::Any)).unwrap(), Patched::Trickled);
}
