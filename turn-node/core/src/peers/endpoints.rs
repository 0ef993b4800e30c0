//! Peers that the operator names by address and port, known by one address and reached at another.

use super::InvalidRule;
use plenum_protocol::ports::PortRange;
use plenum_protocol::relay::{MAX_ENTRIES, PeerEndpoint};
use rustc_hash::FxHashMap;
use std::net::{IpAddr, SocketAddr};

/// Ports of one address, and the address on the other side of the alias.
#[derive(Debug, Clone, Copy)]
struct Alias {
    ports: PortRange,
    other: IpAddr,
}

/// One of the lists `media`, `relays`. Both addresses of an alias have the same family: a relay has one.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    by_outside: FxHashMap<IpAddr, Vec<Alias>>,
    by_inside: FxHashMap<IpAddr, Vec<Alias>>,
}

impl Endpoints {
    pub(super) fn new(list: &'static str, endpoints: &[PeerEndpoint]) -> Result<Self, InvalidRule> {
        if endpoints.len() > MAX_ENTRIES {
            return Err(InvalidRule::TooMany { list, max: MAX_ENTRIES });
        }
        let mut result = Self::default();
        for PeerEndpoint { outside, inside, ports } in endpoints {
            if ports.max < ports.min {
                return Err(InvalidRule::Ports { list });
            }
            let inside = inside.to_canonical();
            for outside in outside.iter().map(IpAddr::to_canonical).filter(|ip| ip.is_ipv4() == inside.is_ipv4()) {
                result.by_outside.entry(outside).or_default().push(Alias { ports: *ports, other: inside });
                result.by_inside.entry(inside).or_default().push(Alias { ports: *ports, other: outside });
            }
        }
        Ok(result)
    }

    /// Where packets go that a client sends to `peer`. Endpoints that share an outside address and its ports, such as relays
    /// behind one balancer, are more than one.
    pub(super) fn inside(&self, peer: SocketAddr) -> impl Iterator<Item = IpAddr> {
        aliases(&self.by_outside, peer)
    }

    /// The addresses by which clients may know who sends from `from`.
    pub(super) fn outside(&self, from: SocketAddr) -> impl Iterator<Item = IpAddr> {
        aliases(&self.by_inside, from)
    }

    /// Whether some port of this address is an endpoint.
    pub(super) fn has_outside(&self, ip: IpAddr) -> bool {
        self.by_outside.contains_key(&ip)
    }
}

fn aliases(map: &FxHashMap<IpAddr, Vec<Alias>>, address: SocketAddr) -> impl Iterator<Item = IpAddr> {
    let aliases = map.get(&address.ip()).map(Vec::as_slice).unwrap_or_default();
    let fits = move |alias: &&Alias| (alias.ports.min..=alias.ports.max).contains(&address.port());
    aliases.iter().filter(fits).map(|alias| alias.other)
}
