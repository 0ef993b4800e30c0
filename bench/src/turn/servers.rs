//! The servers that are measured: how each is started, and where its clients and their peers are.

use super::Arguments;
use super::raw::READY;
use crate::process::Server;
use crate::turn_client::{Credentials, is_answered};
use crate::turn_node::{Control, Plan, REALM, RELAY_PORTS, SECRET};
use anyhow::{Context as _, bail};
use plenum_protocol::ports::PortRange;
use plenum_protocol::relay::PeerEndpoint;
use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Clients are 127.1.x.y.
pub(super) const CLIENTS: u8 = 1;
/// Peers are 127.2.x.y.
pub(super) const PEERS: u8 = 2;
/// Networks (/24) that clients are spread over: what is bounded per network is not what is measured.
const NETWORKS: u16 = 250;
const SERVER: Ipv4Addr = Ipv4Addr::LOCALHOST;
const START: Duration = Duration::from_secs(10);
const PROBE: Duration = Duration::from_millis(50);

/// A server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Ours.
    TurnNode,
    /// The one that everybody has.
    Coturn,
    /// The floor.
    Raw,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::TurnNode, Self::Coturn, Self::Raw];

    /// All of them; another one is first in each round.
    pub(crate) fn in_round(round: u32) -> impl Iterator<Item = Self> {
        let first = round as usize % Self::ALL.len();
        Self::ALL.into_iter().cycle().skip(first).take(Self::ALL.len())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::TurnNode => "plenum-turn-node",
            Self::Coturn => "coturn",
            Self::Raw => "raw forwarder",
        })
    }
}

/// Ports of clients and peers, each on addresses of their own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sides {
    pub(crate) clients: u16,
    pub(crate) peers: u16,
}

impl Sides {
    pub(crate) fn client(self, index: u16) -> SocketAddr {
        SocketAddr::from((address(CLIENTS, index), self.clients))
    }

    pub(crate) fn peer(self, index: u16) -> SocketAddr {
        SocketAddr::from((address(PEERS, index), self.peers))
    }

    /// The peers as the operator would name them.
    fn endpoints(self, count: u16) -> Vec<PeerEndpoint> {
        let ports = PortRange { min: self.peers, max: self.peers };
        let endpoint = |ip: IpAddr| PeerEndpoint { outside: vec![ip], inside: ip, ports };
        (0..count).map(|index| endpoint(self.peer(index).ip())).collect()
    }
}

fn address(side: u8, index: u16) -> Ipv4Addr {
    let [network, host] = [index % NETWORKS, index / NETWORKS].map(|part| part.to_le_bytes()[0]);
    Ipv4Addr::new(127, side, network, host + 1)
}

/// Starts a server, ready to serve, and tells where it listens.
pub(super) fn start(
    kind: Kind,
    arguments: &Arguments,
    control: &Control,
    sides: Sides,
) -> anyhow::Result<(Server, SocketAddr)> {
    let plan = Plan::at(SERVER)?;
    let address = SocketAddr::from((SERVER, plan.listener));
    let server = match kind {
        Kind::TurnNode => {
            let command = control.equip(Server::quiet(&arguments.turn_node), &plan);
            let mut server = Server::start("plenum-turn-node", command)?;
            control.configure(&plan, sides.endpoints(arguments.allocations), &mut server)?;
            server
        }
        Kind::Coturn => coturn(arguments, address)?,
        Kind::Raw => raw(address, sides)?,
    };
    Ok((server, address))
}

fn coturn(arguments: &Arguments, address: SocketAddr) -> anyhow::Result<Server> {
    let mut command = Server::quiet(&arguments.turnserver);
    let (min, max) = RELAY_PORTS;
    // One relay thread and nothing that the load does not use; secrets as ours, peers on loopback allowed.
    command.args(["-n", "--relay-threads=1", "--use-auth-secret", "--allow-loopback-peers"]);
    command.args(["--no-tls", "--no-dtls", "--no-tcp", "--no-tcp-relay", "--no-cli", "--no-multicast-peers"]);
    command.args(["--no-software-attribute", "--no-stun-backward-compatibility"]);
    command.args(["--no-stdout-log", "--log-file=/dev/null", "--simple-log"]);
    command.args([format!("--listening-ip={}", address.ip()), format!("--relay-ip={}", address.ip())]);
    command.arg(format!("--listening-port={}", address.port()));
    command.args([format!("--min-port={min}"), format!("--max-port={max}")]);
    command.args([format!("--realm={REALM}"), format!("--static-auth-secret={SECRET}")]);
    let mut server = Server::start("turnserver", command)?;
    wait_for_answers(address, &mut server)?;
    Ok(server)
}

fn raw(address: SocketAddr, sides: Sides) -> anyhow::Result<Server> {
    let mut command = Server::quiet(&std::env::current_exe().context("asking for this program's path")?);
    command.args(["turn-raw", "--listen", &address.to_string()]);
    command.args(["--clients", &sides.clients.to_string(), "--peers", &sides.peers.to_string()]);
    command.stdout(Stdio::piped());
    let mut server = Server::start("the raw forwarder", command)?;
    let output = server.child().stdout.take().context("the forwarder has no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).context("waiting for the forwarder")?;
    if line.trim() != READY {
        bail!("the forwarder said {line:?}");
    }
    Ok(server)
}

fn wait_for_answers(address: SocketAddr, server: &mut Server) -> anyhow::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("opening a socket")?;
    socket.set_read_timeout(Some(PROBE)).context("setting a timeout")?;
    let credentials = Credentials::new(SECRET, REALM, 0)?;
    let deadline = Instant::now() + START;
    while !is_answered(&socket, address, &credentials)? {
        server.check()?;
        if Instant::now() > deadline {
            bail!("no answer at {address} within {} s", START.as_secs());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_has_an_address_of_its_own_and_a_peer_with_the_same_end() {
        let all: std::collections::BTreeSet<_> = (0..4000).map(|index| address(CLIENTS, index)).collect();
        assert_eq!(all.len(), 4000);
        assert_eq!(address(CLIENTS, 251), Ipv4Addr::new(127, 1, 1, 2));
        assert_eq!(address(PEERS, 251), Ipv4Addr::new(127, 2, 1, 2));
    }

    #[test]
    fn every_server_is_first_in_some_round() {
        let first: Vec<_> = (0..3).filter_map(|round| Kind::in_round(round).next()).collect();
        assert_eq!(first, Kind::ALL);
        assert_eq!(Kind::in_round(2).count(), 3);
    }
}
