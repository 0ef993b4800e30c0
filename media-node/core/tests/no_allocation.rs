//! Forwarding a media packet allocates nothing: counted by the allocator itself.

mod support;

use plenum_media_core::{PacketSink, RelayTable, RoomLimits};
use plenum_protocol::ports::PortRange;
use plenum_protocol::relay::RelaySource;
use plenum_testing::Counting;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use support::net::{Make, Net, ROOM, limits, relay};

#[global_allocator]
static ALLOCATOR: Counting = Counting::by_thread();

/// A sink that allocates nothing either.
struct Flat {
    buffer: Vec<u8>,
    packets: u64,
}

impl PacketSink for Flat {
    fn reserve(&mut self, _to: SocketAddr, max_len: usize) -> Option<&mut [u8]> {
        self.buffer.get_mut(..max_len)
    }

    fn commit(&mut self, _len: usize) {
        self.packets += 1;
    }
}

fn forwarding_allocates_nothing(mut net: Net, make: Make) {
    let publisher = net.connect(make, None);
    for _ in 0..3 {
        net.connect(make, Some(publisher));
    }
    net.clients[publisher].send_rtp(true, 0, 0, &[1; 1_000]);
    net.clients[publisher].send_rtp(false, 0, 0, &[1; 100]);
    net.run(Duration::from_secs(2));
    let address = net.clients[publisher].address;
    let mut packets = Vec::new();
    for index in 1..1_001u64 {
        // Every tenth is lost: gaps and requests are part of normal work.
        if index % 10 != 0 {
            net.clients[publisher].send_rtp(true, index, index as u32, &[1; 200]);
        }
        net.clients[publisher].send_rtp(false, index, index as u32, &[1; 60]);
        packets.append(&mut net.clients[publisher].outbox);
    }
    let mut flat = Flat { buffer: vec![0; 2_000], packets: 0 };
    let mut now = net.now;
    let before = ALLOCATOR.allocations();
    assert!(before > 1_000, "the counter counts");
    for batch in packets.chunks_mut(19) {
        now += Duration::from_millis(10);
        for packet in batch {
            net.engine.handle_datagram(now, address, packet, &mut flat);
        }
        net.engine.flush(now, &mut flat);
        if net.engine.poll_timeout().is_some_and(|at| at <= now) {
            net.engine.handle_timeout(now, &mut flat);
        }
    }
    let allocated = ALLOCATOR.allocations() - before;
    let counters = net.engine.counters();
    assert!(counters.rtp_forwarded >= 3 * 1_900, "{counters:?}");
    assert!(counters.nacks_sent > 0, "{counters:?}");
    assert_eq!(allocated, 0, "{make:?}: {allocated} allocations for {} packets", flat.packets);
}

#[test]
fn forwarding_with_gcm_allocates_nothing() {
    forwarding_allocates_nothing(Net::new(110), Make::Rtc);
}

#[test]
fn forwarding_with_cm_and_sha1_allocates_nothing() {
    forwarding_allocates_nothing(Net::new(110), Make::RtcCmOnly);
}

#[test]
fn forwarding_between_relayed_clients_allocates_nothing() {
    let mut net = Net::new(111);
    let everybody: Vec<_> = (10..14)
        .map(|last| RelaySource {
            ports: PortRange { min: 40_000, max: 40_000 },
            ..relay("turn-0", [198, 51, 100, last])
        })
        .collect();
    net.engine.set_relays(Arc::new(RelayTable::new(&everybody).unwrap()));
    net.engine.add_room(ROOM, RoomLimits { relay_only: true, ..limits(2_000) }).unwrap();
    forwarding_allocates_nothing(net, Make::Rtc);
}
