//! One load on one server: packets of many flows in turn, isolated or in bursts, one way, at a steady rate; and what
//! of it arrived.

use crate::process::Server;
use crate::turn_client::{Buffers, CHANNEL, HEADER, Pair};
use plenum_dataplane::UdpSocket;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What every payload begins with.
const MAGIC: [u8; 8] = *b"PlenumTn";
const FILLER: u8 = 0x5a;
/// Bursts sent before arrivals are looked for again.
const BURSTS_AT_ONCE: u64 = 64;
/// Sockets that are looked at in between.
const LOOKS: usize = 16;
/// What the load is late for longer than this is not caught up with.
const CATCH_UP: f64 = 0.002;
/// How long packets are waited for in the end.
const TAIL: Duration = Duration::from_millis(150);

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Load {
    /// From peers to clients; else from clients to peers.
    pub(crate) down: bool,
    /// Packets of a flow that follow each other at once.
    pub(crate) burst: usize,
    /// Packets a second, in all.
    pub(crate) rate: u32,
    /// Payload bytes.
    pub(crate) size: usize,
    /// For how long.
    pub(crate) time: Duration,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Outcome {
    /// Packets sent.
    pub(crate) sent: u64,
    /// Packets that arrived whole.
    pub(crate) delivered: u64,
    /// Packets of another length or content.
    pub(crate) broken: u64,
    /// How long it was sent.
    pub(crate) time: Duration,
    /// CPU time of the server while it was sent.
    pub(crate) busy: Duration,
    /// CPU time of the server until the last packet was through.
    pub(crate) cpu: Duration,
}

impl Load {
    /// Sends to `server` and counts what arrives.
    pub(crate) fn run(
        &self,
        flows: &mut [Pair],
        address: SocketAddr,
        server: &Server,
        buffers: &mut Buffers,
    ) -> anyhow::Result<Outcome> {
        let payload = payload(self.size);
        let framed = framed(&payload);
        let (sent, expected) = if self.down { (&payload, &framed) } else { (&framed, &payload) };
        let mut run = Run { load: self, address, expected, next: 0, looked: 0, outcome: Outcome::default() };
        let before = server.cpu()?;
        let start = Instant::now();
        let mut skipped = 0.0;
        loop {
            run.outcome.time = start.elapsed();
            if run.outcome.time >= self.time {
                break;
            }
            let per_second = f64::from(self.rate) / self.burst as f64;
            let bursts = run.outcome.sent as f64 / self.burst as f64;
            let mut due = run.outcome.time.as_secs_f64() * per_second - skipped - bursts;
            let most = (per_second * CATCH_UP).max(BURSTS_AT_ONCE as f64);
            if due > most {
                skipped += due - most;
                due = most;
            }
            for _ in 0..(due as u64).min(BURSTS_AT_ONCE) {
                run.send(flows, sent, buffers);
            }
            run.look(flows, LOOKS, buffers)?;
        }
        run.outcome.busy = server.cpu()?.saturating_sub(before);
        let end = Instant::now() + TAIL;
        while Instant::now() < end {
            run.look(flows, flows.len(), buffers)?;
        }
        run.outcome.cpu = server.cpu()?.saturating_sub(before);
        Ok(run.outcome)
    }
}

struct Run<'a> {
    load: &'a Load,
    /// Of the server.
    address: SocketAddr,
    expected: &'a [u8],
    /// Flow that sends next.
    next: usize,
    /// Flow that is looked at next.
    looked: usize,
    outcome: Outcome,
}

impl Run<'_> {
    /// A burst of the next flow.
    fn send(&mut self, flows: &mut [Pair], packet: &[u8], buffers: &mut Buffers) {
        let Some(pair) = turn(&mut self.next, flows) else { return };
        let (socket, to) = match (self.load.down, pair.relay) {
            (false, _) => (&mut pair.client, self.address),
            (true, relay) => (&mut pair.peer, relay.unwrap_or(self.address)),
        };
        if buffers.send(socket, to, packet, self.load.burst) {
            self.outcome.sent += self.load.burst as u64;
        }
    }

    /// Takes what has arrived at the next `count` flows.
    fn look(&mut self, flows: &mut [Pair], count: usize, buffers: &mut Buffers) -> anyhow::Result<()> {
        for _ in 0..count {
            let Some(pair) = turn(&mut self.looked, flows) else { return Ok(()) };
            let socket: &UdpSocket = if self.load.down { &pair.client } else { &pair.peer };
            loop {
                let more = buffers.receive(socket)?;
                for (_, datagram) in buffers.inbox.datagrams() {
                    // The head is enough: the kernel copies, and the length tells the rest.
                    let head = HEADER + MAGIC.len();
                    let whole =
                        datagram.len() == self.expected.len() && datagram.get(..head) == self.expected.get(..head);
                    let count = if whole { &mut self.outcome.delivered } else { &mut self.outcome.broken };
                    *count += 1;
                }
                if !more {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// The next one, round and round.
fn turn<'a>(next: &mut usize, flows: &'a mut [Pair]) -> Option<&'a mut Pair> {
    let index = *next;
    *next = if index + 1 < flows.len() { index + 1 } else { 0 };
    flows.get_mut(index)
}

fn payload(size: usize) -> Vec<u8> {
    let mut payload = vec![FILLER; size];
    for (byte, magic) in payload.iter_mut().zip(MAGIC) {
        *byte = magic;
    }
    payload
}

/// ChannelData over UDP.
pub(crate) fn framed(payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap_or(u16::MAX);
    [&CHANNEL.to_be_bytes(), &len.to_be_bytes(), payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channel_data_is_a_channel_a_length_and_a_payload() {
        let framed = framed(&payload(16));
        assert_eq!(framed.len(), 20);
        assert_eq!(framed[..12], *b"\x40\x00\x00\x10PlenumTn");
        assert_eq!(framed[12..], [FILLER; 8]);
    }
}
