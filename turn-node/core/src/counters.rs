//! What a server counts. Plain fields; the shell exports them.

use plenum_protocol::turn::RelayTransport;

/// Totals since the server started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Requests that were answered, by method and outcome.
    requests: [[u64; Outcome::ALL.len()]; Method::ALL.len()],
    /// Payload relayed, by the client's transport.
    relayed: [Relayed; 3],
    /// Requests that were sent again and got the answer of the first time again; they are in `requests` too.
    pub replayed: u64,
    /// Indications with which clients keep their NAT open: nothing is to be done.
    pub keep_alives: u64,
    /// Allocations that ended because they were not refreshed, or lived as long as they may.
    pub expired: u64,
    /// Allocations that a relay that leaves ended, since they carried nothing any more.
    pub idle: u64,
    /// Permissions and channels that a new configuration took away.
    pub revoked: u64,
    /// Messages that were dropped.
    pub drops: Drops,
}

impl Counters {
    /// Requests of `method` that ended with `outcome`.
    #[must_use]
    pub fn requests(&self, method: Method, outcome: Outcome) -> u64 {
        self.requests.get(method as usize).and_then(|row| row.get(outcome as usize)).copied().unwrap_or_default()
    }

    /// What was relayed for clients that come by `transport`.
    #[must_use]
    pub fn relayed(&self, transport: RelayTransport) -> Relayed {
        self.relayed.get(transport as usize).copied().unwrap_or_default()
    }

    pub(crate) fn count_request(&mut self, method: Method, outcome: Outcome) {
        if let Some(count) = self.requests.get_mut(method as usize).and_then(|row| row.get_mut(outcome as usize)) {
            *count += 1;
        }
    }

    pub(crate) fn count_sent(&mut self, transport: RelayTransport, bytes: usize) {
        if let Some(relayed) = self.relayed.get_mut(transport as usize) {
            relayed.packets_to_peers += 1;
            relayed.bytes_to_peers += bytes as u64;
        }
    }

    pub(crate) fn count_received(&mut self, transport: RelayTransport, bytes: usize) {
        if let Some(relayed) = self.relayed.get_mut(transport as usize) {
            relayed.packets_to_clients += 1;
            relayed.bytes_to_clients += bytes as u64;
        }
    }
}

/// Relayed payload, without any header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Relayed {
    /// Packets from clients to peers.
    pub packets_to_peers: u64,
    /// Their bytes.
    pub bytes_to_peers: u64,
    /// Packets from peers to clients.
    pub packets_to_clients: u64,
    /// Their bytes.
    pub bytes_to_clients: u64,
}

/// Methods of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Which address do I have?
    Binding,
    /// Give me a relay.
    Allocate,
    /// Keep it, or give it back.
    Refresh,
    /// Let these peers send to me.
    CreatePermission,
    /// Name this peer with a number.
    ChannelBind,
}

impl Method {
    /// Every method.
    pub const ALL: [Self; 5] =
        [Self::Binding, Self::Allocate, Self::Refresh, Self::CreatePermission, Self::ChannelBind];

    /// Stable name for logs and metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Binding => "Binding",
            Self::Allocate => "Allocate",
            Self::Refresh => "Refresh",
            Self::CreatePermission => "CreatePermission",
            Self::ChannelBind => "ChannelBind",
        }
    }
}

