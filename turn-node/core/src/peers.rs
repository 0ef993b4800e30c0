//! Whom a relay may speak to, by the scope of its credential: pure, rebuilt with every configuration.
//!
//! Scope `media` reaches the named media endpoints and nothing else. Everybody else reaches public addresses and what
//! `allow` opens, never what `deny` or `guarded` name and never an address that leads into the host or its network,
//! in whatever disguise; scope `peers` also reaches the cluster's named relays, unless `deny` names them. Clients know
//! endpoints by their outside addresses; packets go to the inside ones.

mod disguise;
mod endpoints;
mod ranges;
mod rules;
mod way;

use endpoints::Endpoints;
pub use ranges::Reach;
use rules::Rules;
pub use way::Way;

use plenum_protocol::relay::RelayPeers;
use plenum_protocol::turn::Scope;
use std::net::{IpAddr, SocketAddr};

/// Whom relays may speak to.
#[derive(Debug, Default)]
pub struct PeerPolicy {
    media: Endpoints,
    relays: Endpoints,
    allow: Rules,
    deny: Rules,
    guarded: Rules,
    own: Vec<IpAddr>,
}

/// Why a peer is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Scope `media`, and no media endpoint has this address (and port).
    #[error("the peer is not one of the media endpoints")]
    NotNamed,
    /// An address that nobody may open: loopback, link-local, metadata, multicast and their like.
    #[error("the peer's address is never a peer")]
    Never,
    /// A private address that no rule opens.
    #[error("the peer's address is private and no rule allows it")]
    Private,
    /// An address of the relay itself.
    #[error("the peer is the relay itself")]
    Own,
    /// An address of a node or balancer.
    #[error("the peer is a guarded address")]
    Guarded,
    /// A rule forbids it.
    #[error("a rule denies the peer")]
    Denied,
    /// Port 0.
    #[error("the peer has no port")]
    NoPort,
}

impl PeerPolicy {
    /// Prepares the rules. `own` are addresses of the relay: its sockets' and those that clients are told.
    ///
    /// # Errors
    /// A rule does not parse, or a list is too long.
    pub fn new(peers: &RelayPeers, own: &[IpAddr]) -> Result<Self, InvalidRule> {
        // Taken apart without `..`: a new list must be handled here.
        let RelayPeers { media, relays, allow, deny, guarded } = peers;
        Ok(Self {
            media: Endpoints::new("media", media)?,
            relays: Endpoints::new("relays", relays)?,
            allow: Rules::new("allow", allow)?,
            deny: Rules::new("deny", deny)?,
            guarded: Rules::new("guarded", guarded)?,
            own: own.to_vec(),
        })
    }

    /// Judges a peer that a client names. Answers the address that packets for it go to.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn judge(&self, scope: Option<Scope>, peer: SocketAddr) -> Result<SocketAddr, Refusal> {
        if peer.port() == 0 {
            return Err(Refusal::NoPort);
        }
        let inside = |ip| SocketAddr::new(ip, peer.port());
        match scope {
            Some(Scope::Media) => self.media.inside(peer).next().map(inside).ok_or(Refusal::NotNamed),
            Some(Scope::Peers) if let Some(ip) = self.relay_inside(peer).next() => Ok(inside(ip)),
            Some(Scope::Peers) | None => self.judge_open(peer.ip(), Some(peer.port())).map(|()| peer),
        }
    }

    /// Judges an address without a port: whether some port of it may be a peer.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn judge_address(&self, scope: Option<Scope>, ip: IpAddr) -> Result<(), Refusal> {
        match scope {
            Some(Scope::Media) if self.media.has_outside(ip) => Ok(()),
            Some(Scope::Media) => Err(Refusal::NotNamed),
            Some(Scope::Peers) if self.relays.has_outside(ip) && !self.deny.bar(ip, None) => Ok(()),
            Some(Scope::Peers) | None => self.judge_open(ip, None),
        }
    }

    /// As whom a client knows the sender of a packet: the first of its outside addresses that is `permitted`.
    pub fn heard(
        &self,
        scope: Option<Scope>,
        from: SocketAddr,
        mut permitted: impl FnMut(IpAddr) -> bool,
    ) -> Option<SocketAddr> {
        let named = match scope {
            Some(Scope::Media) => self.media.outside(from).find(|ip| permitted(*ip)),
            Some(Scope::Peers) => {
                let mut known = self.relays.outside(from);
                known.find(|ip| permitted(*ip) && !self.deny.bar(*ip, Some(from.port())))
            }
            None => None,
        };
        let open = || {
            let known = scope != Some(Scope::Media) && permitted(from.ip());
            (known && self.judge_open(from.ip(), Some(from.port())).is_ok()).then_some(from.ip())
        };
        named.or_else(open).map(|ip| SocketAddr::new(ip, from.port()))
    }

    /// Where a named relay may be, unless a rule denies it.
    fn relay_inside(&self, peer: SocketAddr) -> impl Iterator<Item = IpAddr> {
        self.relays.inside(peer).filter(move |_| !self.deny.bar(peer.ip(), Some(peer.port())))
    }

    /// The address itself, and every address that it carries.
    fn judge_open(&self, ip: IpAddr, port: Option<u16>) -> Result<(), Refusal> {
        self.judge_plain(ip, port)?;
        if let IpAddr::V6(ip) = ip {
            for carried in disguise::carried(ip).into_iter().flatten() {
                self.judge_plain(IpAddr::V4(carried), port)?;
            }
        }
        Ok(())
    }

    fn judge_plain(&self, ip: IpAddr, port: Option<u16>) -> Result<(), Refusal> {
        let reach = Reach::of(ip);
        if reach == Reach::Never {
            return Err(Refusal::Never);
        }
        if self.own.contains(&ip) {
            return Err(Refusal::Own);
        }
        if self.guarded.bar(ip, port) {
            return Err(Refusal::Guarded);
        }
        if self.deny.bar(ip, port) {
            return Err(Refusal::Denied);
        }
        if reach == Reach::Private && !self.allow.admit(ip, port) {
            return Err(Refusal::Private);
        }
        Ok(())
    }
}

/// Why the rules for peers are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRule {
    /// A list is too long.
    #[error("{list} has more than {max} entries")]
    TooMany {
        /// Which list.
        list: &'static str,
        /// Most entries.
        max: usize,
    },
    /// A rule does not parse.
    #[error("{list} has {cidr:?}, which is not a range of addresses such as 10.0.0.0/8")]
    Cidr {
        /// Which list.
        list: &'static str,
        /// The rule.
        cidr: String,
    },
    /// A range of ports is empty.
    #[error("{list} has ports whose last is below the first")]
    Ports {
        /// Which list.
        list: &'static str,
    },
}

#[cfg(test)]
mod tests;
