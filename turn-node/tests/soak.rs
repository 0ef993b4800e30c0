//! Clients that come and go by the thousand leave no port, descriptor, entry or byte behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]
#![allow(dead_code, unreachable_pub, reason = "the harness is made for more than this test")]

#[path = "turn_node/client.rs"]
mod client;
#[path = "turn_node/datagrams.rs"]
mod datagrams;
#[path = "turn_node/harness.rs"]
mod harness;

use client::{Client, connect, connect_tls};
use datagrams::Datagrams;
use harness::{DEADLINE, Harness, config, outside, peer, sync};
use plenum_protocol::ports::PortRange;
use plenum_protocol::relay::RelaySyncRequest;
use plenum_testing::{Counting, Dice};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: Counting = Counting::by_thread();

const CHANNEL: u16 = 0x4000;
const WORKERS: u16 = 2;
/// How long an allocation lives that nobody gives back. Clients are done with theirs long before.
const LIFETIME_SECONDS: u32 = 3;
/// What may be held more after thousands of allocations than before them, bytes: less than a few for each.
const SLACK: i64 = 32 << 10;

#[derive(Debug, Clone, Copy)]
enum Way {
    Udp,
    Tcp,
    Tls,
}

/// One client after the other, all of them by the same way: how many, and how many of those leave without a word.
struct Crowd {
    way: Way,
    clients: u64,
    abandoned: u64,
    peer: UdpSocket,
    seed: u64,
}

impl Crowd {
    fn new(way: Way, seed: u64) -> Self {
        Self { way, clients: 0, abandoned: 0, peer: peer(), seed }
    }

    fn with(self, clients: u64, abandoned: u64) -> Self {
        Self { clients, abandoned, ..self }
    }

    /// All cycles; clients that left without a word are kept until their allocations are gone.
    fn run(self, harness: &Harness) -> (Self, Vec<Client>) {
        let mut dice = Dice::new(self.seed);
        let mut left = Vec::new();
        for number in 0..self.clients {
            let mut client = self.client(harness, number);
            client.allocate().expect("an allocation");
            assert_eq!(client.bind(CHANNEL, outside(&self.peer)), None);
            self.relay(&mut client, &mut dice);
            if number < self.abandoned {
                left.push(client);
            } else if matches!(self.way, Way::Udp) || dice.chance(50) {
                client.release();
            }
            // Else its stream is closed.
        }
        (self, left)
    }

    fn client(&self, harness: &Harness, number: u64) -> Client {
        let session = format!("T_{}_{}", self.seed, number % 50);
        match self.way {
            Way::Udp => {
                // Each from another network: answers to those who have not shown credentials are few for each.
                let ip = Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + ((number as u32) << 8));
                Client::new(Datagrams::connect_from(ip.into(), harness.listener("udp")), &session)
            }
            Way::Tcp => Client::new(connect(harness.listener("tcp")), &session),
            Way::Tls => Client::new(connect_tls(harness, &[]), &session),
        }
    }

    /// There and back again.
    fn relay(&self, client: &mut Client, dice: &mut Dice) {
        let len = 4 * (1 + dice.below(300)) as usize;
        let payload = dice.bytes(len);
        let mut buffer = [0; 2048];
        client.send(CHANNEL, &payload).unwrap();
        let (got, from) = self.peer.recv_from(&mut buffer).unwrap();
        assert_eq!(buffer[..got], payload);
        self.peer.send_to(&payload, from).unwrap();
        assert_eq!(client.receive().unwrap(), (CHANNEL, payload));
    }
}

/// Lets all crowds run at once, and waits until nothing is left of them.
async fn churn(harness: &Harness, crowds: Vec<Crowd>) -> Vec<Crowd> {
    let outcomes = std::thread::scope(|scope| {
        let running: Vec<_> = crowds.into_iter().map(|crowd| scope.spawn(move || crowd.run(harness))).collect();
        running.into_iter().map(|crowd| crowd.join().unwrap()).collect::<Vec<_>>()
    });
    let (crowds, left): (Vec<_>, Vec<_>) = outcomes.into_iter().unzip();
    harness.until(|report| report.load.allocations == 0).await;
    drop(left);
    let gone = ["UDP", "TCP", "TLS"].map(|by| format!("plenum_turn_allocations{{transport=\"{by}\"}} 0"));
    let closed = ["TCP", "TLS"].map(|by| format!("plenum_turn_connections{{transport=\"{by}\"}} 0"));
    let forgotten = (0..WORKERS).flat_map(|worker| {
        let entries =
            |of: &str, count: u16| format!("plenum_turn_memory_entries{{worker=\"{worker}\",of=\"{of}\"}} {count}");
        let PortRange { min, max } = harness.settings.relay_ports;
        let nothing = ["Allocations", "Clients", "RelayPorts", "QuotaEntries", "Timers", "Permissions", "Channels"];
        let ports = entries("FreePorts", (max - min).div_ceil(WORKERS));
        nothing.map(|of| entries(of, 0)).into_iter().chain([ports]).collect::<Vec<_>>()
    });
    let lines: Vec<String> = gone.into_iter().chain(closed).chain(forgotten).collect();
    harness.scrape(&lines.iter().map(String::as_str).collect::<Vec<_>>()).await;
    crowds
}

/// Open descriptors of this process: those of the node, its clients and the test.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Ports of the range to which a UDP socket of this process is bound.
fn bound_ports(range: PortRange) -> BTreeSet<u16> {
    let links =
        std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    let own: BTreeSet<String> = links.map(|link| link.to_string_lossy().into_owned()).collect();
    let table = std::fs::read_to_string("/proc/self/net/udp").unwrap();
    let bound = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let port = u16::from_str_radix(fields[1].split_once(':')?.1, 16).ok()?;
        own.contains(&format!("socket:[{}]", fields[9])).then_some(port)
    });
    bound.filter(|port| (range.min..=range.max).contains(port)).collect()
}

/// Looks until it is so.
async fn until(what: &str, so: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !so() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_clients_leave_nothing_behind() {
    let ways = [Way::Udp, Way::Udp, Way::Udp, Way::Tcp, Way::Tcp, Way::Tls];
    let crowds: Vec<Crowd> = ways.into_iter().zip(1..).map(|(way, seed)| Crowd::new(way, seed)).collect();
    let harness = Harness::start(WORKERS).await;
    let mut churning = config(&crowds.iter().map(|crowd| &crowd.peer).collect::<Vec<_>>());
    churning.max_lifetime_seconds = LIFETIME_SECONDS;
    churning.quotas.allocations_per_address = churning.quotas.allocations;
    harness.sync(&RelaySyncRequest { config: Some(churning), ..sync(1) }).await.unwrap();
    // First a wave in which more live at once than in the next, so that every table has its size.
    let first = crowds.into_iter().map(|crowd| crowd.with(300, 90));
    let crowds = churn(&harness, first.collect()).await;
    let (open, held) = (descriptors(), ALLOCATOR.live_bytes());
    let begun = Instant::now();
    let second = crowds.into_iter().map(|crowd| crowd.with(600, 20));
    let crowds = churn(&harness, second.collect()).await;
    eprintln!("{} clients in {:?}", crowds.iter().map(|crowd| crowd.clients).sum::<u64>(), begun.elapsed());
    assert_eq!(bound_ports(harness.settings.relay_ports), BTreeSet::new());
    until("descriptors stayed open", || descriptors() <= open).await;
    let more = || ALLOCATOR.live_bytes() - held;
    eprintln!("{} bytes more than before", more());
    until("memory was kept", || more() <= SLACK).await;
}
