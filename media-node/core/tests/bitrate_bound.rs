//! A publisher's bit rate bound is announced and enforced.

use crate::support::client::Heard;
use crate::support::net::{Make, Net, ROOM, limits};
use std::time::Duration;

#[test]
fn a_publisher_that_ignores_its_bound_is_cut_down_to_it() {
    let mut net = Net::with(71, None, 1_000);
    let publisher = net.connect(Make::Rtc, None);
    let subscriber = net.connect(Make::Rtc, Some(publisher));
    // 4 Mbit/s for ten seconds.
    for index in 0..5_000u64 {
        net.clients[publisher].send_rtp(true, index, index as u32, &[0; 960]);
        if index % 5 == 4 {
            net.run(Duration::from_millis(10));
        }
    }
    let forwarded: usize = net.clients[subscriber].media.iter().map(|packet| packet.payload.len()).sum();
    let kbps = forwarded * 8 / 10_000;
    assert!((1_000..1_700).contains(&kbps), "{kbps} kbit/s");
    assert!(net.engine.counters().drops.rtp_over_bitrate > 2_000);
    assert!(net.engine.counters().nacks_sent == 0, "what was dropped on purpose is not asked for");
    let bounds: Vec<_> =
        net.clients[publisher].heard.iter().filter(|(_, heard)| matches!(heard, Heard::MaxBitrate(_))).collect();
    assert!(bounds.len() >= 9, "{}", bounds.len());
    assert!(matches!(bounds[0].1, Heard::MaxBitrate(rate) if (990_000..=1_000_000).contains(&rate)));
}

#[test]
fn a_publisher_within_its_bound_loses_nothing() {
    let mut net = Net::with(72, None, 1_000);
    let publisher = net.connect(Make::Rtc, None);
    for index in 0..1_200u64 {
        net.clients[publisher].send_rtp(true, index, index as u32, &[0; 960]);
        net.run(Duration::from_millis(10));
    }
    assert_eq!(net.engine.counters().drops.rtp_over_bitrate, 0);
    let leg = &net.engine.legs(ROOM)[0];
    assert!((700..850).contains(&leg.receive_kbps), "{}", leg.receive_kbps);
}

#[test]
fn a_changed_bound_holds_for_open_publishers() {
    let mut net = Net::with(73, None, 8_000);
    let publisher = net.connect(Make::Rtc, None);
    net.engine.add_room(ROOM, limits(500)).unwrap();
    // 4 Mbit/s for five seconds.
    for index in 0..2_500u64 {
        net.clients[publisher].send_rtp(true, index, index as u32, &[0; 960]);
        if index % 5 == 4 {
            net.run(Duration::from_millis(10));
        }
    }
    assert!(net.engine.counters().drops.rtp_over_bitrate > 1_500);
    let last = net.clients[publisher].heard.iter().rev().find(|(_, heard)| matches!(heard, Heard::MaxBitrate(_)));
    assert!(matches!(last, Some((_, Heard::MaxBitrate(rate))) if *rate <= 500_000));
}
