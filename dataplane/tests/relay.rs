//! The relay worker on loopback: many sockets, streams, commands, and no allocation per packet.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

use plenum_dataplane::{
    CommandSender, RelayHandler, RelayNet, RelayReceived, SendCounters, StreamKey, command_channel, run_relay_worker,
};
use plenum_testing::Counting;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(10);

#[global_allocator]
static ALLOCATOR: Counting = Counting::by_thread();

#[derive(Debug, Clone, Copy)]
struct Told {
    allocations: u64,
    sent: SendCounters,
    received: RelayReceived,
    refused: u64,
}

enum Command {
    /// Opens a relay socket between a client and a peer; answers with its address.
    Open(u32, SocketAddr, SocketAddr, SyncSender<std::io::Result<SocketAddr>>),
    Close(u32),
    Tell(SyncSender<Told>),
}

/// Relays: the first byte of a client's datagram names the relay, the rest goes to its peer, and back. Streams echo.
struct Forwarder {
    relays: Vec<Option<(SocketAddr, SocketAddr)>>,
    received: RelayReceived,
    streams: usize,
}

impl RelayHandler for Forwarder {
    type Command = Command;

    fn handle_command(&mut self, _now: Instant, command: Command, net: &mut RelayNet) {
        match command {
            Command::Open(key, client, peer, reply) => {
                let opened = net.open_relay(key, loopback());
                if opened.is_ok() {
                    self.relays[key as usize] = Some((client, peer));
                }
                reply.send(opened).unwrap();
            }
            Command::Close(key) => net.close_relay(key),
            Command::Tell(reply) => {
                let allocations = ALLOCATOR.allocations();
                let told =
                    Told { allocations, sent: net.sent(), received: self.received, refused: net.refused_streams() };
                reply.send(told).unwrap();
            }
        }
    }

    fn handle_listener(&mut self, _: Instant, listener: usize, from: SocketAddr, data: &mut [u8], net: &mut RelayNet) {
        let Some((key, payload)) = data.split_first() else { return };
        if *key == 255 {
            // Not for a relay: back to where it came from.
            if let Some(space) = net.to_listener(listener, from, payload.len()) {
                space.copy_from_slice(payload);
                net.commit(payload.len());
            }
        } else if let Some((_, peer)) = self.relays[usize::from(*key)]
            && let Some(space) = net.to_relay(u32::from(*key), peer, payload.len())
        {
            space.copy_from_slice(payload);
            net.commit(payload.len());
        }
    }

    fn handle_relay(&mut self, _now: Instant, key: u32, from: SocketAddr, data: &mut [u8], net: &mut RelayNet) {
        let Some((client, peer)) = self.relays[key as usize] else { return };
        assert_eq!(from, peer);
        if let Some(space) = net.to_listener(0, client, data.len() + 1) {
            space[0] = u8::try_from(key).unwrap();
            space[1..].copy_from_slice(data);
            net.commit(data.len() + 1);
        }
    }

    fn handle_accept(&mut self, _: Instant, _: usize, _: StreamKey, _: SocketAddr, _: &mut RelayNet) -> bool {
        self.streams += 1;
        true
    }

    fn handle_stream(&mut self, _now: Instant, key: StreamKey, writable: bool, net: &mut RelayNet) {
        let mut buffer = [0; 512];
        let mut stream = net.stream(key).unwrap();
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) if !writable => net.close_stream(key),
            Ok(len) => {
                stream.write_all(&buffer[..len]).unwrap();
                net.set_wants_write(key, true).unwrap();
            }
            Err(_) => net.set_wants_write(key, false).unwrap(),
        }
    }

    fn handle_timeout(&mut self, _now: Instant, _net: &mut RelayNet) {}

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn end_round(&mut self, _now: Instant, received: RelayReceived, _net: &mut RelayNet) {
        self.received = received;
    }
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn udp() -> UdpSocket {
    let socket = UdpSocket::bind(loopback()).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

struct Running {
    commands: CommandSender<Command>,
    listener: SocketAddr,
    acceptor: SocketAddr,
    thread: JoinHandle<()>,
}

impl Running {
    fn start(max_streams: usize) -> Self {
        Self::start_at(loopback(), max_streams)
    }

    fn start_at(address: SocketAddr, max_streams: usize) -> Self {
        let net = RelayNet::bind(&[address], &[loopback()], max_streams).unwrap();
        let (listener, acceptor) = (net.udp_addresses().unwrap()[0], net.tcp_addresses().unwrap()[0]);
        let (commands, receiver) = command_channel(64).unwrap();
        let thread = std::thread::spawn(move || {
            let mut handler = Forwarder { relays: vec![None; 256], received: RelayReceived::default(), streams: 0 };
            run_relay_worker(net, &receiver, &mut handler).unwrap();
        });
        Self { commands, listener, acceptor, thread }
    }

    fn open(&self, key: u32, client: &UdpSocket, peer: &UdpSocket) -> std::io::Result<SocketAddr> {
        let (reply, answer) = sync_channel(1);
        let (client, peer) = (client.local_addr().unwrap(), peer.local_addr().unwrap());
        self.commands.send(Command::Open(key, client, peer, reply)).unwrap();
        answer.recv_timeout(DEADLINE).unwrap()
    }

    fn tell(&self) -> Told {
        let (reply, answer) = sync_channel(1);
        self.commands.send(Command::Tell(reply)).unwrap();
        answer.recv_timeout(DEADLINE).unwrap()
    }

    fn stop(self) {
        drop(self.commands);
        self.thread.join().unwrap();
    }
}

fn hear(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 2048];
    let (len, from) = socket.recv_from(&mut buffer).unwrap();
    (buffer[..len].to_vec(), from)
}

