//! How relayed participants reach their relays: the addresses that media pods see, joined with what TURN pods say of their
//! allocations. Pure.

use crate::planner::PodKey;
use plenum_api::room::RelayPolicy;
use plenum_protocol::relay::RelaySource;
use plenum_protocol::turn::RelayTransport;
use std::net::SocketAddr;

/// Relayed participants by the way in which they reach their relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Relayed {
    /// By UDP.
    pub udp: i32,
    /// By TCP.
    pub tcp: i32,
    /// By TLS.
    pub tls: i32,
    /// The relay has not said so.
    pub unknown: i32,
}

impl Relayed {
    /// Joins `from` (one address per participant) with the relays' `sources`; `transport` asks for an allocation by pod and
    /// relay port.
    #[must_use]
    pub fn join(
        from: &[SocketAddr],
        sources: &[RelaySource],
        transport: impl Fn(&PodKey, u16) -> Option<RelayTransport>,
    ) -> Self {
        let mut relayed = Self::default();
        for address in from {
            let (ip, port) = (address.ip().to_canonical(), address.port());
            // Pods of one node share its address where they are masqueraded: the one that has the allocation counts.
            let pods = sources.iter().filter(|source| {
                source.addresses.contains(&ip) && (source.ports.min..=source.ports.max).contains(&port)
            });
            let keys = pods.map(|source| PodKey { namespace: source.namespace.clone(), name: source.pod.clone() });
            let count = match keys.filter_map(|key| transport(&key, port)).next() {
                Some(RelayTransport::Udp) => &mut relayed.udp,
                Some(RelayTransport::Tcp) => &mut relayed.tcp,
                Some(RelayTransport::Tls) => &mut relayed.tls,
                None => &mut relayed.unknown,
            };
            *count += 1;
        }
        relayed
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> i32 {
        let Self { udp, tcp, tls, unknown } = self;
        udp + tcp + tls + unknown
    }

    /// What people are told when some are relayed although the room does not ask for it; `None`: as wanted.
    #[must_use]
    pub fn words(&self, policy: RelayPolicy, participants: i32) -> Option<String> {
        if policy == RelayPolicy::Always || self.total() == 0 {
            return None;
        }
        // Participants that came since the last look may be among the relayed ones already.
        let all = participants.max(self.total());
        let blocked = |count: i32| if count == 1 { "its network blocks UDP" } else { "their networks block UDP" };
        let apart = |count: i32| {
            let whose = if count == 1 { "its network" } else { "their networks" };
            format!("no direct path between {whose} and the media pod")
        };
        let part = |count: i32, how: &str, why: &str| {
            let noun = if all == 1 { "client" } else { "clients" };
            let verb = if count == 1 { "is" } else { "are" };
            (count > 0).then(|| format!("{count} of {all} {noun} {verb} relayed{how}{why}"))
        };
        let parts = [
            part(self.tls, " over TLS", &format!(": {}", blocked(self.tls))),
            part(self.tcp, " over TCP", &format!(": {}", blocked(self.tcp))),
            part(self.udp, " over UDP", &format!(": {}", apart(self.udp))),
            part(self.unknown, "", ""),
        ];
        Some(parts.into_iter().flatten().collect::<Vec<_>>().join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plenum_protocol::ports::PortRange;

    fn source(pod: &str, addresses: &[&str]) -> RelaySource {
        RelaySource {
            namespace: "a".into(),
            pool: "p".into(),
            pod: pod.into(),
            region: "eu".into(),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            outside: Vec::new(),
            ports: PortRange { min: 50_000, max: 50_999 },
        }
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_source_address_and_port_name_the_allocation() {
        let sources = [source("t", &["10.1.0.6", "172.16.0.7"]), source("u", &["10.1.0.8", "172.16.0.7"])];
        let transport = |key: &PodKey, port: u16| match (key.name.as_str(), port) {
            ("t", 50_001) => Some(RelayTransport::Tls),
            ("u", 50_002) => Some(RelayTransport::Tcp),
            _ => None,
        };
        let from = [
            at("10.1.0.6:50001"),
            at("[::ffff:10.1.0.6]:50001"),
            at("172.16.0.7:50002"),
            at("10.1.0.6:50002"),
            at("10.1.0.6:60001"),
            at("192.0.2.1:50001"),
        ];
        let relayed = Relayed::join(&from, &sources, transport);
        assert_eq!(relayed, Relayed { udp: 0, tcp: 1, tls: 2, unknown: 3 });
    }

    #[test]
    fn the_words_say_who_is_relayed_and_why() {
        let words = |udp, tcp, tls, unknown, participants| {
            Relayed { udp, tcp, tls, unknown }.words(RelayPolicy::Fallback, participants)
        };
        let table = [
            (words(0, 0, 1, 0, 3), "1 of 3 clients is relayed over TLS: its network blocks UDP"),
            (words(0, 2, 0, 0, 3), "2 of 3 clients are relayed over TCP: their networks block UDP"),
            (
                words(1, 0, 0, 0, 3),
                "1 of 3 clients is relayed over UDP: no direct path between its network and the media pod",
            ),
            (
                words(0, 1, 1, 0, 2),
                "1 of 2 clients is relayed over TLS: its network blocks UDP; 1 of 2 clients is relayed over TCP: its network blocks UDP",
            ),
            (words(0, 0, 0, 1, 1), "1 of 1 client is relayed"),
            (words(0, 0, 2, 0, 1), "2 of 2 clients are relayed over TLS: their networks block UDP"),
        ];
        for (said, wanted) in table {
            assert_eq!(said.as_deref(), Some(wanted));
        }
    }

    #[test]
    fn nothing_is_said_when_all_is_as_the_room_wants_it() {
        let some = Relayed { tls: 2, ..Relayed::default() };
        assert_eq!(some.words(RelayPolicy::Always, 2), None);
        assert_eq!(Relayed::default().words(RelayPolicy::Fallback, 2), None);
        assert!(some.words(RelayPolicy::Never, 2).is_some());
    }
}
