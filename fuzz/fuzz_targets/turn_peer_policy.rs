//! Whom a relay may speak to: no input makes it speak to the inside.
//!
//! The input is a list of entries: how to disguise an address (a byte), the address (16 bytes), a port.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plenum_protocol::ports::PortRange;
use plenum_protocol::relay::{PeerEndpoint, PeerRule, RelayPeers};
use plenum_protocol::turn::Scope;
use plenum_turn_core::peers::PeerPolicy;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

fn rule(cidr: &str) -> PeerRule {
    PeerRule { cidr: cidr.into(), ports: None }
}

/// Written in the plainest way, apart from the policy's own tables.
fn is_inside(ip: Ipv4Addr) -> bool {
    ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_broadcast()
        || ip.is_documentation()
        || ip.octets()[0] == 0
        || ip.octets()[0] >= 240
        || (ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64)
}

/// One way to write an IPv4 address into an IPv6 one.
fn disguise(how: u8, v4: Ipv4Addr, salt: u128) -> Ipv6Addr {
    let bits = u128::from(v4.to_bits());
    let inverted = u128::from(!v4.to_bits());
    let low = salt & 0xffff_ffff_ffff_ffff;
    Ipv6Addr::from_bits(match how % 8 {
        0 => bits,
        1 => 0xffff_0000_0000 | bits,
        2 => 0xffff_0000_0000_0000 | bits,
        3 => 0x0064_ff9b << 96 | bits,
        4 => 0x0064_ff9b_0001 << 80 | salt & ((1 << 80) - 1) | bits,
        5 => 0x2002 << 112 | bits << 80 | low,
        6 => 0x2001_0000 << 96 | (low & 0xffff_ffff) << 32 << 32 | inverted,
        _ => 0x2a00 << 112 | (low & 0xffff_ffff) << 64 | 0x5efe_0000_0000 | bits,
    })
}

fuzz_target!(|bytes: &[u8]| {
    let ports = PortRange { min: 20_000, max: 20_003 };
    let outside: IpAddr = "5.6.7.8".parse().expect("an address");
    let inside: IpAddr = "10.0.0.7".parse().expect("an address");
    let peers = RelayPeers {
        media: vec![PeerEndpoint { outside: vec![outside], inside, ports }],
        deny: vec![rule("9.9.9.0/24")],
        guarded: vec![rule("5.6.7.0/24"), rule("2a00:9::/32")],
        ..RelayPeers::default()
    };
    let policy = PeerPolicy::new(&peers, &[]).expect("good rules");
    for entry in bytes.chunks_exact(19) {
        let (how, port) = (entry[0], u16::from_be_bytes([entry[17], entry[18]]));
        let salt = u128::from_be_bytes(entry[1..17].try_into().expect("16 bytes"));
        let v4 = Ipv4Addr::from_bits(salt as u32);
        let v6 = Ipv6Addr::from_bits(salt);
        for ip in [IpAddr::V4(v4), IpAddr::V6(v6), IpAddr::V6(disguise(how, v4, salt))] {
            let peer = SocketAddr::new(ip, port);
            for scope in [Some(Scope::Media), Some(Scope::Peers), None] {
                let judged = policy.judge(scope, peer);
                let heard = policy.heard(scope, peer, |_| true);
                assert!(judged.is_err() || policy.judge_address(scope, ip).is_ok());
                match scope {
                    Some(Scope::Media) => {
                        let named = ip == outside && (ports.min..=ports.max).contains(&port);
                        assert_eq!(judged.ok(), named.then(|| SocketAddr::new(inside, port)));
                        assert_eq!(heard.is_some(), ip == inside && (ports.min..=ports.max).contains(&port));
                    }
                    _ => {
                        assert!(judged.is_err() || judged == Ok(peer));
                        assert_eq!(heard.is_some(), judged.is_ok() || (port == 0 && heard.is_some()));
                        let bad = is_inside(v4) || v4.octets()[..3] == [9, 9, 9] || v4.octets()[..3] == [5, 6, 7];
                        let carries = ip != IpAddr::V6(v6);
                        assert!(!(bad && carries) || judged.is_err(), "{peer}");
                        assert!(!ip.is_loopback() && !ip.is_multicast() && !ip.is_unspecified() || judged.is_err());
                    }
                }
            }
        }
    }
});
