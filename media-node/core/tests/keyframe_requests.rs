//! Keyframe requests are merged, throttled, and quick when it matters.

use crate::support::client::{Heard, VIDEO_SSRC};
use crate::support::net::{Make, Net};
use std::time::Duration;

fn stream(net: &mut Net, publisher: usize, from: u64, packets: u64) {
    for number in from..from + packets {
        net.clients[publisher].send_rtp(true, number, number as u32 * 3_000, b"frame");
        net.run(Duration::from_millis(20));
    }
}

#[test]
fn a_new_subscriber_makes_one_request_at_once() {
    let mut net = Net::new(31);
    let publisher = net.connect(Make::Rtc, None);
    stream(&mut net, publisher, 0, 10);
    assert_eq!(net.clients[publisher].plis(), 0);
    let connected = {
        net.connect(Make::Rtc, Some(publisher));
        net.now
    };
    net.run(Duration::from_millis(50));
    let plis: Vec<_> =
        net.clients[publisher].heard.iter().filter(|(_, heard)| *heard == Heard::Pli(VIDEO_SSRC)).collect();
    assert_eq!(plis.len(), 1);
    // It left with the subscriber's last handshake message, a network delay before the client itself was ready.
    assert!(plis[0].0 <= connected + Duration::from_millis(15));
}

#[test]
fn a_storm_of_requests_becomes_one() {
    let mut net = Net::new(32);
    let publisher = net.connect(Make::Rtc, None);
    stream(&mut net, publisher, 0, 5);
    let subscribers: Vec<usize> = (0..5).map(|_| net.connect(Make::Rtc, Some(publisher))).collect();
    stream(&mut net, publisher, 5, 40);
    let before = net.clients[publisher].plis();
    for _ in 0..10 {
        for subscriber in &subscribers {
            let client = &mut net.clients[*subscriber];
            let ssrc = client.media.last().unwrap().ssrc;
            client.send_rtcp(|writer| assert!(writer.receiver_report(1, &[]) && writer.picture_loss(1, ssrc)));
        }
        net.run(Duration::from_millis(20));
    }
    assert_eq!(net.clients[publisher].plis(), before + 1);
    net.run(Duration::from_secs(1));
    // What came within the pause is one more request after it, then silence.
    assert_eq!(net.clients[publisher].plis(), before + 2);
    assert!(net.engine.counters().keyframes_wanted >= 50);
}

#[test]
fn requests_for_sources_of_others_are_ignored() {
    let mut net = Net::new(33);
    let publisher = net.connect(Make::Rtc, None);
    stream(&mut net, publisher, 0, 5);
    let subscriber = net.connect(Make::Rtc, Some(publisher));
    net.run(Duration::from_secs(1));
    let before = net.clients[publisher].plis();
    net.clients[subscriber]
        .send_rtcp(|writer| assert!(writer.receiver_report(1, &[]) && writer.picture_loss(1, 12_345)));
    net.run(Duration::from_secs(1));
    assert_eq!(net.clients[publisher].plis(), before);
}
