//! The floor: a forwarder without any TURN over the same data plane. It takes the header of ChannelData off, or puts it
//! on, and knows nobody: the peer of 127.1.x.y is 127.2.x.y.

use super::servers::{CLIENTS, PEERS, Sides};
use crate::turn_client::{CHANNEL, HEADER};
use anyhow::Context as _;
use clap::Args;
use plenum_dataplane::{Handler, Outbox, RecvCounters, UdpSocket, command_channel, run_worker};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Instant;

/// Said when it listens.
pub(crate) const READY: &str = "ready";

/// Arguments of `turn-raw`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    /// Where it listens.
    #[arg(long)]
    pub(crate) listen: SocketAddr,
    /// Port of the clients.
    #[arg(long)]
    pub(crate) clients: u16,
    /// Port of the peers.
    #[arg(long)]
    pub(crate) peers: u16,
}

/// Forwards until it is killed.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let socket = UdpSocket::bind(arguments.listen)?;
    // Nobody ever speaks by it, but without it the worker would end.
    let (_commands, receiver) = command_channel(1).context("making a command channel")?;
    println!("{READY}");
    let mut forwarder = Forwarder { sides: Sides { clients: arguments.clients, peers: arguments.peers } };
    run_worker(socket, &receiver, &mut forwarder)?;
    Ok(ExitCode::SUCCESS)
}

struct Forwarder {
    sides: Sides,
}

impl Handler for Forwarder {
    type Command = ();

    fn handle_command(&mut self, _now: Instant, (): (), _out: &mut Outbox<'_>) {}

    fn handle_datagram(&mut self, _now: Instant, from: SocketAddr, datagram: &mut [u8], out: &mut Outbox<'_>) {
        let IpAddr::V4(ip) = from.ip() else { return };
        match ip.octets() {
            [127, CLIENTS, x, y] => {
                let Some(payload) = datagram.get(HEADER..) else { return };
                let to = SocketAddr::from((Ipv4Addr::new(127, PEERS, x, y), self.sides.peers));
                let Some(buffer) = out.reserve(to, payload.len()) else { return };
                buffer.copy_from_slice(payload);
                out.commit(payload.len());
            }
            [127, PEERS, x, y] => {
                let to = SocketAddr::from((Ipv4Addr::new(127, CLIENTS, x, y), self.sides.clients));
                let Ok(len) = u16::try_from(datagram.len()) else { return };
                let whole = HEADER + datagram.len();
                let Some((header, payload)) =
                    out.reserve(to, whole).and_then(|buffer| buffer.split_at_mut_checked(HEADER))
                else {
                    return;
                };
                let ([c, d], [e, f]) = (CHANNEL.to_be_bytes(), len.to_be_bytes());
                header.copy_from_slice(&[c, d, e, f]);
                payload.copy_from_slice(datagram);
                out.commit(whole);
            }
            _ => {}
        }
    }

    fn flush(&mut self, _now: Instant, _out: &mut Outbox<'_>) {}

    fn handle_timeout(&mut self, _now: Instant, _out: &mut Outbox<'_>) {}

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn end_round(&mut self, _now: Instant, _received: RecvCounters, _out: &mut Outbox<'_>) {}
}
