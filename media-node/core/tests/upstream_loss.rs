//! What a publisher's network loses is asked for, and forwarded when it comes.

use crate::support::client::Heard;
use crate::support::net::{Make, Net};
use std::time::Duration;

#[test]
fn the_publisher_is_asked_for_what_it_lost() {
    let mut net = Net::new(21);
    let publisher = net.connect(Make::Rtc, None);
    let subscriber = net.connect(Make::Rtc, Some(publisher));
    net.clients[publisher].send_rtp(true, 99, 0, b"first");
    net.run(Duration::from_millis(30));
    net.loss_up = 10;
    for number in 0..300u64 {
        net.clients[publisher].send_rtp(true, 100 + number, number as u32, format!("packet {number}").as_bytes());
        net.run(Duration::from_millis(5));
    }
    net.loss_up = 0;
    net.clients[publisher].send_rtp(true, 400, 400, b"end");
    net.run(Duration::from_millis(500));
    assert_eq!(net.clients[subscriber].video_payloads().len(), 302);
    assert!(net.clients[subscriber].missing_video().is_empty());
    assert!(net.engine.counters().nacks_sent > 10);
}

#[test]
fn a_publisher_that_does_not_answer_is_asked_for_a_keyframe_instead() {
    let mut net = Net::new(22);
    let publisher = net.connect(Make::Rtc, None);
    net.clients[publisher].answers_nacks = false;
    net.clients[publisher].send_rtp(true, 1, 0, b"first");
    net.clients[publisher].send_rtp(true, 3, 0, b"third");
    net.run(Duration::from_secs(3));
    let nacks: Vec<_> =
        net.clients[publisher].heard.iter().filter(|(_, heard)| *heard == Heard::Nack(vec![2])).collect();
    assert!((2..=8).contains(&nacks.len()), "{}", nacks.len());
    assert_eq!(net.clients[publisher].plis(), 1);
    let count = nacks.len();
    net.run(Duration::from_secs(3));
    let later = net.clients[publisher].heard.iter().filter(|(_, heard)| matches!(heard, Heard::Nack(_))).count();
    assert_eq!(later, count, "it gave up");
}
