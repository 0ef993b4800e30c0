//! What a subscriber loses is answered from the cache, bit by bit as it was sent first.

use crate::support::net::{Make, Net};
use plenum_media_core::rtp::RtpHeader;
use std::collections::BTreeMap;
use std::time::Duration;

#[test]
fn lost_packets_are_answered_from_the_cache() {
    let mut net = Net::new(11);
    let publisher = net.connect(Make::Rtc, None);
    let subscriber = net.connect(Make::Rtc, Some(publisher));
    net.loss_down = 15;
    let mut expected = Vec::new();
    for number in 0..400u64 {
        let payload = format!("packet {number}");
        net.clients[publisher].send_rtp(true, 100 + number, number as u32, payload.as_bytes());
        expected.push(payload.into_bytes());
        net.run(Duration::from_millis(5));
        if number % 5 == 4 {
            ask_again(&mut net, subscriber);
        }
    }
    net.loss_down = 0;
    // The last packet shows where the end is.
    net.clients[publisher].send_rtp(true, 500, 500, b"end");
    expected.push(b"end".to_vec());
    net.run(Duration::from_millis(100));
    ask_again(&mut net, subscriber);
    net.run(Duration::from_millis(100));

    let mut received = net.clients[subscriber].video_payloads();
    received.sort();
    expected.sort();
    // What was lost before the first packet that came cannot be known to the subscriber.
    let known: Vec<_> = expected.into_iter().filter(|payload| received.binary_search(payload).is_ok()).collect();
    assert_eq!(received, known);
    assert!(net.clients[subscriber].missing_video().is_empty());
    assert!(received.len() > 390, "{}", received.len());
    assert!(net.engine.counters().rtp_resent > 30);
    resends_are_bit_exact(&net, subscriber);
}

fn ask_again(net: &mut Net, subscriber: usize) {
    let client = &mut net.clients[subscriber];
    let lost = client.missing_video();
    if let (false, Some(ssrc)) = (lost.is_empty(), client.media.first().map(|packet| packet.ssrc)) {
        client.send_rtcp(|writer| assert!(writer.receiver_report(1, &[]) && writer.nack(1, ssrc, &lost)));
    }
}

/// The same sequence number never carries other bytes: with GCM that would give the key away.
fn resends_are_bit_exact(net: &Net, subscriber: usize) {
    let mut seen: BTreeMap<(u32, u16), &[u8]> = BTreeMap::new();
    let address = net.clients[subscriber].address;
    let mut resent = 0;
    for (_, bytes) in net.sent_by_node.iter().filter(|(to, bytes)| *to == address && bytes[0] == 0x90) {
        let header = RtpHeader::parse(bytes).unwrap();
        if let Some(first) = seen.insert((header.ssrc, header.sequence), bytes) {
            assert_eq!(first, &bytes[..]);
            resent += 1;
        }
    }
    assert!(resent > 30);
}

#[test]
fn what_was_never_sent_or_is_long_gone_is_a_counted_miss() {
    let mut net = Net::new(12);
    let publisher = net.connect(Make::Rtc, None);
    let subscriber = net.connect(Make::Rtc, Some(publisher));
    net.clients[publisher].send_rtp(true, 1, 1, b"one");
    net.run(Duration::from_millis(50));
    let packet = net.clients[subscriber].media[0].clone();
    let (ahead, behind) = (packet.sequence.wrapping_add(5), packet.sequence.wrapping_sub(5));
    net.clients[subscriber].send_rtcp(|writer| {
        assert!(writer.receiver_report(1, &[]) && writer.nack(1, packet.ssrc, &[behind]));
        assert!(writer.nack(1, packet.ssrc, &[ahead]));
    });
    net.run(Duration::from_millis(50));
    assert_eq!(net.engine.counters().nack_misses, 2);
    assert_eq!(net.engine.counters().rtp_resent, 0);
}

#[test]
fn a_flood_of_requests_is_bounded() {
    let mut net = Net::new(13);
    let publisher = net.connect(Make::Rtc, None);
    let subscriber = net.connect(Make::Rtc, Some(publisher));
    for number in 0..100u64 {
        net.clients[publisher].send_rtp(true, number, 0, &[7; 1_000]);
    }
    net.run(Duration::from_millis(50));
    let first = net.clients[subscriber].media[0].clone();
    let all: Vec<u16> = (0..100).map(|at| first.sequence.wrapping_add(at)).collect();
    for _ in 0..60 {
        net.clients[subscriber].send_rtcp(|writer| {
            assert!(writer.receiver_report(1, &[]) && writer.nack(1, first.ssrc, &all));
        });
    }
    net.run(Duration::from_millis(50));
    let counters = net.engine.counters();
    assert!(counters.rtp_resent <= 4_000, "{}", counters.rtp_resent);
    assert!(counters.drops.resend_limited >= 2_000, "{}", counters.drops.resend_limited);
}
