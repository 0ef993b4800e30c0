//! Allocate (RFC 8656, section 7).
//!
//! Not here, and refused as the RFC wants it: RESERVATION-TOKEN and EVEN-PORT with a reservation (508),
//! DONT-FRAGMENT (420), ADDITIONAL-ADDRESS-FAMILY (ADDRESS-ERROR-CODE 440 beside the IPv4 relay), TCP relays (442).

use super::{Received, Server, bandwidth, relay_id};
use crate::allocation::{Allocation, Done, Span};
use crate::client::RelayId;
use crate::config::CheckedConfig;
use crate::counters::Outcome;
use crate::credentials::{Asker, user};
use crate::event::Event;
use crate::io::{Io, OpenError};
use crate::stun::Message;
use plenum_sansio::stun::address::{IPV4, IPV6};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

const UDP: u8 = 17;
/// Ports that are tried before an Allocate is refused: others on the host may hold some.
const MAX_TRIES: usize = 8;
/// RFC 8656, section 3.2.
const DEFAULT_LIFETIME: u32 = 600;
const MAX_LIFETIME: u32 = 3_600;

/// The relay that a client asks for.
#[derive(Clone, Copy)]
struct Wanted {
    ipv4: bool,
    even: bool,
    additional_refused: bool,
}

impl Wanted {
    fn of(message: &Message<'_>) -> Result<Self, Outcome> {
        match message.transport {
            None => return Err(Outcome::BadRequest),
            Some(UDP) => {}
            Some(_) => return Err(Outcome::TransportUnsupported),
        }
        let additional_refused = match (message.additional_family, message.family) {
            (None, _) => false,
            (Some(IPV6), None) if !message.reservation && message.even_port != Some(true) => true,
            _ => return Err(Outcome::BadRequest),
        };
        if message.reservation && (message.even_port.is_some() || message.family.is_some()) {
            return Err(Outcome::BadRequest);
        }
        // Nothing is ever reserved, so no token is valid.
        if message.reservation || message.even_port == Some(true) {
            return Err(Outcome::InsufficientCapacity);
        }
        let ipv4 = match message.family {
            None | Some(IPV4) => true,
            Some(IPV6) => false,
            Some(_) => return Err(Outcome::FamilyUnsupported),
        };
        Ok(Self { ipv4, even: message.even_port.is_some(), additional_refused })
    }
}

impl Server {
    pub(super) fn allocate(
        &mut self,
        received: Received<'_>,
        asker: &Asker<'_>,
        relay: &CheckedConfig,
        io: &mut impl Io,
    ) -> Result<Done, Outcome> {
        let Received { now, unix, client, message } = received;
        if self.knows(client) {
            return Err(Outcome::AllocationMismatch);
        }
        if asker.parsed.expires < unix {
            return Err(Outcome::Unauthorized);
        }
        let wanted = Wanted::of(message)?;
        let bind = self.config.bind.iter().map(IpAddr::to_canonical).find(|ip| ip.is_ipv4() == wanted.ipv4);
        let (bind, outside) = bind.zip(relay.outside(wanted.ipv4)).ok_or(Outcome::FamilyUnsupported)?;
        if !relay.accepting {
            return Err(Outcome::InsufficientCapacity);
        }
        let user = user(asker.username, &asker.parsed);
        let place = self.config.ledger.enter(&relay.quotas, user, client.remote.ip()).ok_or(Outcome::QuotaReached)?;
        let id = relay_id(self.allocations.vacant_key());
        let port = self.open_relay(id, bind, wanted, (now, io)).ok_or(Outcome::InsufficientCapacity)?;
        let last = now + relay.max_lifetime;
        let lifetime = lifetime_until(message.lifetime, last, now);
        let span = Span { begun: now, until: now + Duration::from_secs(u64::from(lifetime)), last };
        let relayed = SocketAddr::new(outside, port);
        self.insert(Allocation::new(client, asker, relayed, span, (place, bandwidth(relay, now))));
        Ok(Done::Allocated { lifetime, additional_refused: wanted.additional_refused })
    }

    fn insert(&mut self, allocation: Allocation) {
        let state = allocation.state();
        tracing::debug!(worker = self.config.worker, port = state.port, transport = %state.transport, "allocated");
        let (client, until) = (allocation.client, allocation.until);
        let slot = self.allocations.insert(allocation);
        self.clients.insert(client, slot);
        self.by_port.insert(state.port, slot);
        self.timers.wake_by(slot, until);
        self.events.push_back(Event::Allocated(state));
    }

    /// Opens a relay socket on some free port.
    fn open_relay(
        &mut self,
        id: RelayId,
        bind: IpAddr,
        wanted: Wanted,
        (now, io): (Instant, &mut impl Io),
    ) -> Option<u16> {
        for _ in 0..MAX_TRIES {
            let port = self.ports.take(wanted.even, &mut self.random, now)?;
            let opened = io.open_relay(id, SocketAddr::new(bind, port));
            if opened.is_ok() {
                return Some(port);
            }
            self.ports.give(port, now);
            if opened == Err(OpenError::Refused) {
                return None;
            }
        }
        None
    }
}

/// The lifetime that is granted, seconds: what was asked for within the RFC's bounds, and never beyond `last`.
pub(super) fn lifetime_until(asked: Option<u32>, last: Instant, now: Instant) -> u32 {
    let left = u32::try_from(last.saturating_duration_since(now).as_secs()).unwrap_or(u32::MAX);
    asked.unwrap_or_default().clamp(DEFAULT_LIFETIME, MAX_LIFETIME).min(left)
}
