//! What kind of place an address leads to (the IANA special-purpose registries, and cloud metadata services).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where an address leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Anywhere on the internet.
    Public,
    /// Somebody's own network, or no network: a rule may open it.
    Private,
    /// The host, the link, its metadata service, many hosts at once, or nothing defined: no rule opens it.
    Never,
}

const NEVER_V4: [(Ipv4Addr, u32); 8] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    // Link-local, with the metadata service of most clouds.
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    // Reserved, with the broadcast address.
    (Ipv4Addr::new(240, 0, 0, 0), 4),
    // Metadata services elsewhere: Azure, Alibaba, Oracle.
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    (Ipv4Addr::new(100, 100, 100, 200), 32),
    (Ipv4Addr::new(192, 0, 0, 192), 32),
];

const PRIVATE_V4: [(Ipv4Addr, u32); 10] = [
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    // Carrier-grade NAT; pods, on some clouds.
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    // Protocol assignments, documentation, 6to4 anycast, benchmarks.
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
];

/// Within what is public or private below; all that is not listed at all is `Never`.
const NEVER_V6: [(Ipv6Addr, u32); 3] = [
    // Metadata services: Amazon, Google, Oracle.
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 128),
    (Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), 128),
    (Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe), 128),
];

/// Carries an IPv4 address that is judged as well, and would be private by the list below.
const TEREDO: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32);

const PRIVATE_V6: [(Ipv6Addr, u32); 6] = [
    // Unique local.
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7),
    // Protocol assignments (benchmarks, ORCHID and others), documentation, discard, segment routing.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 64),
    (Ipv6Addr::new(0x5f00, 0, 0, 0, 0, 0, 0, 0), 16),
];

const PUBLIC_V6: [(Ipv6Addr, u32); 2] = [
    (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3),
    // NAT64; what it carries is judged as well. 64:ff9b:1::/48 leads into a local network by definition: never.
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96),
];

impl Reach {
    /// Where an address leads by itself. What it may carry inside is judged apart.
    #[must_use]
    pub fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) if NEVER_V4.iter().any(|range| within_v4(ip, *range)) => Self::Never,
            IpAddr::V4(ip) if PRIVATE_V4.iter().any(|range| within_v4(ip, *range)) => Self::Private,
            IpAddr::V4(_) => Self::Public,
            IpAddr::V6(ip) if NEVER_V6.iter().any(|range| within_v6(ip, *range)) => Self::Never,
            IpAddr::V6(ip) if within_v6(ip, TEREDO) => Self::Public,
            IpAddr::V6(ip) if PRIVATE_V6.iter().any(|range| within_v6(ip, *range)) => Self::Private,
            IpAddr::V6(ip) if PUBLIC_V6.iter().any(|range| within_v6(ip, *range)) => Self::Public,
            IpAddr::V6(_) => Self::Never,
        }
    }
}

/// Whether the first `len` (1 to 32) bits are equal.
fn within_v4(ip: Ipv4Addr, (network, len): (Ipv4Addr, u32)) -> bool {
    (ip.to_bits() ^ network.to_bits()).leading_zeros() >= len
}

/// Whether the first `len` (1 to 128) bits are equal.
fn within_v6(ip: Ipv6Addr, (network, len): (Ipv6Addr, u32)) -> bool {
    (ip.to_bits() ^ network.to_bits()).leading_zeros() >= len
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(text: &str) -> Reach {
        Reach::of(text.parse().unwrap())
    }

    #[test]
    fn addresses_of_the_host_the_link_and_of_many_are_never_reached() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.0.1",
            "169.254.169.254",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "::",
            "::1",
            "::2",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "ff0e::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fd00:c1::a9fe:a9fe",
            "::ffff:8.8.8.8",
            "::8.8.8.8",
            "::ffff:0:8.8.8.8",
            "64:ff9b:1::8.8.8.8",
            "64:ff9b:1:ffff::1",
            "64:ff9b:0:0:1::1",
            "4000::1",
            "8000::1",
            "f000::1",
        ] {
            assert_eq!(reach(text), Reach::Never, "{text}");
        }
    }

    #[test]
    fn private_addresses_are_private() {
        for text in [
            "10.0.0.1",
            "10.255.255.255",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.1",
            "192.88.99.1",
            "198.18.0.1",
            "198.19.255.255",
            "fc00::1",
            "fdff::1",
            "2001:db8::1",
            "3fff::1",
            "3fff:fff::1",
            "100::1",
            "5f00::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:1ff::1",
        ] {
            assert_eq!(reach(text), Reach::Private, "{text}");
        }
    }

    #[test]
    fn neighbours_of_special_ranges_are_public() {
        for text in [
            "1.0.0.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2000::1",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2001:db9::1",
            "2001::1",
            "2002::1",
            "2a00::1",
            "3fff:1000::1",
            "64:ff9b::1",
        ] {
            assert_eq!(reach(text), Reach::Public, "{text}");
        }
    }
}
