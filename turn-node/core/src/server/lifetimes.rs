//! Refresh (RFC 8656, section 8), and how allocations end: given back, expired, or with their stream.

use super::allocate::lifetime_until;
use super::{Received, Server, relay_id};
use crate::allocation::Done;
use crate::client::ClientId;
use crate::counters::Outcome;
use crate::event::Event;
use crate::io::Io;
use plenum_sansio::stun::address::{IPV4, IPV6};
use std::time::{Duration, Instant};

impl Server {
    pub(super) fn refresh(&mut self, received: Received<'_>, slot: usize, io: &mut impl Io) -> Result<Done, Outcome> {
        let Received { now, client, message, .. } = received;
        let allocation = self.allocations.get_mut(slot).ok_or(Outcome::AllocationMismatch)?;
        let family = if allocation.relayed.is_ipv4() { IPV4 } else { IPV6 };
        if message.family.is_some_and(|asked| asked != family) {
            return Err(Outcome::FamilyMismatch);
        }
        if message.lifetime == Some(0) {
            self.ended.add(client, message.transaction, allocation.key, now);
            self.end(slot, now, io);
            return Ok(Done::Refreshed { lifetime: 0 });
        }
        let lifetime = lifetime_until(message.lifetime, allocation.last, now);
        if lifetime == 0 {
            // Its last second: a lifetime of 0 would say that it was given back.
            return Err(Outcome::AllocationMismatch);
        }
        allocation.until = now + Duration::from_secs(u64::from(lifetime));
        self.set_timer(slot);
        Ok(Done::Refreshed { lifetime })
    }

    /// A client's stream is closed: its allocation, if it has one, ends.
    pub fn client_gone(&mut self, now: Instant, client: ClientId, io: &mut impl Io) {
        if let Some(slot) = self.slot(client) {
            self.end(slot, now, io);
        }
    }

    /// Ends what expired, and, while the relay leaves, what nobody uses. Call it when [`Server::poll_timeout`] is due, or later.
    pub fn handle_timeout(&mut self, now: Instant, io: &mut impl Io) {
        self.ended.forget(now);
        while let Some(slot) = self.timers.pop_due(now) {
            let Some(allocation) = self.allocations.get_mut(slot) else { continue };
            if now < allocation.until {
                allocation.prune(now);
                self.timers.wake_by(slot, allocation.next_expiry());
                continue;
            }
            self.counters.expired += 1;
            self.end_with_stream(slot, now, io);
        }
        self.look_for_idle(now, io);
    }

    /// Ends an allocation, and its client's stream, which is of no use without it.
    pub(super) fn end_with_stream(&mut self, slot: usize, now: Instant, io: &mut impl Io) {
        let Some(client) = self.allocations.get(slot).map(|allocation| allocation.client) else { return };
        self.end(slot, now, io);
        if client.is_stream() {
            io.close_client(client);
        }
    }

    /// An allocation is woken when something of it expires, or before.
    pub(super) fn set_timer(&mut self, slot: usize) {
        if let Some(allocation) = self.allocations.get(slot) {
            self.timers.wake_by(slot, allocation.next_expiry());
        }
    }

    /// Removes every trace of an allocation, and leaves its place; its port rests.
    fn end(&mut self, slot: usize, now: Instant, io: &mut impl Io) {
        let Some(allocation) = self.allocations.try_remove(slot) else { return };
        let port = allocation.relayed.port();
        tracing::debug!(worker = self.config.worker, port, "ended");
        io.close_relay(relay_id(slot));
        self.clients.remove(&allocation.client);
        self.by_port.remove(&port);
        self.timers.remove(slot);
        self.ports.give(port, now);
        self.events.push_back(Event::Ended { port });
    }
}
