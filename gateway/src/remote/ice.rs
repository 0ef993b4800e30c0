//! ICE servers of a room for one client: a relay near it, with credentials of its own.

use super::{Gateway, unix_seconds};
use crate::metrics::IceOutcome;
use crate::relays::choice::{Need, Ticket, choose, ice_servers};
use crate::routes::Standing;
use plenum_api::room::RelayPolicy;
use plenum_protocol::ice::IceServers;
use plenum_protocol::peer::relay_session;
use plenum_protocol::problem::Code;
use plenum_protocol::room::RoomMode;
use plenum_protocol::turn::Scope;
use plenum_signaling::{Access, IceWish, Refusal, SourceAddress};
use std::time::Instant;

impl Gateway {
    pub(super) fn name_ice_servers(&self, access: &Access, wish: &IceWish) -> Result<IceServers, Refusal> {
        if wish.source.is_some_and(|SourceAddress(address)| !self.0.ice_servers.take(address, Instant::now())) {
            self.0.counters.limited();
            self.0.counters.ice_servers(IceOutcome::Limited);
            return Err(Refusal::new(Code::RateLimited, "too many requests for ICE servers from this address"));
        }
        let room = &access.room;
        let Some(route) = self.0.routes.get(room) else {
            self.0.counters.ice_servers(IceOutcome::Refused);
            return Err(Refusal::new(Code::NotFound, format!("there is no Room {room}")));
        };
        let (choice, bits) = random()?;
        let directory = self.0.relays.get();
        let need = Need {
            pools: &route.relays.pools,
            regions: [wish.region.as_deref(), self.0.region.as_deref()],
            avoid: &wish.avoid,
        };
        let relay = choose(&directory.relays, &need, choice);
        let outcome = match (relay, route.relays.policy) {
            (None, _) => IceOutcome::NoRelay,
            (Some(_), RelayPolicy::Never) => IceOutcome::StunOnly,
            (Some(_), RelayPolicy::Fallback | RelayPolicy::Always) => IceOutcome::Relay,
        };
        self.0.counters.ice_servers(outcome);
        let session = match (&wish.session, &wish.participant) {
            (Some(session), _) => session.to_string(),
            (None, Some(participant)) => relay_session(participant, bits),
            (None, None) => format!("T_{bits:032x}"),
        };
        // Who has been taken in by a media server knows more of the room than a watch that lags.
        let pair = route.standing == Standing::Peers && wish.mode != Some(RoomMode::MediaServer);
        let scope = if pair { Scope::Peers } else { Scope::Media };
        Ok(ice_servers(relay, route.relays.policy, Ticket { session: &session, scope, now: unix_seconds() }))
    }
}

/// A number to choose by, and a name for who has no session yet.
fn random() -> Result<(u64, u128), Refusal> {
    let (mut choice, mut name) = ([0; 8], [0; 16]);
    let filled = aws_lc_rs::rand::fill(&mut choice).and_then(|()| aws_lc_rs::rand::fill(&mut name));
    filled.map_err(|_| Refusal::new(Code::Internal, "the gateway has no random numbers"))?;
    Ok((u64::from_ne_bytes(choice), u128::from_ne_bytes(name)))
}
