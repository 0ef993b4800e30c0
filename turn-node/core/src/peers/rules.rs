//! Ranges of addresses, each with its ports.

use super::InvalidRule;
use ipnet::{IpNet, Ipv4Net};
use plenum_protocol::ports::PortRange;
use plenum_protocol::relay::{MAX_ENTRIES, PeerRule};
use rustc_hash::FxHashMap;
use std::net::IpAddr;

/// One of the lists `allow`, `deny`, `guarded`.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// Rules for one address each: there may be thousands (nodes), and a packet may have to ask.
    hosts: FxHashMap<IpAddr, Vec<Option<PortRange>>>,
    ranges: Vec<(IpNet, Option<PortRange>)>,
}

impl Rules {
    pub(super) fn new(list: &'static str, rules: &[PeerRule]) -> Result<Self, InvalidRule> {
        if rules.len() > MAX_ENTRIES {
            return Err(InvalidRule::TooMany { list, max: MAX_ENTRIES });
        }
        let mut result = Self::default();
        for rule in rules {
            let net: IpNet = rule.cidr.parse().map_err(|_| InvalidRule::Cidr { list, cidr: rule.cidr.clone() })?;
            let net = canonical(net.trunc());
            if rule.ports.is_some_and(|ports| ports.max < ports.min) {
                return Err(InvalidRule::Ports { list });
            }
            if net.prefix_len() == net.max_prefix_len() {
                result.hosts.entry(net.addr()).or_default().push(rule.ports);
            } else {
                result.ranges.push((net, rule.ports));
            }
        }
        Ok(result)
    }

    /// Whether a rule opens this port; without a port: whether a rule opens some port.
    pub(super) fn admit(&self, ip: IpAddr, port: Option<u16>) -> bool {
        self.matching(ip).any(|ports| match (ports, port) {
            (None, _) | (_, None) => true,
            (Some(ports), Some(port)) => (ports.min..=ports.max).contains(&port),
        })
    }

    /// Whether a rule closes this port; without a port: whether one closes all ports.
    pub(super) fn bar(&self, ip: IpAddr, port: Option<u16>) -> bool {
        self.matching(ip).any(|ports| match (ports, port) {
            (None, _) => true,
            (Some(PortRange { min: 0 | 1, max: u16::MAX }), None) => true,
            (Some(_), None) => false,
            (Some(ports), Some(port)) => (ports.min..=ports.max).contains(&port),
        })
    }

    fn matching(&self, ip: IpAddr) -> impl Iterator<Item = Option<PortRange>> {
        let hosts = self.hosts.get(&ip).map(Vec::as_slice).unwrap_or_default();
        let ranges = self.ranges.iter().filter(move |(net, _)| net.contains(&ip));
        hosts.iter().copied().chain(ranges.map(|(_, ports)| *ports))
    }
}

/// A range of v4-mapped addresses means the IPv4 addresses: peers are never v4-mapped.
fn canonical(net: IpNet) -> IpNet {
    let IpNet::V6(v6) = net else { return net };
    let mapped = v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96));
    mapped.and_then(|(ip, len)| Ipv4Net::new(ip, len).ok()).map_or(net, IpNet::V4)
}
