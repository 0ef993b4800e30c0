//! Calls: clients that send numbered packets at a steady pace, and peers that send them back.

use crate::turn_client::{Buffers, CHANNEL, HEADER, Pair};
use anyhow::Context as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Payload of a packet: that of 20 ms of speech.
const PAYLOAD: usize = 160;
const PAUSE: Duration = Duration::from_micros(300);
/// How often the caller is told that time passes.
const TICK: Duration = Duration::from_millis(200);
/// How long packets are waited for in the end.
const TAIL: Duration = Duration::from_millis(500);

/// What arrived; each packet counts once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Heard {
    /// Packets of clients.
    pub(super) sent: u64,
    /// Of them, at their peers.
    pub(super) at_peers: u64,
    /// Of them, back at their clients.
    pub(super) back: u64,
}

/// A call and the packets of it that were heard, by number.
struct Call {
    pair: Pair,
    at_peer: Vec<bool>,
    back: Vec<bool>,
}

/// All calls.
pub(super) struct Calls {
    calls: Vec<Call>,
    server: SocketAddr,
    per_second: f64,
    buffers: Buffers,
}

impl Calls {
    /// Calls over allocations that are there.
    pub(super) fn new(pairs: Vec<Pair>, server: SocketAddr, per_second: u32) -> Self {
        let calls = pairs.into_iter().map(|pair| Call { pair, at_peer: Vec::new(), back: Vec::new() }).collect();
        Self { calls, server, per_second: f64::from(per_second), buffers: Buffers::new() }
    }

    /// Speaks for `time`, and tells `tick` now and then.
    pub(super) fn run(
        &mut self,
        time: Duration,
        mut tick: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Heard> {
        for call in &mut self.calls {
            call.at_peer.clear();
            call.back.clear();
        }
        let start = Instant::now();
        let mut ticked = start;
        loop {
            let elapsed = start.elapsed();
            if elapsed >= time + TAIL {
                break;
            }
            if elapsed < time {
                self.speak(elapsed);
            }
            self.listen()?;
            if ticked.elapsed() >= TICK {
                ticked = Instant::now();
                tick()?;
            }
            std::thread::sleep(PAUSE);
        }
        Ok(self.heard())
    }

    /// Sends what is due; the calls are spread over the pace.
    fn speak(&mut self, elapsed: Duration) {
        let count = self.calls.len().max(1) as f64;
        for (index, call) in self.calls.iter_mut().enumerate() {
            let due = (elapsed.as_secs_f64() * self.per_second + index as f64 / count) as usize;
            while call.at_peer.len() < due {
                let packet = numbered(call.at_peer.len() as u32);
                call.at_peer.push(false);
                call.back.push(false);
                // A packet that does not leave is lost as any other.
                self.buffers.send(&mut call.pair.client, self.server, &packet, 1);
            }
        }
    }

    fn listen(&mut self) -> anyhow::Result<()> {
        for call in &mut self.calls {
            let Call { pair, at_peer, back } = call;
            let relay = pair.relay.context("a call has no allocation")?;
            let mut returned = Vec::new();
            while {
                let more = self.buffers.receive(&pair.peer)?;
                for (_, payload) in self.buffers.inbox.datagrams() {
                    hear(at_peer, payload);
                    returned.push(payload.to_vec());
                }
                more
            } {}
            for payload in returned {
                self.buffers.send(&mut pair.peer, relay, &payload, 1);
            }
            while {
                let more = self.buffers.receive(&pair.client)?;
                for (_, message) in self.buffers.inbox.datagrams() {
                    hear(back, message.get(HEADER..).unwrap_or_default());
                }
                more
            } {}
        }
        Ok(())
    }

    fn heard(&self) -> Heard {
        let count = |flags: &[bool]| flags.iter().filter(|heard| **heard).count() as u64;
        self.calls.iter().fold(Heard::default(), |sum, call| Heard {
            sent: sum.sent + call.at_peer.len() as u64,
            at_peers: sum.at_peers + count(&call.at_peer),
            back: sum.back + count(&call.back),
        })
    }
}

/// ChannelData that begins with its number.
fn numbered(number: u32) -> Vec<u8> {
    let mut packet = [CHANNEL.to_be_bytes(), (PAYLOAD as u16).to_be_bytes()].concat();
    packet.extend(number.to_be_bytes());
    packet.resize(HEADER + PAYLOAD, 0x5a);
    packet
}

fn hear(flags: &mut [bool], payload: &[u8]) {
    let number = payload.first_chunk().map(|number| u32::from_be_bytes(*number) as usize);
    if let Some(flag) = number.filter(|_| payload.len() == PAYLOAD).and_then(|number| flags.get_mut(number)) {
        *flag = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_heard_once_by_its_number() {
        let mut flags = [false; 3];
        let packet = numbered(1);
        hear(&mut flags, &packet[HEADER..]);
        hear(&mut flags, &packet[HEADER..]);
        hear(&mut flags, &numbered(3)[HEADER..]);
        hear(&mut flags, &[0, 0, 0, 0]);
        assert_eq!(flags, [false, true, false]);
    }
}