#[test]
fn packets_of_many_relays_come_through_in_order_both_ways() {
    let running = Running::start(4);
    let client = udp();
    let peers: Vec<UdpSocket> = (0..40).map(|_| udp()).collect();
    let relays: Vec<SocketAddr> =
        peers.iter().enumerate().map(|(key, peer)| running.open(key as u32, &client, peer).unwrap()).collect();
    for round in 0..20u8 {
        for key in 0..40u8 {
            client.send_to(&[key, round, key], running.listener).unwrap();
        }
        for (key, peer) in peers.iter().enumerate() {
            assert_eq!(hear(peer), (vec![round, key as u8], relays[key]));
            peer.send_to(&[round], relays[key]).unwrap();
        }
        let mut back: Vec<u8> = (0..40).map(|_| hear(&client)).map(|(data, _)| data[0]).collect();
        back.sort_unstable();
        assert_eq!(back, (0..40).collect::<Vec<u8>>());
    }
    let told = running.tell();
    assert_eq!((told.sent.packets, told.sent.dropped_full, told.sent.dropped_errors), (1600, 0, 0));
    assert_eq!((told.received.listeners.datagrams, told.received.relays.datagrams), (800, 800));
    running.stop();
}

#[test]
fn a_key_is_free_again_once_its_socket_is_closed() {
    let running = Running::start(4);
    let (client, peer) = (udp(), udp());
    let first = running.open(7, &client, &peer).unwrap();
    assert_eq!(running.open(7, &client, &peer).unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(running.open(1 << 16, &client, &peer).unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
    peer.send_to(b"late", first).unwrap();
    running.commands.send(Command::Close(7)).unwrap();
    let second = running.open(7, &client, &peer).unwrap();
    client.send_to(&[7, 1], running.listener).unwrap();
    assert_eq!(hear(&peer), (vec![1], second));
    running.commands.send(Command::Close(7)).unwrap();
    running.tell();
    client.send_to(&[7, 2], running.listener).unwrap();
    client.send_to(&[255, 3], running.listener).unwrap();
    while hear(&client).0 != [3] {}
    assert_eq!(running.tell().sent.dropped_full, 1, "a packet for a closed relay is a counted drop");
    running.stop();
}

#[test]
fn workers_share_a_listener_and_answer_from_its_address() {
    let one = Running::start(1);
    let two = Running::start_at(one.listener, 1);
    assert_eq!(one.listener, two.listener);
    for _ in 0..64 {
        let client = udp();
        client.send_to(b"\xffhello", one.listener).unwrap();
        assert_eq!(hear(&client), (b"hello".to_vec(), one.listener));
    }
    let counts = [&one, &two].map(|running| running.tell().received.listeners.datagrams);
    assert_eq!(counts.iter().sum::<u64>(), 64);
    assert!(counts.iter().all(|count| *count > 0), "one worker had them all: {counts:?}");
    one.stop();
    two.stop();
}

#[test]
fn streams_are_read_written_bounded_and_let_go() {
    let running = Running::start(2);
    let connect = || {
        let stream = TcpStream::connect(running.acceptor).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    };
    let echo = |stream: &mut TcpStream| -> std::io::Result<[u8; 4]> {
        stream.write_all(b"ping")?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    };
    let (mut first, mut second) = (connect(), connect());
    assert_eq!(&echo(&mut first).unwrap(), b"ping");
    assert_eq!(&echo(&mut second).unwrap(), b"ping");
    assert!(echo(&mut connect()).is_err(), "a third stream found a place");
    assert_eq!(running.tell().refused, 1);
    drop(first);
    let until = Instant::now() + DEADLINE;
    while echo(&mut connect()).is_err() {
        assert!(Instant::now() < until, "the place of an ended stream was not given again");
    }
    assert_eq!(&echo(&mut second).unwrap(), b"ping");
    running.stop();
}

#[test]
fn relaying_allocates_nothing_per_packet() {
    let running = Running::start(1);
    let (client, peer) = (udp(), udp());
    let relay = running.open(0, &client, &peer).unwrap();
    let round = |count: u32| {
        for _ in 0..count {
            client.send_to(&[0; 1200], running.listener).unwrap();
            assert_eq!(hear(&peer).0.len(), 1199);
            peer.send_to(&[0; 300], relay).unwrap();
            assert_eq!(hear(&client).0.len(), 301);
        }
    };
    round(10);
    let before = running.tell();
    round(500);
    let after = running.tell();
    assert_eq!(after.sent.packets - before.sent.packets, 1000);
    // The command that asks brings its reply along; it was allocated by the asker.
    assert_eq!(after.allocations - before.allocations, 0);
    running.stop();
}
