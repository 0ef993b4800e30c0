//! Which way a room's media goes: the node's (or home's) legs with the place of the media pod and of this gateway.

mod relays;

use super::binding::At;
use super::{CALL_TIMEOUT, Gateway, refusal_of};
use crate::routes::Standing;
use plenum_api::room::RelayPolicy;
use plenum_protocol::flow::{Basis, FlowName, FlowReport, RoomLegs, count_legs, media_server_flow, peer_to_peer_flow};
use plenum_protocol::ids::RoomName;
use plenum_protocol::problem::Code;
use plenum_signaling::Refusal;

impl Gateway {
    /// Legs with addresses; a room that is not bound has none.
    pub(super) async fn room_flow(&self, room: &RoomName) -> Result<FlowReport, Refusal> {
        let Some(route) = self.0.routes.get(room) else {
            return Err(Refusal::new(Code::NotFound, format!("there is no Room {room}")));
        };
        let bound = self.bound_now(room);
        let mut legs = match &bound {
            None => Vec::new(),
            Some(bound) => {
                let path = format!("/v1/rooms/{}/legs?epoch={}", bound.uid, bound.epoch);
                match self.0.client.get::<RoomLegs>(&bound.target(), &path, CALL_TIMEOUT).await {
                    Ok(answer) => answer.legs,
                    // Bound, but its node has not heard of it yet: nobody can be in it.
                    Err(error) if error.code() == Some(Code::NotGranted) => Vec::new(),
                    Err(error) => {
                        self.count(&error);
                        return Err(refusal_of(error));
                    }
                }
            }
        };
        self.ask_relays(&mut legs, &route.relays.pools).await;
        let counts = count_legs(&legs);
        let peers = route.standing == Standing::Peers;
        let seen = if peers { peer_to_peer_flow(counts) } else { media_server_flow(counts) };
        let (flow, basis) = match (seen, route.relays.policy) {
            ((_, Basis::Planned), RelayPolicy::Always) if peers => (FlowName::PeerToPeerRelayed, Basis::Planned),
            ((_, Basis::Planned), RelayPolicy::Always) => (FlowName::MediaServerRelayed, Basis::Planned),
            (seen, _) => seen,
        };
        let (home, media) = match bound.map(|bound| bound.at) {
            Some(At::Home(home)) => (Some(home.pod), None),
            Some(At::Node(place)) => (None, Some(place.media)),
            None => (None, None),
        };
        Ok(FlowReport {
            room: room.clone(),
            flow,
            basis,
            counts,
            gateway: self.0.pod.clone(),
            gateway_region: self.0.region.clone(),
            home,
            media,
            legs,
        })
    }
}
