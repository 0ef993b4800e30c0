//! Real sockets on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

use plenum_dataplane::{CommandError, command_channel, run_worker};
use plenum_dataplane::{Handler, Outbox, RecvBatch, RecvCounters, SendBatch, SendState, UdpSocket};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(10);

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn push(batch: &mut SendBatch, to: SocketAddr, packet: &[u8]) {
    batch.reserve(to, packet.len()).expect("the arena has room").copy_from_slice(packet);
    batch.commit(packet.len());
}

/// `count` packets that tell their number, of `len` bytes but the last.
fn numbered(count: u8, len: usize, last: usize) -> Vec<Vec<u8>> {
    (0..count).map(|n| vec![n; if n + 1 == count { last } else { len }]).collect()
}

/// Everything that arrives at `socket`, until there are `count` datagrams.
fn receive(socket: &UdpSocket, batch: &mut RecvBatch, count: usize) -> Vec<(SocketAddr, Vec<u8>)> {
    let until = Instant::now() + DEADLINE;
    let mut all = Vec::new();
    while all.len() < count {
        assert!(Instant::now() < until, "only {} of {count} datagrams came", all.len());
        socket.receive(batch).unwrap();
        all.extend(batch.datagrams().map(|(from, datagram)| (from, datagram.to_vec())));
    }
    all
}

fn read_plain(socket: &std::net::UdpSocket, count: usize) -> Vec<Vec<u8>> {
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut buffer = [0; 65_536];
    (0..count).map(|_| socket.recv(&mut buffer).map(|len| buffer[..len].to_vec()).unwrap()).collect()
}

#[test]
fn a_train_arrives_as_single_datagrams_in_order() {
    let peer = std::net::UdpSocket::bind(loopback()).unwrap();
    let mut socket = UdpSocket::bind(loopback()).unwrap();
    let mut batch = SendBatch::new(1 << 20);
    let packets = numbered(20, 1200, 700);
    packets.iter().for_each(|packet| push(&mut batch, peer.local_addr().unwrap(), packet));
    assert_eq!(socket.send(&mut batch), SendState::Done);
    assert_eq!(read_plain(&peer, 20), packets);
    let counters = batch.counters();
    assert_eq!((counters.packets, counters.calls), (20, 1));
    assert!(!socket.sends_trains() || counters.messages == 1);
}

#[test]
fn a_train_that_is_received_whole_is_split() {
    let mut sender = UdpSocket::bind(loopback()).unwrap();
    let receiver = UdpSocket::bind(loopback()).unwrap();
    let (mut out, mut into) = (SendBatch::new(1 << 20), RecvBatch::new(8));
    let packets = numbered(30, 1000, 10);
    packets.iter().for_each(|packet| push(&mut out, receiver.local_addr().unwrap(), packet));
    sender.send(&mut out);
    let all = receive(&receiver, &mut into, 30);
    let from = sender.local_addr().unwrap();
    assert!(all.iter().zip(&packets).all(|((source, got), sent)| *source == from && got == sent));
    let counters = into.counters();
    assert_eq!((counters.datagrams, counters.bytes, counters.unusable), (30, 29_010, 0));
    assert!(!receiver.receives_trains() || counters.messages < 30, "no train came whole");
}

#[test]
fn a_kernel_that_refuses_trains_gets_single_packets() {
    let peer = std::net::UdpSocket::bind(loopback()).unwrap();
    let mut socket = UdpSocket::bind(loopback()).unwrap();
    refuse_offload(&socket);
    let mut batch = SendBatch::new(1 << 20);
    let packets = numbered(5, 300, 300);
    for _ in 0..20 {
        packets.iter().for_each(|packet| push(&mut batch, peer.local_addr().unwrap(), packet));
        assert_eq!(socket.send(&mut batch), SendState::Done);
        assert_eq!(read_plain(&peer, 5), packets);
    }
    assert!(batch.counters().refused_trains > 0);
    assert_eq!(batch.counters().dropped_errors, 0);
    assert!(!socket.sends_trains(), "the refusals were not remembered");
}

/// The kernel refuses segmentation on sockets that send without checksum.
#[allow(unsafe_code, reason = "no safe call has this option")]
fn refuse_offload(socket: &UdpSocket) {
    let one: libc::c_int = 1;
    // SAFETY: an int that lives across the call, with its size.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_NO_CHECK, (&raw const one).cast(), 4)
    };
    assert_eq!(result, 0);
}

