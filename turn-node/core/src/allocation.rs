//! One allocation: its permissions and channels, what it answered, how much it may send.

use crate::client::ClientId;
use crate::counters::{Method, Outcome};
use crate::credentials::{Asker, LongTermKey};
use crate::ledger::Place;
use crate::peers::{PeerPolicy, Way};
use plenum_protocol::relay::AllocationState;
use plenum_protocol::turn::{Scope, Username};
use plenum_sansio::TokenBucket;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// How long a permission holds (RFC 8656, section 9).
pub(crate) const PERMISSION: Duration = Duration::from_secs(300);
/// How long a channel holds (RFC 8656, section 12).
pub(crate) const CHANNEL: Duration = Duration::from_secs(600);
/// IPv4 and UDP headers: empty packets cost something too.
const PACKET_OVERHEAD: usize = 28;
/// Bindings and challenges: a client needs one now and then.
const UNSIGNED_PER_SECOND: u64 = 20;
/// Answers that are remembered per allocation.
const REMEMBERED: usize = 4;

/// A peer's address that may send. Addresses are those that clients know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Permission {
    pub(crate) ip: IpAddr,
    pub(crate) until: Instant,
}

/// A number for a peer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Channel {
    pub(crate) number: u16,
    /// As the client knows it.
    pub(crate) peer: SocketAddr,
    pub(crate) way: Way,
    pub(crate) until: Instant,
    /// When the permission for its address ends: kept equal to it, so that a packet asks in one place.
    pub(crate) permitted: Instant,
}

impl Channel {
    /// Whether packets pass.
    pub(crate) fn is_open(&self, now: Instant) -> bool {
        now < self.until && now < self.permitted
    }

    /// Where the peer was heard, or must be.
    pub(crate) fn heard(&self) -> Option<SocketAddr> {
        self.way.certain.then_some(self.way.inside)
    }
}

/// What a successful request did: enough to write the same answer again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    /// Allocated for so many seconds.
    Allocated {
        lifetime: u32,
        /// ADDITIONAL-ADDRESS-FAMILY asked for a second relay, which there is not.
        additional_refused: bool,
    },
    /// Refreshed for so many seconds.
    Refreshed { lifetime: u32 },
    /// Permissions, or a channel.
    Granted,
}

/// A request and its answer.
#[derive(Debug, Clone, Copy)]
struct Answered {
    transaction: [u8; 12],
    method: Method,
    answer: Result<Done, Outcome>,
}

/// How long an allocation lives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) begun: Instant,
    /// Unless it is refreshed.
    pub(crate) until: Instant,
    /// However often it is refreshed.
    pub(crate) last: Instant,
}

pub(crate) struct Allocation {
    pub(crate) client: ClientId,
    pub(crate) username: Box<str>,
    /// Of the request that made it: good for as long as it lives, whatever becomes of secret and realm.
    pub(crate) key: LongTermKey,
    pub(crate) scope: Option<Scope>,
    /// As clients and peers outside know it. Its port is the real one.
    pub(crate) relayed: SocketAddr,
    pub(crate) until: Instant,
    /// Refreshes end here.
    pub(crate) last: Instant,
    pub(crate) permissions: Vec<Permission>,
    pub(crate) channels: Vec<Channel>,
    /// Bits, both ways together.
    pub(crate) bandwidth: TokenBucket,
    /// In the pod's ledger, until it ends.
    _place: Place,
    /// Answers to what comes from its client's address and is not signed: anybody can send that.
    pub(crate) unsigned: TokenBucket,
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
    /// Bytes both ways, and since when they are no more, as a leaving relay saw them.
    pub(crate) quiet_since: Option<(u64, Instant)>,
    answered: [Option<Answered>; REMEMBERED],
    /// Where the next answer is remembered.
    next_answer: usize,
}

impl Allocation {
    /// An allocation that is not refreshed yet.
    pub(crate) fn new(
        client: ClientId,
        asker: &Asker<'_>,
        relayed: SocketAddr,
        span: Span,
        (place, bandwidth): (Place, TokenBucket),
    ) -> Self {
        Self {
            client,
            username: asker.username.into(),
            key: asker.key,
            scope: asker.parsed.scope,
            relayed,
            until: span.until,
            last: span.last,
            permissions: Vec::new(),
            channels: Vec::new(),
            bandwidth,
            _place: place,
            unsigned: TokenBucket::new(UNSIGNED_PER_SECOND, Duration::from_secs(1), span.begun),
            sent_bytes: 0,
            received_bytes: 0,
            quiet_since: None,
            answered: [None; REMEMBERED],
            next_answer: 0,
        }
    }

