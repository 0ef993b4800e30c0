//! Who is in a room and which way its media goes, as those say who hold it. Pure.

use crate::ledger::RoomLoad;
use crate::rooms::apply::{Outcome, Service};
use plenum_api::RoomStatus;
use plenum_api::room::{Basis, FlowLegs, FlowName, Participants, RelayPolicy, RoomFlow, SignalingMode, Topology};
use plenum_protocol::flow::{self as protocol, LegCounts};

/// What is told of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rooms) enum Told {
    /// By who holds it.
    Load(RoomLoad),
    /// Nothing, by who holds it (to a new leader): what status says stays.
    Nothing,
    /// Nobody holds it.
    Unheld,
}

impl Told {
    /// A pod holds a room that is bound, gateways one that runs as two peers.
    pub(in crate::rooms) fn of(outcome: &Outcome, topology: Topology, load: Option<RoomLoad>) -> Self {
        let pair = topology == Topology::PeerToPeer;
        match (outcome, load) {
            (Outcome::Bound { .. }, Some(load)) => Self::Load(load),
            (Outcome::Peers { .. } | Outcome::Unplaced { .. }, Some(load)) if pair => Self::Load(load),
            (Outcome::Bound { service: Service::Unasked | Service::Lost(_), .. }, None) => Self::Nothing,
            (Outcome::Peers { .. } | Outcome::Unplaced { .. }, None) if pair => Self::Nothing,
            _ => Self::Unheld,
        }
    }

    pub(in crate::rooms) fn load(self) -> Option<RoomLoad> {
        match self {
            Self::Load(load) => Some(load),
            Self::Nothing | Self::Unheld => None,
        }
    }

    pub(in crate::rooms) fn participants(self, old: Option<&RoomStatus>) -> Participants {
        let old = old.and_then(|old| old.participants).unwrap_or_default();
        match self {
            Self::Load(load) => Participants { current: load.participants, peak: old.peak.max(load.peak) },
            Self::Nothing => old,
            Self::Unheld => Participants { current: 0, peak: old.peak },
        }
    }

    pub(in crate::rooms) fn flow(self, old: Option<&RoomStatus>, topology: Topology, policy: RelayPolicy) -> RoomFlow {
        let old = old.and_then(|old| old.flow.clone()).filter(|old| old.basis == Basis::Observed);
        let seen = match self {
            Self::Load(load) => observed(load.legs, topology),
            Self::Nothing => old,
            Self::Unheld => None,
        };
        seen.unwrap_or_else(|| planned(topology, policy))
    }
}

fn planned(topology: Topology, policy: RelayPolicy) -> RoomFlow {
    let name = match (topology, policy) {
        (Topology::PeerToPeer, RelayPolicy::Always) => FlowName::PeerToPeerRelayed,
        (Topology::PeerToPeer, _) => FlowName::PeerToPeer,
        (Topology::MediaServer, RelayPolicy::Always) => FlowName::MediaServerRelayed,
        (Topology::MediaServer, _) => FlowName::MediaServer,
    };
    RoomFlow { name, basis: Basis::Planned, signaling: SignalingMode::Gateway, legs: FlowLegs::default() }
}

/// `None` while no leg is connected.
fn observed(legs: LegCounts, topology: Topology) -> Option<RoomFlow> {
    let LegCounts { direct, relayed, colocated } = legs;
    let (name, basis) = match topology {
        Topology::PeerToPeer => protocol::peer_to_peer_flow(legs),
        Topology::MediaServer => protocol::media_server_flow(legs),
    };
    let name = match name {
        protocol::FlowName::PeerToPeer => FlowName::PeerToPeer,
        protocol::FlowName::PeerToPeerRelayed => FlowName::PeerToPeerRelayed,
        protocol::FlowName::MediaServerRelayed => FlowName::MediaServerRelayed,
        protocol::FlowName::MediaServerRelayedOneSide => FlowName::MediaServerRelayedOneSide,
        // The others are not made of these counts, or not run by this version.
        _ => FlowName::MediaServer,
    };
    (basis == protocol::Basis::Observed).then_some(RoomFlow {
        name,
        basis: Basis::Observed,
        signaling: SignalingMode::Gateway,
        legs: FlowLegs { direct, relayed, colocated },
    })
}
