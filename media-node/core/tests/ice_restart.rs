//! An ICE restart moves a session to another network path; keys and media stay.

use crate::support::net::{Make, Net};
use plenum_media_core::sdp::Fragment;
use plenum_media_core::{Patched, SessionError};
use plenum_protocol::control::IfMatch;
use std::net::SocketAddr;
use std::time::Duration;

fn fragment(credentials: &(String, String)) -> String {
    format!(
        "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n",
        credentials.0, credentials.1
    )
}

fn restart_from(net: &mut Net, place: usize, address: SocketAddr) {
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
        assert_eq!(net.events.len(), 2, "the session stays connected");
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
    assert_eq!(net.events.len(), 2, "checks under the new credentials renew the consent");
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
