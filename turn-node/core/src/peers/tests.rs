//! Every scope, every range, every disguise.

use super::*;
use plenum_protocol::ports::PortRange;
use plenum_protocol::relay::{PeerEndpoint, PeerRule};
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};

const MEDIA: Option<Scope> = Some(Scope::Media);
const PEERS: Option<Scope> = Some(Scope::Peers);
const FOREIGN: Option<Scope> = None;
const OPEN: [Option<Scope>; 2] = [PEERS, FOREIGN];

fn peer(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn endpoint(outside: &[&str], inside: &str, min: u16, max: u16) -> PeerEndpoint {
    PeerEndpoint {
        outside: outside.iter().map(|text| ip(text)).collect(),
        inside: ip(inside),
        ports: PortRange { min, max },
    }
}

fn rule(cidr: &str) -> PeerRule {
    PeerRule { cidr: cidr.into(), ports: None }
}

fn rule_for(cidr: &str, min: u16, max: u16) -> PeerRule {
    PeerRule { cidr: cidr.into(), ports: Some(PortRange { min, max }) }
}

fn policy(peers: &RelayPeers) -> PeerPolicy {
    PeerPolicy::new(peers, &[ip("10.8.0.1"), ip("5.6.7.8"), ip("2a00:9::1")]).unwrap()
}

/// Every way to write an IPv4 address into an IPv6 one.
fn disguises(v4: Ipv4Addr) -> Vec<Ipv6Addr> {
    let bits = u128::from(v4.to_bits());
    let prefix = |text: &str| text.parse::<Ipv6Addr>().unwrap().to_bits();
    [
        bits,
        prefix("::ffff:0:0") | bits,
        prefix("::ffff:0:0:0") | bits,
        prefix("64:ff9b::") | bits,
        prefix("64:ff9b:1::") | bits,
        // RFC 6052, prefixes of 48, 56 and 64 bits: the ninth byte is skipped.
        prefix("64:ff9b:1::") | (bits >> 16) << 64 | (bits & 0xffff) << 40,
        prefix("64:ff9b:1::") | (bits >> 24) << 64 | (bits & 0x00ff_ffff) << 32,
        prefix("64:ff9b:1::") | bits << 24,
        prefix("2002::1") | bits << 80,
        prefix("2001:0:808:808::") | (!bits & 0xffff_ffff),
        prefix("2001::f7f7:f7f7") | bits << 64,
        prefix("2a00:1:2:3:0:5efe::") | bits,
        prefix("2a00:1:2:3:200:5efe::") | bits,
        prefix("fe80::5efe:0:0") | bits,
    ]
    .map(Ipv6Addr::from_bits)
    .to_vec()
}

#[test]
fn scope_media_reaches_named_endpoints_by_address_and_port_and_nothing_else() {
    let policy = policy(&RelayPeers {
        media: vec![endpoint(&["198.51.100.7", "2001:db8::7"], "10.0.0.7", 20_000, 20_003)],
        relays: vec![endpoint(&["198.51.100.8"], "10.0.0.8", 50_000, 50_999)],
        allow: vec![rule("0.0.0.0/0"), rule("::/0")],
        guarded: vec![rule("198.51.100.0/24")],
        ..RelayPeers::default()
    });
    assert_eq!(policy.judge(MEDIA, peer("198.51.100.7:20000")), Ok(peer("10.0.0.7:20000")));
    assert_eq!(policy.judge(MEDIA, peer("198.51.100.7:20003")), Ok(peer("10.0.0.7:20003")));
    for refused in [
        "198.51.100.7:19999",
        "198.51.100.7:20004",
        "10.0.0.7:20000",
        "198.51.100.8:50000",
        "8.8.8.8:20000",
        "[::ffff:198.51.100.7]:20000",
        "[64:ff9b::198.51.100.7]:20000",
        "[2001:db8::7]:20000",
        "127.0.0.1:20000",
    ] {
        assert_eq!(policy.judge(MEDIA, peer(refused)), Err(Refusal::NotNamed), "{refused}");
    }
    assert_eq!(policy.judge_address(MEDIA, ip("198.51.100.7")), Ok(()));
    for refused in ["10.0.0.7", "198.51.100.8", "8.8.8.8", "::ffff:198.51.100.7"] {
        assert_eq!(policy.judge_address(MEDIA, ip(refused)), Err(Refusal::NotNamed), "{refused}");
    }
}

#[test]
fn an_endpoint_is_heard_from_inside_and_spoken_of_as_outside() {
    let policy = policy(&RelayPeers {
        media: vec![endpoint(&["198.51.100.7", "198.51.100.9"], "10.0.0.7", 20_000, 20_000)],
        ..RelayPeers::default()
    });
    let from = peer("10.0.0.7:20000");
    assert_eq!(policy.heard(MEDIA, from, |_| true), Some(peer("198.51.100.7:20000")));
    assert_eq!(policy.heard(MEDIA, from, |known| known == ip("198.51.100.9")), Some(peer("198.51.100.9:20000")));
    assert_eq!(policy.heard(MEDIA, from, |_| false), None);
    assert_eq!(policy.heard(MEDIA, peer("10.0.0.7:20001"), |_| true), None, "another port");
    assert_eq!(policy.heard(MEDIA, peer("198.51.100.7:20000"), |_| true), None, "it is not heard from outside");
    for scope in OPEN {
        assert_eq!(policy.heard(scope, from, |_| true), None, "media endpoints are for scope media");
    }
}

#[test]
fn only_scope_peers_reaches_the_relays_of_the_cluster() {
    // Its own relay ports among them: two clients of one pod.
    let policy = policy(&RelayPeers {
        relays: vec![endpoint(&["5.6.7.8"], "10.8.0.1", 50_000, 50_999)],
        guarded: vec![rule("5.6.7.8/32")],
        ..RelayPeers::default()
    });
    assert_eq!(policy.judge(PEERS, peer("5.6.7.8:50000")), Ok(peer("10.8.0.1:50000")));
    assert_eq!(policy.judge_address(PEERS, ip("5.6.7.8")), Ok(()));
    assert_eq!(policy.heard(PEERS, peer("10.8.0.1:50001"), |_| true), Some(peer("5.6.7.8:50001")));
    assert_eq!(policy.judge(PEERS, peer("5.6.7.8:3478")), Err(Refusal::Own), "its listener");
    assert_eq!(policy.judge(FOREIGN, peer("5.6.7.8:50000")), Err(Refusal::Own));
    assert_eq!(policy.judge(MEDIA, peer("5.6.7.8:50000")), Err(Refusal::NotNamed));
}

#[test]
fn a_relay_that_is_denied_is_not_reached() {
    let policy = policy(&RelayPeers {
        relays: vec![endpoint(&["9.9.9.9"], "10.0.0.8", 50_000, 50_999)],
        deny: vec![rule_for("9.9.9.9/32", 50_000, 50_099)],
        ..RelayPeers::default()
    });
    assert_eq!(policy.judge(PEERS, peer("9.9.9.9:50099")), Err(Refusal::Denied));
    assert_eq!(policy.heard(PEERS, peer("10.0.0.8:50099"), |_| true), None);
    assert_eq!(policy.judge(PEERS, peer("9.9.9.9:50100")), Ok(peer("10.0.0.8:50100")));
    assert_eq!(policy.heard(PEERS, peer("10.0.0.8:50100"), |_| true), Some(peer("9.9.9.9:50100")));
}

#[test]
fn public_addresses_are_open_to_peers_and_foreign_users() {
    let policy = policy(&RelayPeers::default());
    for scope in OPEN {
        for text in
            ["8.8.8.8:1", "1.1.1.1:65535", "[2a00:1450:4001::200e]:443", "[64:ff9b::8.8.8.8]:53", "[2002:808:808::1]:9"]
        {
            assert_eq!(policy.judge(scope, peer(text)), Ok(peer(text)), "{text}");
            assert_eq!(policy.judge_address(scope, peer(text).ip()), Ok(()), "{text}");
            assert_eq!(policy.heard(scope, peer(text), |_| true), Some(peer(text)), "{text}");
        }
        assert_eq!(policy.judge(scope, peer("8.8.8.8:0")), Err(Refusal::NoPort));
    }
}

#[test]
fn the_relay_itself_is_no_peer_in_any_disguise() {
    let policy = policy(&RelayPeers { allow: vec![rule("10.0.0.0/8"), rule("::/0")], ..RelayPeers::default() });
    for scope in OPEN {
        for own in ["10.8.0.1", "5.6.7.8", "2a00:9::1"] {
            assert_eq!(policy.judge_address(scope, ip(own)), Err(Refusal::Own), "{own}");
            assert_eq!(policy.heard(scope, SocketAddr::new(ip(own), 50_000), |_| true), None);
        }
        for v4 in [Ipv4Addr::new(10, 8, 0, 1), Ipv4Addr::new(5, 6, 7, 8)] {
            for disguise in disguises(v4) {
                assert!(policy.judge_address(scope, IpAddr::V6(disguise)).is_err(), "{disguise}");
            }
        }
    }
}

#[test]
fn rules_open_private_ranges_but_nothing_that_is_never_a_peer() {
    let policy = policy(&RelayPeers {
        allow: vec![rule_for("10.0.0.0/8", 4_000, 4_999), rule("fd00::/8"), rule("0.0.0.0/0"), rule("::/0")],
        ..RelayPeers::default()
    });
    let narrow = PeerPolicy::new(
        &RelayPeers { allow: vec![rule_for("10.0.0.0/8", 4_000, 4_999)], ..RelayPeers::default() },
        &[],
    );
    let narrow = narrow.unwrap();
    for scope in OPEN {
        assert_eq!(narrow.judge(scope, peer("10.1.1.1:4000")), Ok(peer("10.1.1.1:4000")));
        assert_eq!(narrow.judge(scope, peer("10.1.1.1:5000")), Err(Refusal::Private));
        assert_eq!(narrow.judge_address(scope, ip("10.1.1.1")), Ok(()), "some port is open");
        assert_eq!(narrow.judge(scope, peer("[64:ff9b::10.1.1.1]:4000")), Ok(peer("[64:ff9b::10.1.1.1]:4000")));
        assert_eq!(narrow.judge(scope, peer("[64:ff9b::10.1.1.1]:5000")), Err(Refusal::Private));
        assert_eq!(narrow.judge(scope, peer("192.168.1.1:4000")), Err(Refusal::Private));
        for never in [
            "127.0.0.1:4000",
            "169.254.169.254:80",
            "[::1]:4000",
            "[fe80::1]:4000",
            "[::ffff:10.1.1.1]:4000",
            "255.255.255.255:4000",
            "224.0.0.1:4000",
            "0.0.0.0:4000",
        ] {
            assert_eq!(policy.judge(scope, peer(never)), Err(Refusal::Never), "{never}");
        }
    }
}

#[test]
fn deny_beats_allow_and_guarded_beats_both() {
    let policy = policy(&RelayPeers {
        allow: vec![rule("10.0.0.0/8")],
        deny: vec![
            rule("10.1.0.0/16"),
            rule("8.8.8.8/32"),
            rule_for("9.9.9.9/32", 1, 1_023),
            rule_for("4.4.4.4/32", 1, 65_535),
        ],
        guarded: vec![rule("10.2.0.1/32"), rule("::ffff:10.3.0.0/112")],
        ..RelayPeers::default()
    });
    for scope in OPEN {
        assert_eq!(policy.judge(scope, peer("10.0.0.1:1")), Ok(peer("10.0.0.1:1")));
        assert_eq!(policy.judge(scope, peer("10.1.0.1:1")), Err(Refusal::Denied));
        assert_eq!(policy.judge(scope, peer("8.8.8.8:1")), Err(Refusal::Denied));
        assert_eq!(policy.judge(scope, peer("[2002:808:808::1]:1")), Err(Refusal::Denied), "in disguise");
        assert_eq!(policy.judge(scope, peer("10.2.0.1:1")), Err(Refusal::Guarded));
        assert_eq!(policy.judge(scope, peer("10.3.255.255:1")), Err(Refusal::Guarded), "a mapped range means IPv4");
        assert_eq!(policy.judge(scope, peer("9.9.9.9:1023")), Err(Refusal::Denied));
        assert_eq!(policy.judge(scope, peer("9.9.9.9:1024")), Ok(peer("9.9.9.9:1024")));
        assert_eq!(policy.judge_address(scope, ip("9.9.9.9")), Ok(()), "some port is open");
        assert_eq!(policy.judge_address(scope, ip("4.4.4.4")), Err(Refusal::Denied), "no port is open");
        assert_eq!(policy.judge_address(scope, ip("8.8.8.8")), Err(Refusal::Denied));
    }
}

#[test]
fn rules_that_do_not_parse_are_refused_by_name() {
    let refusal = |peers: RelayPeers| PeerPolicy::new(&peers, &[]).unwrap_err().to_string();
    let deny = refusal(RelayPeers { deny: vec![rule("10.0.0.0/33")], ..RelayPeers::default() });
    assert_eq!(deny, "deny has \"10.0.0.0/33\", which is not a range of addresses such as 10.0.0.0/8");
    let guarded = refusal(RelayPeers { guarded: vec![rule_for("10.0.0.0/8", 2, 1)], ..RelayPeers::default() });
    assert_eq!(guarded, "guarded has ports whose last is below the first");
    let media = refusal(RelayPeers { media: vec![endpoint(&["1.1.1.1"], "10.0.0.1", 2, 1)], ..RelayPeers::default() });
    assert_eq!(media, "media has ports whose last is below the first");
    let many = refusal(RelayPeers { allow: vec![rule("10.0.0.0/8"); 4_001], ..RelayPeers::default() });
    assert_eq!(many, "allow has more than 4000 entries");
}

/// An IPv4 address that no open scope reaches without a rule.
fn forbidden() -> impl Strategy<Value = Ipv4Addr> {
    any::<(u32, u8)>().prop_map(|(bits, which)| {
        let (network, len) = [
            (Ipv4Addr::new(10, 0, 0, 0), 8),
            (Ipv4Addr::new(172, 16, 0, 0), 12),
            (Ipv4Addr::new(192, 168, 0, 0), 16),
            (Ipv4Addr::new(127, 0, 0, 0), 8),
            (Ipv4Addr::new(169, 254, 0, 0), 16),
            (Ipv4Addr::new(100, 64, 0, 0), 10),
            (Ipv4Addr::new(224, 0, 0, 0), 4),
            (Ipv4Addr::new(240, 0, 0, 0), 4),
            (Ipv4Addr::new(0, 0, 0, 0), 8),
            (Ipv4Addr::new(198, 18, 0, 0), 15),
            (Ipv4Addr::new(168, 63, 129, 16), 32),
        ][usize::from(which) % 11];
        let host = if len == 32 { 0 } else { bits >> len };
        Ipv4Addr::from_bits(network.to_bits() | host)
    })
}

proptest! {
    #[test]
    fn no_forbidden_address_passes_in_any_disguise(v4 in forbidden(), port in 1u16..) {
        let policy = policy(&RelayPeers::default());
        let mut all: Vec<IpAddr> = disguises(v4).into_iter().map(IpAddr::V6).collect();
        all.push(IpAddr::V4(v4));
        for disguise in all {
            for scope in [MEDIA, PEERS, FOREIGN] {
                prop_assert!(policy.judge(scope, SocketAddr::new(disguise, port)).is_err(), "{disguise}");
                prop_assert!(policy.judge_address(scope, disguise).is_err(), "{disguise}");
                prop_assert!(policy.heard(scope, SocketAddr::new(disguise, port), |_| true).is_none(), "{disguise}");
            }
        }
    }

    #[test]
    fn no_guarded_address_passes_whatever_is_allowed(v4 in any::<Ipv4Addr>(), port in 1u16..) {
        let cidr = format!("{v4}/32");
        let policy = policy(&RelayPeers {
            allow: vec![rule("0.0.0.0/0"), rule("::/0")],
            guarded: vec![rule(&cidr)],
            ..RelayPeers::default()
        });
        for disguise in disguises(v4).into_iter().map(IpAddr::V6).chain([IpAddr::V4(v4)]) {
            for scope in [MEDIA, PEERS, FOREIGN] {
                prop_assert!(policy.judge(scope, SocketAddr::new(disguise, port)).is_err(), "{disguise}");
            }
        }
    }

    #[test]
    fn what_is_judged_with_a_port_is_judged_so_without(ip in any::<IpAddr>(), port in 1u16..) {
        let policy = policy(&RelayPeers {
            allow: vec![rule_for("10.0.0.0/8", 1_000, 60_000)],
            deny: vec![rule_for("8.0.0.0/8", 1_000, 60_000)],
            ..RelayPeers::default()
        });
        for scope in [MEDIA, PEERS, FOREIGN] {
            if policy.judge(scope, SocketAddr::new(ip, port)).is_ok() {
                prop_assert!(policy.judge_address(scope, ip).is_ok());
            }
        }
    }
}
