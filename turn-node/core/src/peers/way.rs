//! Where a peer is behind the address that clients know. Relays that share an address are told apart by being heard: until
//! then each of them gets what is meant for one, and drops what its client did not ask for.

use super::{PeerPolicy, Refusal};
use plenum_protocol::turn::Scope;
use std::net::SocketAddr;

/// Most places of one peer that get its packets before it is heard.
const MAX_PLACES: usize = 64;

/// Where packets of one peer go and come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// The place.
    pub inside: SocketAddr,
    /// It is the only one, or was heard.
    pub certain: bool,
}

impl PeerPolicy {
    /// The way to a peer that a client names, `heard` from there before.
    ///
    /// # Errors
    /// As [`Self::judge`].
    pub fn way(&self, scope: Option<Scope>, peer: SocketAddr, heard: Option<SocketAddr>) -> Result<Way, Refusal> {
        let inside = self.judge(scope, peer)?;
        let known = heard.filter(|heard| *heard == inside || self.others(scope, peer).any(|other| other == *heard));
        Ok(match known {
            Some(inside) => Way { inside, certain: true },
            None => Way { inside, certain: self.others(scope, peer).next().is_none() },
        })
    }

    /// Places besides the one that [`Self::judge`] answers, where a peer that it admits may be.
    pub fn others(&self, scope: Option<Scope>, peer: SocketAddr) -> impl Iterator<Item = SocketAddr> {
        let relays = (scope == Some(Scope::Peers)).then(|| self.relay_inside(peer).take(MAX_PLACES).skip(1));
        relays.into_iter().flatten().map(move |ip| SocketAddr::new(ip, peer.port()))
    }

    /// Whether a packet `from` there is of this peer.
    pub fn is_from(&self, scope: Option<Scope>, peer: SocketAddr, from: SocketAddr) -> bool {
        peer.port() == from.port() && self.heard(scope, from, |ip| ip == peer.ip()) == Some(peer)
    }
}
