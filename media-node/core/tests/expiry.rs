//! Sessions whose client is gone end by themselves.

use crate::support::net::{Make, Net, ROOM};
use plenum_media_core::{CloseReason, Event};
use std::time::Duration;

#[test]
fn a_silent_client_loses_its_session_when_its_consent_expires() {
    let mut net = Net::new(51);
    let publisher = net.connect(Make::Rtc, None);
    let stays = net.connect(Make::Rtc, None);
    net.run(Duration::from_secs(60));
    assert_eq!(net.engine.legs(ROOM).len(), 2, "checks renew the consent");
    let gone = net.clients.remove(publisher);
    net.run(Duration::from_secs(27));
    assert_eq!(net.engine.legs(ROOM).len(), 2);
    net.run(Duration::from_secs(5));
    let expected = Event::SessionClosed { session: gone.key, reason: CloseReason::ConsentExpired };
    assert_eq!(net.events.last(), Some(&expected));
    assert_eq!(net.engine.legs(ROOM)[0].session, net.clients[stays - 1].key);
}

#[test]
fn a_client_that_never_comes_is_given_up_after_fifteen_seconds() {
    let mut net = Net::new(52);
    let opened = net.now;
    net.open(Make::Rtc, None);
    let gone = net.clients.remove(0);
    while net.events.is_empty() {
        net.step();
    }
    assert_eq!(net.events, [Event::SessionClosed { session: gone.key, reason: CloseReason::HandshakeTimeout }]);
    let took = net.now - opened;
    assert!((Duration::from_secs(15)..Duration::from_millis(15_100)).contains(&took), "{took:?}");
}

#[test]
fn media_without_checks_does_not_keep_a_session() {
    let mut net = Net::new(53);
    let publisher = net.connect(Make::Rtc, None);
    let address = net.clients[publisher].address;
    let mut gone = net.clients.remove(publisher);
    for index in 0..400 {
        gone.send_rtp(true, index, 0, b"still sending");
        let packet = gone.outbox.pop().unwrap();
        net.inject(address, packet);
        net.run(Duration::from_millis(100));
    }
    assert!(net.engine.counters().rtp_received > 250);
    assert_eq!(
        net.events.last(),
        Some(&Event::SessionClosed { session: gone.key, reason: CloseReason::ConsentExpired })
    );
}
