//! What is refused, and with which words.

use crate::support::net::{Make, Net, ROOM, limits};
use crate::support::offer::{Way, offer};
use plenum_media_core::{RoomKey, RoomLimits, SessionError, SessionKey, SessionKind, SessionSpec};
use plenum_protocol::problem::Code;

fn text(way: Way) -> String {
    let fingerprint = vec!["AB"; 32].join(":");
    offer(way, &("abcd".into(), "0123456789012345678901".into()), &fingerprint)
}

fn open(net: &mut Net, room: RoomKey, kind: SessionKind, offer: &str) -> Result<String, SessionError> {
    let spec = SessionSpec { id: SessionKey(7), kind, offer };
    net.engine.open_session(net.now, room, spec).map(|answer| answer.sdp)
}

#[test]
fn the_answer_names_the_node_its_bound_and_the_codecs_of_the_offer() {
    let mut net = Net::new(91);
    let sdp = open(&mut net, ROOM, SessionKind::Publish, &text(Way::SendOnly)).unwrap();
    for line in [
        "a=ice-lite",
        "a=group:BUNDLE 0 1",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "m=video 9 UDP/TLS/RTP/SAVPF 96",
        "b=TIAS:2000000",
        "a=setup:passive",
        "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid",
        "a=recvonly",
        "a=candidate:1 1 udp 2130706431 203.0.113.5 20000 typ host",
        "a=end-of-candidates",
    ] {
        assert!(sdp.lines().any(|found| found == line), "{line} is missing in {sdp}");
    }
    assert!(sdp.contains("a=ice-ufrag:w0aa"));
    assert!(!sdp.contains("rtx"));
}

#[test]
fn refusals_have_codes_and_leave_nothing_behind() {
    let mut net = Net::new(92);
    let code = |result: Result<String, SessionError>| result.unwrap_err().code();
    let publish = text(Way::SendOnly);
    let gone = SessionKind::Subscribe { publication: SessionKey(55) };
    assert_eq!(code(open(&mut net, RoomKey(9), SessionKind::Publish, &publish)), Code::NotFound);
    assert_eq!(code(open(&mut net, ROOM, gone, &text(Way::RecvOnly))), Code::NotFound);
    assert_eq!(code(open(&mut net, ROOM, SessionKind::Publish, "v=1")), Code::BadSdp);
    assert_eq!(code(open(&mut net, ROOM, SessionKind::Publish, &text(Way::RecvOnly))), Code::BadSdp);
    assert_eq!(net.engine.demux_entries(), 0);
    assert!(net.engine.legs(ROOM).is_empty());
}

#[test]
fn a_full_room_takes_no_more() {
    let mut net = Net::new(93);
    let limits = RoomLimits { max_sessions: 1, ..limits(0) };
    net.engine.add_room(ROOM, limits).unwrap();
    net.open(Make::Rtc, None);
    let result = open(&mut net, ROOM, SessionKind::Publish, &text(Way::SendOnly));
    assert_eq!(result.unwrap_err().code(), Code::Full);
}

#[test]
fn a_publication_of_another_room_cannot_be_subscribed_to() {
    let mut net = Net::new(94);
    let publisher = net.open(Make::Rtc, None);
    let publication = net.clients[publisher].key;
    let other = RoomKey(2);
    net.engine.add_room(other, limits(0)).unwrap();
    let result = open(&mut net, other, SessionKind::Subscribe { publication }, &text(Way::RecvOnly));
    assert!(matches!(result, Err(SessionError::NoPublication)));
}

#[test]
fn a_wrong_certificate_ends_the_handshake() {
    use plenum_media_core::{CloseReason, Event};
    let mut net = Net::new(95);
    let place = net.open(Make::Rtc, None);
    // The same client again, but the node was told another fingerprint.
    let first = net.clients.remove(place);
    net.command(|engine, now, arena| assert!(engine.close_session(now, first.key, arena)));
    let mut client = first;
    let now = net.now;
    client.stack.restart(now, client.address);
    let lie = offer(Way::SendOnly, &client.stack.credentials(), &vec!["AB"; 32].join(":"));
    let spec = SessionSpec { id: client.key, kind: SessionKind::Publish, offer: &lie };
    let answer = net.engine.open_session(now, ROOM, spec).unwrap();
    let ice = plenum_media_core::sdp::Fragment::parse(&answer.sdp).unwrap().ice.unwrap();
    client.stack.start(now, (&ice.ufrag, &ice.pwd), net.node);
    let session = client.key;
    net.clients.push(client);
    net.run(std::time::Duration::from_secs(3));
    assert_eq!(net.events, [Event::SessionClosed { session, reason: CloseReason::HandshakeFailed }]);
}
