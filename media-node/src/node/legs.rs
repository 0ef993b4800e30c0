//! The legs of a room: what the engine measures, with whose they are and what their clients say.

use super::Node;
use crate::rooms::LegOwner;
use plenum_media_core::{SessionPhase, SessionStats};
use plenum_protocol::flow::{CandidateType, Leg, LegBasis, LegEnd, LegRelay, LegState, RoomLegs};
use plenum_protocol::ids::{Epoch, RoomUid};
use plenum_protocol::problem::Problem;
use plenum_protocol::relay::RelaySource;
use std::net::SocketAddr;

impl Node {
    /// `GET /v1/rooms/{uid}/legs?epoch=`.
    pub(crate) async fn room_legs(&self, uid: RoomUid, epoch: Epoch) -> Result<RoomLegs, Problem> {
        let (worker, room, mut owners) = self.read(|rooms| rooms.leg_owners(&uid, epoch))?;
        let stats = self.worker(worker)?.legs(room).await?;
        let mut legs: Vec<Leg> =
            stats.into_iter().filter_map(|stats| Some(leg(owners.remove(&stats.session)?, &stats))).collect();
        legs.sort_by(|a, b| a.session.cmp(&b.session));
        Ok(RoomLegs { uid, epoch, legs })
    }
}

fn leg(owner: LegOwner, stats: &SessionStats) -> Leg {
    Leg {
        session: owner.session,
        participant: owner.participant,
        peer: None,
        participant_name: owner.participant_name,
        role: owner.role,
        publication: owner.publication,
        state: match stats.phase {
            SessionPhase::Connecting => LegState::Connecting,
            SessionPhase::Connected => LegState::Connected,
        },
        basis: LegBasis::Measured,
        gateway: owner.gateway,
        client: end(stats.remote, stats.relay.as_ref().map(|_| CandidateType::Relay)),
        node: end(stats.local, Some(CandidateType::Host)),
        protocol: "udp".to_owned(),
        rtt_micros: stats.rtt_micros,
        receive_kbps: stats.receive_kbps,
        send_kbps: stats.send_kbps,
        packets: stats.packets,
        bytes: stats.bytes,
        relay: stats.relay.as_deref().map(leg_relay),
        client_view: owner.view,
    }
}

/// Whose relay it is; how the client reaches it and what it counted only the relay knows.
fn leg_relay(source: &RelaySource) -> LegRelay {
    LegRelay {
        namespace: source.namespace.clone(),
        pool: source.pool.clone(),
        pod: source.pod.clone(),
        region: source.region.clone(),
        transport: None,
        sent_bytes: 0,
        received_bytes: 0,
    }
}

fn end(address: Option<SocketAddr>, candidate_type: Option<CandidateType>) -> LegEnd {
    LegEnd {
        candidate_type: address.and(candidate_type),
        address: address.map(|address| address.ip().to_string()),
        port: address.map(|address| address.port()),
    }
}