    pub(crate) fn state(&self) -> AllocationState {
        let session = Username::parse(&self.username).map(|parsed| parsed.session).unwrap_or_default();
        AllocationState {
            port: self.relayed.port(),
            transport: self.client.transport,
            session: session.to_owned(),
            scope: self.scope,
            sent_bytes: self.sent_bytes,
            received_bytes: self.received_bytes,
        }
    }

    /// Whether a peer has the address family of the relay.
    pub(crate) fn same_family(&self, peer: SocketAddr) -> bool {
        self.relayed.is_ipv4() == peer.is_ipv4()
    }

    pub(crate) fn is_permitted(&self, ip: IpAddr, now: Instant) -> bool {
        self.permissions.iter().any(|permission| permission.ip == ip && now < permission.until)
    }

    /// Grants or renews a permission.
    pub(crate) fn permit(&mut self, ip: IpAddr, now: Instant) {
        let until = now + PERMISSION;
        match self.permissions.iter_mut().find(|permission| permission.ip == ip) {
            Some(permission) => permission.until = until,
            None => self.permissions.push(Permission { ip, until }),
        }
        for channel in self.channels.iter_mut().filter(|channel| channel.peer.ip() == ip) {
            channel.permitted = until;
        }
    }

    /// Binds or renews a channel; its permission comes with it.
    pub(crate) fn bind(&mut self, number: u16, peer: SocketAddr, way: Way, now: Instant) {
        let (until, permitted) = (now + CHANNEL, now + PERMISSION);
        match self.channels.iter_mut().find(|channel| channel.number == number) {
            Some(channel) => *channel = Channel { number, peer, way, until, permitted },
            None => self.channels.push(Channel { number, peer, way, until, permitted }),
        }
        self.permit(peer.ip(), now);
    }

    /// Takes away what a new policy forbids, and follows where it moved endpoints. Answers how many were taken.
    pub(crate) fn judge_again(&mut self, policy: &PeerPolicy) -> usize {
        let before = self.permissions.len() + self.channels.len();
        let scope = self.scope;
        self.permissions.retain(|permission| policy.judge_address(scope, permission.ip).is_ok());
        self.channels.retain_mut(|channel| {
            let way = policy.way(scope, channel.peer, channel.heard());
            channel.way = way.unwrap_or(channel.way);
            way.is_ok()
        });
        before - self.permissions.len() - self.channels.len()
    }

    /// The open channel by which a packet comes. A peer that is heard from another of its places is there from now on.
    pub(crate) fn channel_from(&mut self, from: SocketAddr, policy: Option<&PeerPolicy>, now: Instant) -> Option<u16> {
        let scope = self.scope;
        let known = self.channels.iter().position(|channel| channel.way.inside == from && channel.is_open(now));
        let found = known.or_else(|| {
            let is_from = |channel: &Channel| policy.is_some_and(|policy| policy.is_from(scope, channel.peer, from));
            self.channels.iter().position(|channel| channel.is_open(now) && is_from(channel))
        });
        let channel = self.channels.get_mut(found?)?;
        channel.way = Way { inside: from, certain: true };
        Some(channel.number)
    }

    /// Forgets permissions and channels that expired.
    pub(crate) fn prune(&mut self, now: Instant) {
        self.permissions.retain(|permission| now < permission.until);
        self.channels.retain(|channel| now < channel.until);
    }

    /// When something of it expires next.
    pub(crate) fn next_expiry(&self) -> Instant {
        let permissions = self.permissions.iter().map(|permission| permission.until);
        let channels = self.channels.iter().map(|channel| channel.until);
        permissions.chain(channels).fold(self.until, Instant::min)
    }

    /// The answer that this request got when it came first.
    pub(crate) fn answered(&self, method: Method, transaction: [u8; 12]) -> Option<Result<Done, Outcome>> {
        let same = |answered: &&Answered| answered.transaction == transaction && answered.method == method;
        self.answered.iter().flatten().find(same).map(|answered| answered.answer)
    }

    /// Remembers an answer, and forgets the oldest.
    pub(crate) fn remember(&mut self, method: Method, transaction: [u8; 12], answer: Result<Done, Outcome>) {
        if let Some(place) = self.answered.get_mut(self.next_answer) {
            *place = Some(Answered { transaction, method, answer });
        }
        self.next_answer = (self.next_answer + 1) % REMEMBERED;
    }

    /// Takes a packet of so many payload bytes from its bandwidth, IPv4 and UDP headers included.
    pub(crate) fn has_bandwidth(&mut self, bytes: usize, now: Instant) -> bool {
        self.bandwidth.take((bytes + PACKET_OVERHEAD) as u64 * 8, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allocation_is_small() {
        assert!(size_of::<Allocation>() <= 512, "{} bytes", size_of::<Allocation>());
    }
}
