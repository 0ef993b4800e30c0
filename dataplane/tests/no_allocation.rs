//! The packet path allocates nothing once its buffers exist.
#![allow(clippy::expect_used, reason = "helpers of tests")]

use plenum_dataplane::{RecvBatch, SendBatch, SendState, UdpSocket};
use plenum_testing::Counting;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: Counting = Counting::by_thread();

/// Sends trains and singles, receives them, and tells how many datagrams came.
fn round(pair: (&mut UdpSocket, &UdpSocket), out: &mut SendBatch, into: &mut RecvBatch, to: SocketAddr) -> usize {
    for len in [1200, 1200, 1200, 300, 80, 90] {
        out.reserve(to, len).expect("the arena has room").fill(7);
        out.commit(len);
    }
    assert_eq!(pair.0.send(out), SendState::Done);
    let until = Instant::now() + Duration::from_secs(10);
    let mut came = 0;
    while came < 6 {
        assert!(Instant::now() < until);
        pair.1.receive(into).expect("the socket works");
        came += into.datagrams().map(|(_, datagram)| datagram.len()).filter(|len| *len > 0).count();
    }
    came
}

#[test]
fn sending_and_receiving_allocates_nothing_per_packet() {
    let mut sender = UdpSocket::bind_any(0).unwrap();
    let receiver = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let to = receiver.local_addr().unwrap();
    let (mut out, mut into) = (SendBatch::new(1 << 16), RecvBatch::new(8));
    round((&mut sender, &receiver), &mut out, &mut into, to);
    let before = ALLOCATOR.allocations();
    assert!(before > 0, "the counter counts");
    let mut came = 0;
    for _ in 0..500 {
        came += round((&mut sender, &receiver), &mut out, &mut into, to);
    }
    assert_eq!(ALLOCATOR.allocations() - before, 0);
    assert_eq!(came, 3000);
}
