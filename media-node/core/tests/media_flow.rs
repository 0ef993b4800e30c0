//! Media goes from a publisher to every subscriber, whatever the stacks on either side.

use crate::support::net::{Make, Net, ROOM};
use crate::support::offer::{AUDIO_PT, VIDEO_PT};
use crate::support::str0m_parts::Str0mFactory;
use plenum_media_core::{CloseReason, Event, Path, SessionPhase};
use std::time::Duration;

#[test]
fn media_goes_from_a_publisher_to_three_subscribers() {
    let mut net = Net::new(1);
    flow(&mut net, [Make::Rtc, Make::Str0m, Make::Rtc, Make::Str0m]);
}

#[test]
fn the_second_transport_implementation_serves_the_same_clients() {
    let mut net = Net::with(2, Some(Box::new(Str0mFactory::new())), 2_000);
    flow(&mut net, [Make::Rtc, Make::Rtc, Make::Rtc, Make::Rtc]);
}

fn flow(net: &mut Net, makes: [Make; 4]) {
    let publisher = net.connect(makes[0], None);
    let subscribers: Vec<usize> = makes[1..].iter().map(|make| net.connect(*make, Some(publisher))).collect();

    for frame in 0..50u64 {
        for part in 0..3 {
            let payload = format!("frame {frame} part {part}");
            net.clients[publisher].send_rtp(
                true,
                65_500 + frame * 3 + part,
                1_000 + frame as u32 * 3_000,
                payload.as_bytes(),
            );
        }
        net.clients[publisher].send_rtp(false, 7 + frame, frame as u32 * 960, b"opus");
        net.run(Duration::from_millis(20));
    }
    net.run(Duration::from_millis(100));

    for subscriber in &subscribers {
        let media = &net.clients[*subscriber].media;
        let video: Vec<_> = media.iter().filter(|packet| packet.payload_type == VIDEO_PT).collect();
        let audio: Vec<_> = media.iter().filter(|packet| packet.payload_type == AUDIO_PT).collect();
        assert_eq!((video.len(), audio.len()), (150, 50));
        for (number, packet) in video.iter().enumerate() {
            let expected = format!("frame {} part {}", number / 3, number % 3);
            assert_eq!(packet.payload, expected.as_bytes());
            assert_eq!(packet.sequence, video[0].sequence.wrapping_add(number as u16));
            let distance = packet.timestamp.wrapping_sub(video[0].timestamp);
            assert_eq!(distance, (number as u32 / 3) * 3_000);
            assert_eq!(packet.mid.as_deref(), Some(&b"1"[..]));
        }
        assert!(audio.iter().all(|packet| packet.mid.as_deref() == Some(b"0") && packet.ssrc != video[0].ssrc));
    }
    let legs = net.engine.legs(ROOM);
    assert_eq!(legs.len(), 4);
    assert!(
        legs.iter()
            .all(|leg| leg.phase == SessionPhase::Connected && leg.packets == 200 && leg.local == Some(net.node))
    );
}

#[test]
fn a_publication_is_announced_when_its_transport_is_connected() {
    let mut net = Net::new(3);
    let publisher = net.open(Make::Rtc, None);
    assert!(net.events.is_empty());
    net.run(Duration::from_secs(2));
    let session = net.clients[publisher].key;
    let path = Path { remote: net.clients[publisher].address, relayed: false };
    assert_eq!(net.events, [Event::SessionConnected { session, audio: true, video: true, path }]);
}

#[test]
fn subscribers_end_with_their_publisher() {
    let mut net = Net::new(4);
    let publisher = net.connect(Make::Rtc, None);
    let subscriber = net.connect(Make::Rtc, Some(publisher));
    let waiting = net.open(Make::Rtc, Some(publisher));
    let key = net.clients[publisher].key;
    net.events.clear();
    net.command(|engine, now, arena| assert!(engine.close_session(now, key, arena)));
    let ended =
        |place: usize| Event::SessionClosed { session: net.clients[place].key, reason: CloseReason::PublicationEnded };
    assert_eq!(net.events, [ended(subscriber), ended(waiting)]);
    assert!(net.engine.legs(ROOM).is_empty());
    assert!(net.engine.demux_entries() <= 3, "only checks of our own that nobody will answer may be left");
}

#[test]
fn a_client_that_says_goodbye_is_gone_at_once() {
    let mut net = Net::new(5);
    let publisher = net.connect(Make::Rtc, None);
    let now = net.now;
    net.clients[publisher].stack.close(now);
    net.run(Duration::from_millis(50));
    let session = net.clients[publisher].key;
    assert_eq!(net.events.last(), Some(&Event::SessionClosed { session, reason: CloseReason::PeerClosed }));
}

#[test]
fn a_removed_room_takes_its_sessions_along_without_events() {
    let mut net = Net::new(6);
    let publisher = net.connect(Make::Rtc, None);
    net.connect(Make::Rtc, Some(publisher));
    net.events.clear();
    net.command(|engine, now, arena| engine.remove_room(now, ROOM, arena));
    assert!(net.events.is_empty());
    assert!(net.engine.legs(ROOM).is_empty());
    net.run(Duration::from_secs(40));
    assert!(net.events.is_empty());
}
