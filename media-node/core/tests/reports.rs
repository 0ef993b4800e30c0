//! Reports tell the truth: clocks, loss, round trips.

use crate::support::client::{AUDIO_SSRC, Heard, VIDEO_SSRC};
use crate::support::net::{Make, Net, ROOM};
use crate::support::offer::{AUDIO_PT, VIDEO_PT};
use plenum_media_core::rtcp::{ReportBlock, SenderInfo};
use std::time::Duration;

/// The publisher's clocks at its start: NTP, audio and video timestamps.
const START: (u64, u32, u32) = (1_000 << 32, 40_000, 900_000);

fn publish(net: &mut Net, publisher: usize, ticks: u64) {
    for tick in 0..ticks {
        let (audio, video) = (START.1 + tick as u32 * 960, START.2 + tick as u32 * 1_800);
        net.clients[publisher].send_rtp(false, tick, audio, b"opus");
        net.clients[publisher].send_rtp(true, tick, video, b"vp8");
        if tick % 25 == 0 {
            let ntp = START.0 + ((tick * 20) << 32) / 1_000;
            net.clients[publisher].send_rtcp(|writer| {
                for (ssrc, rtp) in [(AUDIO_SSRC, audio), (VIDEO_SSRC, video)] {
                    assert!(writer.sender_report(ssrc, SenderInfo { ntp, rtp, packets: 1, octets: 1 }));
                }
            });
        }
        net.run(Duration::from_millis(20));
    }
}

#[test]
fn audio_and_video_of_a_subscriber_share_the_publishers_clock() {
    let mut net = Net::new(81);
    let publisher = net.connect(Make::Rtc, None);
    let subscriber = net.connect(Make::Rtc, Some(publisher));
    publish(&mut net, publisher, 200);

    let client = &net.clients[subscriber];
    for (payload_type, first_timestamp, rate) in [(AUDIO_PT, START.1, 48_000.0), (VIDEO_PT, START.2, 90_000.0)] {
        let first = client.media.iter().find(|packet| packet.payload_type == payload_type).unwrap();
        let offset = first.timestamp.wrapping_sub(first_timestamp);
        let reports: Vec<SenderInfo> = client
            .heard
            .iter()
            .filter_map(|(_, heard)| match heard {
                Heard::SenderReport(ssrc, info) if *ssrc == first.ssrc => Some(*info),
                _ => None,
            })
            .collect();
        assert!(reports.len() >= 3, "{}", reports.len());
        for report in reports {
            // Both count from the publisher's start; they must agree on how long ago that was.
            let by_ntp = (report.ntp - START.0) as f64 / f64::from(1u32 << 16).powi(2);
            let by_rtp = f64::from(report.rtp.wrapping_sub(offset).wrapping_sub(first_timestamp)) / rate;
            assert!((by_ntp - by_rtp).abs() < 0.001, "payload type {payload_type}: {by_ntp} s and {by_rtp} s");
        }
    }
}

#[test]
fn a_publisher_hears_how_it_is_received() {
    let mut net = Net::new(82);
    let publisher = net.connect(Make::Rtc, None);
    net.clients[publisher].answers_nacks = false;
    for number in 0..300u64 {
        if number % 10 != 3 {
            net.clients[publisher].send_rtp(true, number, number as u32 * 900, b"vp8");
        }
        net.run(Duration::from_millis(10));
    }
    let last = net.clients[publisher].heard.iter().rev().find_map(|(_, heard)| match heard {
        Heard::Reports(blocks) => blocks.iter().find(|block| block.ssrc == VIDEO_SSRC).copied(),
        _ => None,
    });
    let block: ReportBlock = last.expect("a report on the video");
    assert!((20..=30).contains(&block.lost), "{block:?}");
    assert!((20..=31).contains(&block.fraction_lost), "{block:?}");
    assert!(block.jitter < 900, "{block:?}");
}

#[test]
fn the_round_trip_of_a_subscriber_comes_from_its_reports() {
    let mut net = Net::new(83);
    let publisher = net.connect(Make::Rtc, None);
    let subscriber = net.connect(Make::Rtc, Some(publisher));
    net.delay = Duration::from_millis(40);
    publish(&mut net, publisher, 100);
    let (heard_at, ssrc, info) = net.clients[subscriber]
        .heard
        .iter()
        .rev()
        .find_map(|(at, heard)| match heard {
            Heard::SenderReport(ssrc, info) => Some((*at, *ssrc, *info)),
            _ => None,
        })
        .expect("a sender report");
    let delay = ((net.now - heard_at).as_secs_f64() * 65_536.0) as u32;
    let last_sender_report = (info.ntp >> 16) as u32;
    let block = ReportBlock { ssrc, last_sender_report, delay, ..ReportBlock::default() };
    net.clients[subscriber].send_rtcp(|writer| assert!(writer.receiver_report(1, &[block])));
    net.run(Duration::from_millis(60));
    let key = net.clients[subscriber].key;
    let leg = net.engine.legs(ROOM).into_iter().find(|leg| leg.session == key).unwrap();
    let millis = leg.rtt_micros.unwrap() / 1_000;
    assert!((78..=92).contains(&millis), "{millis} ms");
}

#[test]
fn the_round_trip_of_a_publisher_comes_from_extended_reports() {
    let mut net = Net::new(84);
    let publisher = net.connect(Make::Rtc, None);
    net.run(Duration::from_millis(500));
    let key = net.clients[publisher].key;
    let from_check = net.engine.legs(ROOM)[0].rtt_micros.unwrap();
    assert!((15_000..=31_000).contains(&from_check), "before the first report, from a check: {from_check}");
    net.delay = Duration::from_millis(40);
    net.run(Duration::from_secs(2));
    // The reference time is in the last compound: block type 4 of an extended report.
    let compound = net.clients[publisher].compounds.last().unwrap().clone();
    let at = compound.windows(4).position(|window| window == [4, 0, 0, 2]).expect("a reference time");
    let (ssrc, ntp) = (&compound[at - 4..at], &compound[at + 4..at + 12]);
    let mut bytes = vec![0x80, 207, 0, 5, 0, 0, 0, 1, 5, 0, 0, 3];
    bytes.extend(ssrc);
    bytes.extend(&ntp[2..6]);
    let answered_after = net.now;
    bytes.extend(0u32.to_be_bytes());
    let len = bytes.len();
    bytes.resize(200, 0);
    net.clients[publisher].send_rtcp_bytes(bytes, len);
    net.run(Duration::from_millis(60));
    let leg = net.engine.legs(ROOM).into_iter().find(|leg| leg.session == key).unwrap();
    // Delay told as zero, so the round trip holds the time since that report: below a beat and two delays.
    let micros = leg.rtt_micros.unwrap();
    assert!((78_000..1_200_000).contains(&micros), "{micros} after {answered_after:?}");
    assert_ne!(micros, from_check);
}