#[test]
fn a_dual_stack_socket_speaks_ipv4() {
    let mut socket = UdpSocket::bind_any(0).unwrap();
    let port = socket.local_addr().unwrap().port();
    let peer = std::net::UdpSocket::bind(loopback()).unwrap();
    peer.send_to(b"hello", SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
    let got = receive(&socket, &mut RecvBatch::new(4), 1);
    assert_eq!(got, [(peer.local_addr().unwrap(), b"hello".to_vec())]);
    let mut batch = SendBatch::new(1 << 16);
    push(&mut batch, peer.local_addr().unwrap(), b"you");
    push(&mut batch, peer.local_addr().unwrap(), b"two");
    socket.send(&mut batch);
    assert_eq!(read_plain(&peer, 2), [b"you".to_vec(), b"two".to_vec()]);
}

#[test]
fn a_port_that_is_taken_is_an_error() {
    let first = UdpSocket::bind_any(0).unwrap();
    let error = UdpSocket::bind_any(first.local_addr().unwrap().port()).unwrap_err();
    assert!(error.to_string().starts_with("binding udp"), "{error}");
}

enum Command {
    Send(SocketAddr, Vec<u8>),
    Timer(Duration),
}

/// Sends every datagram back, and tells what happened.
struct Echo {
    deadline: Option<Instant>,
    fired: SyncSender<&'static str>,
}

impl Handler for Echo {
    type Command = Command;

    fn handle_command(&mut self, now: Instant, command: Command, out: &mut Outbox<'_>) {
        match command {
            Command::Send(to, packet) => {
                if let Some(space) = out.reserve(to, packet.len()) {
                    space.copy_from_slice(&packet);
                    out.commit(packet.len());
                }
            }
            Command::Timer(after) => self.deadline = Some(now + after),
        }
    }

    fn handle_datagram(&mut self, _now: Instant, from: SocketAddr, datagram: &mut [u8], out: &mut Outbox<'_>) {
        if let Some(space) = out.reserve(from, datagram.len()) {
            space.copy_from_slice(datagram);
            out.commit(datagram.len());
        }
    }

    fn flush(&mut self, _now: Instant, _out: &mut Outbox<'_>) {}

    fn handle_timeout(&mut self, _now: Instant, _out: &mut Outbox<'_>) {
        self.deadline = None;
        self.fired.send("timer").unwrap();
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    fn end_round(&mut self, _now: Instant, _received: RecvCounters, _out: &mut Outbox<'_>) {}
}

struct Running {
    commands: plenum_dataplane::CommandSender<Command>,
    address: SocketAddr,
    fired: Receiver<&'static str>,
    thread: JoinHandle<()>,
}

fn start() -> Running {
    let socket = UdpSocket::bind(loopback()).unwrap();
    let address = socket.local_addr().unwrap();
    let (commands, receiver) = command_channel(16).unwrap();
    let (sender, fired) = sync_channel(16);
    let thread = std::thread::spawn(move || {
        run_worker(socket, &receiver, &mut Echo { deadline: None, fired: sender }).unwrap();
    });
    Running { commands, address, fired, thread }
}

#[test]
fn a_worker_answers_fires_timers_and_ends_with_its_last_sender() {
    let running = start();
    let peer = std::net::UdpSocket::bind(loopback()).unwrap();
    peer.send_to(b"echo", running.address).unwrap();
    assert_eq!(read_plain(&peer, 1), [b"echo".to_vec()]);
    running.commands.send(Command::Timer(Duration::from_millis(20))).unwrap();
    assert_eq!(running.fired.recv_timeout(DEADLINE), Ok("timer"));
    let other = running.commands.clone();
    drop(running.commands);
    peer.send_to(b"still", running.address).unwrap();
    assert_eq!(read_plain(&peer, 1), [b"still".to_vec()]);
    drop(other);
    running.thread.join().unwrap();
}

#[test]
fn a_closed_peer_does_not_end_the_loop() {
    let running = start();
    let closed = std::net::UdpSocket::bind(loopback()).unwrap();
    let gone = closed.local_addr().unwrap();
    drop(closed);
    for _ in 0..50 {
        while running.commands.send(Command::Send(gone, b"anybody?".to_vec())) == Err(CommandError::Full) {
            std::thread::yield_now();
        }
    }
    let peer = std::net::UdpSocket::bind(loopback()).unwrap();
    peer.send_to(b"echo", running.address).unwrap();
    assert_eq!(read_plain(&peer, 1), [b"echo".to_vec()]);
}
