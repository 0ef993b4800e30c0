//! Data: ChannelData and Send from clients, datagrams from peers. Nothing here allocates.
//!
//! Every packet needs a permission and a peer that the policy admits: channels were judged when they were bound and
//! with every new configuration, all else is judged packet by packet.

use super::{Received, Server};
use crate::allocation::{Allocation, Channel};
use crate::channel_data::{self, ChannelData};
use crate::client::{ClientId, RelayId};
use crate::config::CheckedConfig;
use crate::counters::Counters;
use crate::io::Io;
use crate::peers::Way;
use crate::stun::write::{Writer, kind};
use crate::stun::{attribute, method};
use std::net::SocketAddr;
use std::time::Instant;

const INDICATION: u16 = 0x010;
/// A Data indication's header, XOR-PEER-ADDRESS (IPv6), the header of DATA, and padding.
const DATA_OVERHEAD: usize = 20 + 24 + 4 + 3;
/// Largest UDP payload (IPv4).
const MAX_DATAGRAM: usize = 65_507;

impl Server {
    pub(super) fn handle_channel_data(&mut self, now: Instant, client: ClientId, message: &[u8], io: &mut impl Io) {
        let Some(data) = ChannelData::parse(message) else {
            return self.drop_malformed(client, io);
        };
        let slot = self.slot(client);
        let Some((slot, allocation)) = living(&mut self.allocations, slot, now) else {
            self.counters.drops.no_allocation += 1;
            return;
        };
        let Some(channel) = allocation.channels.iter().find(|channel| channel.number == data.channel) else {
            self.counters.drops.no_channel += 1;
            return;
        };
        if !channel.is_open(now) {
            self.counters.drops.no_permission += 1;
            return;
        }
        let (Way { inside, certain }, peer) = (channel.way, channel.peer);
        send(allocation, (super::relay_id(slot), inside), data.payload, now, (io, &mut self.counters));
        if !certain {
            self.send_to_others((slot, peer), data.payload, now, io);
        }
    }

    /// Sends to the further places of a peer that was not heard yet.
    fn send_to_others(&mut self, (slot, peer): (usize, SocketAddr), payload: &[u8], now: Instant, io: &mut impl Io) {
        let Some((relay, allocation)) = self.relay.as_deref().zip(self.allocations.get_mut(slot)) else { return };
        for other in relay.peers().others(allocation.scope, peer) {
            send(allocation, (super::relay_id(slot), other), payload, now, (io, &mut self.counters));
        }
    }

    pub(super) fn handle_send(&mut self, received: Received<'_>, io: &mut impl Io) {
        let Received { now, client, message, .. } = received;
        let slot = self.slot(client);
        let drops = &mut self.counters.drops;
        let Some((peer, data)) = message.peer.zip(message.data) else {
            drops.malformed += 1;
            return;
        };
        if message.invalid || !message.unknown.as_slice().is_empty() {
            drops.malformed += 1;
            return;
        }
        let Some((slot, allocation)) = living(&mut self.allocations, slot, now) else {
            drops.no_allocation += 1;
            return;
        };
        if !allocation.same_family(peer) || !allocation.is_permitted(peer.ip(), now) {
            drops.no_permission += 1;
            return;
        }
        let heard = allocation.channels.iter().find(|channel| channel.peer == peer).and_then(Channel::heard);
        let judged = self.relay.as_deref().map(|relay| relay.peers().way(allocation.scope, peer, heard));
        let Some(Ok(Way { inside, certain })) = judged else {
            drops.forbidden_peer += 1;
            return;
        };
        send(allocation, (super::relay_id(slot), inside), data, now, (io, &mut self.counters));
        if !certain {
            self.send_to_others((slot, peer), data, now, io);
        }
    }

    /// Handles a datagram that a relay socket received.
    pub fn handle_peer(&mut self, now: Instant, relay: RelayId, from: SocketAddr, datagram: &[u8], io: &mut impl Io) {
        let slot = usize::try_from(relay.0).ok();
        let Some((_, allocation)) = living(&mut self.allocations, slot, now) else {
            self.counters.drops.no_allocation += 1;
            return;
        };
        // Without what the socket says beyond address and port (flow, scope).
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        let policy = self.relay.as_deref().map(CheckedConfig::peers);
        let channel = allocation.channel_from(from, policy, now);
        let known = match (channel, policy) {
            (None, Some(policy)) => policy.heard(allocation.scope, from, |ip| allocation.is_permitted(ip, now)),
            _ => None,
        };
        let (client, stream) = (allocation.client, allocation.client.is_stream());
        let max_len = match (channel, known) {
            (Some(_), _) => channel_data::message_len(datagram.len(), stream),
            (None, Some(_)) => DATA_OVERHEAD + datagram.len(),
            (None, None) => {
                self.counters.drops.unknown_peer += 1;
                return;
            }
        };
        if max_len > if stream { channel_data::MAX_FRAME } else { MAX_DATAGRAM } {
            self.counters.drops.too_large += 1;
            return;
        }
        if !allocation.has_bandwidth(datagram.len(), now) {
            self.counters.drops.over_bandwidth += 1;
            return;
        }
        let transaction = if channel.is_none() { self.transactions.next() } else { [0; 12] };
        let written = io.to_client(client, max_len).and_then(|buffer| match (channel, known) {
            (Some(number), _) => channel_data::write(buffer, number, datagram, stream),
            (None, Some(peer)) => write_data(buffer, transaction, peer, datagram),
            (None, None) => None,
        });
        let Some(len) = written else {
            self.counters.drops.send_full += 1;
            return;
        };
        io.commit_client(len);
        allocation.received_bytes += datagram.len() as u64;
        self.counters.count_received(client.transport, datagram.len());
    }
}

/// The allocation of a slot, unless it has expired and only waits for its end.
fn living(
    allocations: &mut slab::Slab<Allocation>,
    slot: Option<usize>,
    now: Instant,
) -> Option<(usize, &mut Allocation)> {
    let slot = slot?;
    allocations.get_mut(slot).filter(|allocation| now < allocation.until).map(|allocation| (slot, allocation))
}

/// Sends to a peer what may be sent to it.
fn send(
    allocation: &mut Allocation,
    (relay, to): (RelayId, SocketAddr),
    payload: &[u8],
    now: Instant,
    (io, counters): (&mut impl Io, &mut Counters),
) {
    if !allocation.has_bandwidth(payload.len(), now) {
        counters.drops.over_bandwidth += 1;
        return;
    }
    let Some(buffer) = io.to_peer(relay, to, payload.len()).and_then(|buffer| buffer.get_mut(..payload.len())) else {
        counters.drops.send_full += 1;
        return;
    };
    buffer.copy_from_slice(payload);
    io.commit_peer(payload.len());
    allocation.sent_bytes += payload.len() as u64;
    counters.count_sent(allocation.client.transport, payload.len());
}

fn write_data(buffer: &mut [u8], transaction: [u8; 12], peer: SocketAddr, payload: &[u8]) -> Option<usize> {
    let mut writer = Writer::new(buffer, kind(method::DATA, INDICATION), transaction);
    writer.xor_address(attribute::XOR_PEER_ADDRESS, peer);
    writer.attribute(attribute::DATA, payload);
    writer.finish()
}