/// How a request was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// As asked.
    Success,
    /// 400: something is missing or malformed.
    BadRequest,
    /// 401: no credentials, or wrong or expired ones.
    Unauthorized,
    /// 403: this peer is not for this credential.
    Forbidden,
    /// 420: an attribute that must be understood and is not.
    UnknownAttribute,
    /// 437: there is an allocation where none should be, or none where one should.
    AllocationMismatch,
    /// 438: the nonce is too old, or another worker's.
    StaleNonce,
    /// 440: no relay of this address family here.
    FamilyUnsupported,
    /// 441: somebody else's allocation.
    WrongCredentials,
    /// 442: only UDP is relayed.
    TransportUnsupported,
    /// 443: the peer has another address family than the relay.
    FamilyMismatch,
    /// 486: the user, the client's address or the pod has enough allocations.
    QuotaReached,
    /// 508: no ports, sockets or places left, or the pod is draining.
    InsufficientCapacity,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 13] = [
        Self::Success,
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::UnknownAttribute,
        Self::AllocationMismatch,
        Self::StaleNonce,
        Self::FamilyUnsupported,
        Self::WrongCredentials,
        Self::TransportUnsupported,
        Self::FamilyMismatch,
        Self::QuotaReached,
        Self::InsufficientCapacity,
    ];

    /// Stable name for logs and metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The error code; 0 for success.
    #[must_use]
    pub fn code(self) -> u16 {
        self.row().1
    }

    /// The reason phrase of RFC 8656 and 8489.
    #[must_use]
    pub fn reason(self) -> &'static str {
        self.row().2
    }

    /// Name, code and reason.
    fn row(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::Success => ("Success", 0, ""),
            Self::BadRequest => ("BadRequest", 400, "Bad Request"),
            Self::Unauthorized => ("Unauthorized", 401, "Unauthorized"),
            Self::Forbidden => ("Forbidden", 403, "Forbidden"),
            Self::UnknownAttribute => ("UnknownAttribute", 420, "Unknown Attribute"),
            Self::AllocationMismatch => ("AllocationMismatch", 437, "Allocation Mismatch"),
            Self::StaleNonce => ("StaleNonce", 438, "Stale Nonce"),
            Self::FamilyUnsupported => ("FamilyUnsupported", 440, "Address Family not Supported"),
            Self::WrongCredentials => ("WrongCredentials", 441, "Wrong Credentials"),
            Self::TransportUnsupported => ("TransportUnsupported", 442, "Unsupported Transport Protocol"),
            Self::FamilyMismatch => ("FamilyMismatch", 443, "Peer Address Family Mismatch"),
            Self::QuotaReached => ("QuotaReached", 486, "Allocation Quota Reached"),
            Self::InsufficientCapacity => ("InsufficientCapacity", 508, "Insufficient Capacity"),
        }
    }
}

/// Drops, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drops {
    /// Neither STUN nor ChannelData, or malformed.
    pub malformed: u64,
    /// STUN whose FINGERPRINT does not hold.
    pub fingerprint: u64,
    /// A method, or a kind of message, that no client sends to a server.
    pub unexpected: u64,
    /// Before there is a configuration.
    pub unconfigured: u64,
    /// Answers to the unauthenticated over their bounds.
    pub unauthenticated_limited: u64,
    /// Data of a client that has no allocation.
    pub no_allocation: u64,
    /// Data for a channel that is not bound.
    pub no_channel: u64,
    /// Data to a peer without a permission.
    pub no_permission: u64,
    /// Data to a peer that the policy forbids.
    pub forbidden_peer: u64,
    /// Data from an address without a permission, or that the policy forbids.
    pub unknown_peer: u64,
    /// Data over the bandwidth of its allocation.
    pub over_bandwidth: u64,
    /// Data that no message can hold.
    pub too_large: u64,
    /// Messages for which there was no room to send.
    pub send_full: u64,
}

impl Drops {
    /// Every drop with a stable name for a metric label.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 13] {
        [
            ("Malformed", self.malformed),
            ("Fingerprint", self.fingerprint),
            ("Unexpected", self.unexpected),
            ("Unconfigured", self.unconfigured),
            ("UnauthenticatedLimited", self.unauthenticated_limited),
            ("NoAllocation", self.no_allocation),
            ("NoChannel", self.no_channel),
            ("NoPermission", self.no_permission),
            ("ForbiddenPeer", self.forbidden_peer),
            ("UnknownPeer", self.unknown_peer),
            ("OverBandwidth", self.over_bandwidth),
            ("TooLarge", self.too_large),
            ("SendFull", self.send_full),
        ]
    }

    /// Sum over all reasons.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.named().iter().map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_method_and_outcome_has_its_own_count() {
        let mut counters = Counters::default();
        for method in Method::ALL {
            for outcome in Outcome::ALL {
                assert_eq!(counters.requests(method, outcome), 0, "{method:?} {outcome:?}");
                counters.count_request(method, outcome);
                assert_eq!(counters.requests(method, outcome), 1, "{method:?} {outcome:?}");
            }
        }
    }
}
