//! Which packets come by a relay: the relay ports of the cluster's TURN pods, looked up by source address.
//!
//! An ICE-lite node sees addresses, not candidate types. Built off the packet path; a look-up is a binary search and
//! happens per connectivity check at most, never per media packet.

use plenum_protocol::ports::PortRange;
use plenum_protocol::relay::{MAX_ENTRIES, RelaySource};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Most addresses of one relay: those of its pod and of its node, in both families, with room to spare.
pub const MAX_ADDRESSES: usize = 8;

/// Why a list of relays is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RelayTableError {
    /// Too many of them.
    #[error("at most {MAX_ENTRIES} relays fit")]
    TooMany,
    /// One has too many addresses.
    #[error("relay {0} has more than {MAX_ADDRESSES} addresses")]
    TooManyAddresses(String),
    /// One has a range without ports, or with port 0.
    #[error("relay {0} needs relay ports from above 0, the first not above the last")]
    Ports(String),
}

/// Ports of one address that belong to one relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segment {
    ip: IpAddr,
    ports: PortRange,
    source: u32,
}

/// The relays of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RelayTable {
    /// By address and port, without overlap.
    segments: Box<[Segment]>,
    sources: Box<[Arc<RelaySource>]>,
}

impl RelayTable {
    /// Checks and sorts. Where two relays claim a port of one address, the one whose range begins lower has it.
    ///
    /// # Errors
    /// [`RelayTableError`], with the pod.
    pub fn new(sources: &[RelaySource]) -> Result<Self, RelayTableError> {
        if sources.len() > MAX_ENTRIES {
            return Err(RelayTableError::TooMany);
        }
        let mut claims = Vec::with_capacity(sources.len());
        for (source, number) in sources.iter().zip(0u32..) {
            let RelaySource { ports, addresses, outside, pod, .. } = source;
            if addresses.len() > MAX_ADDRESSES || outside.len() > MAX_ADDRESSES {
                return Err(RelayTableError::TooManyAddresses(pod.clone()));
            }
            if ports.min == 0 || ports.max < ports.min {
                return Err(RelayTableError::Ports(pod.clone()));
            }
            let claim = |ip: &IpAddr| Segment { ip: ip.to_canonical(), ports: *ports, source: number };
            claims.extend(addresses.iter().map(claim));
        }
        claims.sort_by_key(|claim| (claim.ip, claim.ports.min, claim.source));
        let sources = sources.iter().cloned().map(Arc::new).collect();
        Ok(Self { segments: without_overlap(claims), sources })
    }

    /// The relay that a packet from `from` comes by.
    #[must_use]
    pub fn find(&self, from: SocketAddr) -> Option<&Arc<RelaySource>> {
        let (ip, port) = (from.ip().to_canonical(), from.port());
        let after = self.segments.partition_point(|segment| (segment.ip, segment.ports.min) <= (ip, port));
        let segment = self.segments.get(after.checked_sub(1)?)?;
        if segment.ip != ip || segment.ports.max < port {
            return None;
        }
        self.sources.get(segment.source as usize)
    }

    /// The address by which the client behind the relayed address `from` knows itself; `None`: it is not relayed, or its
    /// relay tells no address of that family.
    #[must_use]
    pub fn told(&self, from: SocketAddr) -> Option<SocketAddr> {
        let is_ipv4 = from.ip().to_canonical().is_ipv4();
        let outside = self.find(from)?.outside.iter().find(|outside| outside.is_ipv4() == is_ipv4)?;
        Some(SocketAddr::new(*outside, from.port()))
    }
}

/// What is left of sorted claims when each port belongs to its first claim.
fn without_overlap(claims: Vec<Segment>) -> Box<[Segment]> {
    let mut segments: Vec<Segment> = Vec::with_capacity(claims.len());
    for mut claim in claims {
        if let Some(last) = segments.last().filter(|last| last.ip == claim.ip && last.ports.max >= claim.ports.min) {
            match last.ports.max.checked_add(1) {
                Some(free) if free <= claim.ports.max => claim.ports.min = free,
                _ => continue,
            }
        }
        segments.push(claim);
    }
    segments.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn source(pod: &str, addresses: &[&str], min: u16, max: u16) -> RelaySource {
        RelaySource {
            namespace: "turn".into(),
            pool: "turn-eu".into(),
            pod: pod.into(),
            region: "eu".into(),
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            outside: Vec::new(),
            ports: PortRange { min, max },
        }
    }

    fn found<'a>(table: &'a RelayTable, from: &str) -> Option<&'a str> {
        table.find(from.parse().unwrap()).map(|source| source.pod.as_str())
    }

    #[test]
    fn a_source_is_known_by_address_and_port() {
        let sources = [
            source("a", &["10.0.0.9", "fd00::9", "192.0.2.7"], 61_000, 62_499),
            source("b", &["192.0.2.7"], 62_500, 63_999),
            source("c", &[], 1, 65_535),
        ];
        let table = RelayTable::new(&sources).unwrap();
        for (from, pod) in [
            ("10.0.0.9:61000", Some("a")),
            ("[fd00::9]:62499", Some("a")),
            ("192.0.2.7:62499", Some("a")),
            ("192.0.2.7:62500", Some("b")),
            ("[::ffff:192.0.2.7]:63999", Some("b")),
            ("192.0.2.7:64000", None),
            ("192.0.2.7:60999", None),
            ("192.0.2.8:61000", None),
            ("10.0.0.9:62500", None),
        ] {
            assert_eq!(found(&table, from), pod, "{from}");
        }
        assert_eq!(found(&RelayTable::default(), "10.0.0.9:61000"), None);
    }

    #[test]
    fn bad_lists_are_refused_and_name_the_pod() {
        let one = source("a", &["10.0.0.9"], 61_000, 62_499);
        assert_eq!(RelayTable::new(&vec![one.clone(); MAX_ENTRIES + 1]), Err(RelayTableError::TooMany));
        let many = RelaySource { addresses: vec!["10.0.0.9".parse().unwrap(); 9], ..one.clone() };
        assert_eq!(RelayTable::new(&[many]), Err(RelayTableError::TooManyAddresses("a".into())));
        for ports in [PortRange { min: 0, max: 9 }, PortRange { min: 9, max: 8 }] {
            let bad = RelaySource { ports, ..one.clone() };
            assert_eq!(RelayTable::new(&[bad]), Err(RelayTableError::Ports("a".into())));
        }
    }

    proptest! {
        #[test]
        fn every_port_that_somebody_claims_is_found_and_no_other(
            claims in proptest::collection::vec((0u8..3, 1u16..60, 0u16..60), 0..12),
            ip in 0u8..3,
            port in 1u16..130,
        ) {
            let address = |ip: u8| IpAddr::from([10, 0, 0, ip]);
            let sources: Vec<_> = claims.iter().map(|(ip, min, len)| {
                let addresses = vec![address(*ip)];
                RelaySource { addresses, ..source("x", &[], *min, min + len) }
            }).collect();
            let table = RelayTable::new(&sources).unwrap();
            let claimed = |source: &RelaySource| {
                source.addresses.contains(&address(ip)) && (source.ports.min..=source.ports.max).contains(&port)
            };
            let found = table.find(SocketAddr::new(address(ip), port));
            prop_assert_eq!(found.is_some(), sources.iter().any(claimed));
            prop_assert!(found.is_none_or(|source| claimed(source)));
        }
    }
}
