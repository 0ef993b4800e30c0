//! IPv4 addresses inside IPv6 ones: a packet to the one may be delivered to the other.
//!
//! Known forms only. A NAT64 prefix of the operator's own network cannot be known here: `peers.deny` names it.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Every IPv4 address that packets for `ip` may end at, or that `ip` names as its way.
pub(super) fn carried(ip: Ipv6Addr) -> [Option<Ipv4Addr>; 3] {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let last = two(g, h);
    // In the order of the fields: by the prefix; a second one by the prefix; by the interface identifier (ISATAP).
    let (first, second) = match (a, b, c, d, e, f) {
        // v4-compatible, v4-mapped, v4-translated (RFC 4291, RFC 2765).
        (0, 0, 0, 0, 0, 0 | 0xffff) | (0, 0, 0, 0, 0xffff, 0) => (Some(last), None),
        // NAT64 (RFC 6052).
        (0x64, 0xff9b, 0, 0, 0, 0) => (Some(last), None),
        // 6to4 (RFC 3056).
        (0x2002, high, low, ..) => (Some(two(high, low)), None),
        // Teredo (RFC 4380): the server, and the client's address inverted.
        (0x2001, 0, high, low, ..) => (Some(two(high, low)), Some(two(!g, !h))),
        _ => (None, None),
    };
    // ISATAP (RFC 5214): the second byte's universal bit may be set.
    let third = (e & !0x0200 == 0 && f == 0x5efe).then_some(last);
    [first, second, third]
}

fn two(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_gives_up_what_it_carries() {
        let ten = Ipv4Addr::new(10, 1, 2, 3);
        for text in [
            "::10.1.2.3",
            "::ffff:10.1.2.3",
            "::ffff:0:10.1.2.3",
            "64:ff9b::10.1.2.3",
            "2002:a01:203::1",
            "2001:0:a01:203::1",
            "2001:0:808:808:0:0:f5fe:fdfc",
            "2a00::5efe:10.1.2.3",
            "2a00::200:5efe:10.1.2.3",
        ] {
            let carried = carried(text.parse().unwrap());
            assert!(carried.contains(&Some(ten)), "{text}: {carried:?}");
        }
    }

    #[test]
    fn a_plain_address_carries_nothing() {
        assert_eq!(carried("2a00:1450:4001::200e".parse().unwrap()), [None; 3]);
    }
}
