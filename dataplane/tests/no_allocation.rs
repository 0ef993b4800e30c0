//! The packet path allocates nothing once its buffers exist.
#![allow(unsafe_code, reason = "a global allocator is unsafe to write")]
#![allow(clippy::expect_used, reason = "helpers of tests")]

use plenum_dataplane::{RecvBatch, SendBatch, SendState, UdpSocket};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; the counter is a plain thread-local integer.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

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
    let before = ALLOCATIONS.with(Cell::get);
    let mut came = 0;
    for _ in 0..500 {
        came += round((&mut sender, &receiver), &mut out, &mut into, to);
    }
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0);
    assert_eq!(came, 3000);
}
