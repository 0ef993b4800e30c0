//! Cases of RelayPool with role TURN.

use super::{Case, Check, Kind, merge};
use serde_json::{Value, json};

fn turn(name: &'static str, check: Check, exposure: Value, turn: Value) -> Case {
    let mut spec = json!({ "role": "TURN", "exposure": exposure });
    if !turn.is_null() {
        merge(&mut spec, json!({ "turn": turn }));
    }
    Case::new(Kind::RelayPool, check, name, spec)
}

fn rule(name: &'static str, exposure: Value, spec: Value) -> Case {
    turn(name, Check::Rule, exposure, spec)
}

fn schema(name: &'static str, spec: Value) -> Case {
    turn(name, Check::Schema, json!({}), spec)
}

fn kind(kind: &str) -> Value {
    json!({ "type": kind })
}

fn source(kind: &str, source: &str) -> Value {
    json!({ "type": kind, "address": { "source": source } })
}

fn listener(name: &str, protocol: &str, port: i32) -> Value {
    json!({ "name": name, "protocol": protocol, "port": port })
}

fn tls(port: i32) -> Value {
    json!({ "name": "tls", "protocol": "TLS", "port": port, "hostname": "turn.example.org", "tlsSecretRef": { "name": "turn-tls" } })
}

fn listeners(list: &[Value]) -> Value {
    json!({ "listeners": list })
}

fn relay_ports(min: i32, max: i32) -> Value {
    json!({ "relayPortRange": { "min": min, "max": max } })
}

fn allow(peer: Value) -> Value {
    json!({ "peers": { "allow": [peer] } })
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = role_rules();
    cases.extend(exposure_rules());
    cases.extend(listener_rules());
    cases.extend(port_rules());
    cases.extend(peer_rules());
    cases.extend(schemas());
    cases
}

fn role_rules() -> Vec<Case> {
    let pool = |name, spec| Case::new(Kind::RelayPool, Check::Rule, name, spec);
    vec![
        rule("a TURN pool with nothing but role and region is taken", json!({}), Value::Null),
        pool("turn in a media pool is refused", json!({ "turn": { "realm": "x" } }))
            .refused("turn is only used with role TURN"),
        pool("allocations of a media pool are refused", json!({ "capacity": { "perPod": { "allocations": 5 } } }))
            .refused("capacity.perPod.allocations for role TURN"),
        pool("participants of a media pool are taken", json!({ "capacity": { "perPod": { "participants": 5 } } })),
        pool(
            "allocations of a TURN pool are taken",
            json!({ "role": "TURN", "capacity": { "perPod": { "allocations": 5 } } }),
        ),
        pool(
            "participants of a TURN pool are refused",
            json!({ "role": "TURN", "capacity": { "perPod": { "participants": 5 } } }),
        )
        .refused("capacity.perPod.participants is for role Media"),
        pool("a media pool does not become a TURN pool", json!({ "role": "TURN" }))
            .after(json!({}))
            .refused("role and region cannot change"),
        pool(
            "a TURN pod's workers take no host ports",
            json!({ "role": "TURN", "workers": 4,
            "exposure": { "portRange": { "min": 20_000, "max": 20_001 } } }),
        ),
    ]
}

fn exposure_rules() -> Vec<Case> {
    let media = |name, spec| Case::new(Kind::RelayPool, Check::Rule, name, json!({ "exposure": spec }));
    vec![
        rule("a balancer for a TURN pool is taken", source("LoadBalancer", "LoadBalancer"), Value::Null),
        rule(
            "a balancer with addresses of its own is taken",
            json!({ "type": "LoadBalancer", "address": { "source": "Static", "addresses": ["192.0.2.1"] },
                "service": { "annotations": { "a": "b" }, "externalTrafficPolicy": "Cluster" } }),
            Value::Null,
        ),
        media("a balancer for a media pool is refused", kind("LoadBalancer"))
            .refused("exposure.type LoadBalancer is only for role TURN"),
        rule("a balancer's address without a balancer is refused", source("HostPort", "LoadBalancer"), Value::Null)
            .refused("set exposure.type to LoadBalancer too"),
        rule("a node's address behind a balancer is refused", source("LoadBalancer", "NodeExternalIP"), Value::Null)
            .refused("leave address.source out, or set it to LoadBalancer or Static"),
        rule(
            "annotations of a Service without a balancer are refused",
            json!({ "service": { "annotations": { "a": "b" } } }),
            Value::Null,
        )
        .refused("exposure.service is only used with exposure.type LoadBalancer"),
        rule(
            "a traffic policy without a balancer is refused",
            json!({ "service": { "externalTrafficPolicy": "Cluster" } }),
            Value::Null,
        )
        .refused("set the type, or remove service"),
    ]
}

fn listener_rules() -> Vec<Case> {
    let two = |a, b| listeners(&[a, b]);
    let unsealed = json!({ "name": "tls", "protocol": "TLS", "port": 5349 });
    let sealed = json!({ "name": "tcp", "protocol": "TCP", "port": 5349, "tlsSecretRef": { "name": "x" } });
    vec![
        rule(
            "UDP, TCP and TLS on 443 are taken",
            json!({}),
            listeners(&[listener("udp", "UDP", 3478), listener("tcp", "TCP", 3478), tls(443)]),
        ),
        rule("TLS without a certificate is refused", json!({}), listeners(&[unsealed]))
            .refused("protocol TLS needs tlsSecretRef"),
        rule("a certificate without TLS is refused", json!({}), listeners(&[sealed]))
            .refused("set protocol to TLS, or remove tlsSecretRef"),
        rule("UDP and TLS may share a number", json!({}), two(listener("udp", "UDP", 443), tls(443))),
        rule("TCP and TLS may not share a port", json!({}), two(listener("tcp", "TCP", 443), tls(443)))
            .refused("two listeners share a port and a transport"),
        rule(
            "a port may not be where another one is mapped to",
            json!({}),
            two(listener("tcp", "TCP", 10_443), tls(443)),
        )
        .refused("two listeners share a port and a transport"),
        rule("the port of the control API is refused", json!({}), listeners(&[listener("tcp", "TCP", 7443)]))
            .refused("TCP ports 7443 and 9090"),
        rule("its number with UDP is taken", json!({}), listeners(&[listener("udp", "UDP", 7443)])),
        rule("443 on the node's own network is refused", kind("HostNetwork"), listeners(&[tls(443)]))
            .refused("choose ports from 1024 on, or exposure.type HostPort"),
        rule("1024 on the node's own network is taken", kind("HostNetwork"), listeners(&[tls(1024)])),
    ]
}

fn port_rules() -> Vec<Case> {
    let network = || kind("HostNetwork");
    let narrow = json!({ "type": "HostNetwork", "portRange": { "min": 21_000, "max": 21_000 } });
    let each = |per_pod: i32| json!({ "relayPortRange": { "min": 61_000, "max": 61_999, "perPod": per_pod } });
    vec![
        rule("a range of less than a TURN pod's two ports is refused", narrow, Value::Null)
            .refused("which takes 2 ports of it with HostNetwork"),
        rule("relay ports of a pod's own network may be any", json!({}), relay_ports(30_000, 65_535)),
        rule("relay ports among the node ports are refused", network(), relay_ports(29_000, 30_000))
            .refused("turn.relayPortRange must stay off 30000-32767"),
        rule("relay ports above the ephemeral ports are taken", network(), relay_ports(61_000, 65_535)),
        rule("relay ports that run backwards are refused", json!({}), relay_ports(50_001, 50_000))
            .refused("relayPortRange.min must not be above"),
        rule(
            "a first relay port without a last one is refused",
            json!({}),
            json!({ "relayPortRange": { "min": 50_000 } }),
        )
        .refused("relayPortRange needs both min and max"),
        rule("a share of the relay ports is taken", network(), each(500)),
        rule("a share of more than all relay ports is refused", network(), each(1_001))
            .refused("relayPortRange.perPod is more than the whole range"),
        rule("a share of ports that nobody shares is refused", json!({}), each(500))
            .refused("perPod is only used with exposure.type HostNetwork"),
    ]
}

fn peer_rules() -> Vec<Case> {
    let ports = |min: i32, max: i32| allow(json!({ "cidr": "10.0.0.0/8", "ports": { "min": min, "max": max } }));
    vec![
        rule(
            "ranges of both families are taken",
            json!({}),
            json!({ "peers": { "allow": [{ "cidr": "10.0.0.0/8" }], "deny": [{ "cidr": "2001:db8::/32" }] } }),
        ),
        rule("an address without a length is refused", json!({}), allow(json!({ "cidr": "10.0.0.1" })))
            .refused("cidr must be an IPv4 or IPv6 range"),
        rule("ports of peers are taken", json!({}), ports(5000, 5000)),
        rule("ports of peers that run backwards are refused", json!({}), ports(5001, 5000))
            .refused("ports.min must not be above ports.max"),
    ]
}

fn schemas() -> Vec<Case> {
    let ttl = |seconds: i32| json!({ "credentialTTLSeconds": seconds });
    vec![
        schema(
            "null equals omitted in turn",
            json!({ "listeners": null, "authSecretRef": null, "quotas": { "allocations": null }, "peers": null }),
        ),
        schema("credentials may live for a minute", ttl(60)),
        schema("credentials of less than a minute are refused", ttl(59)).refused("greater than or equal to 60"),
        schema("credentials of more than a day are refused", ttl(86_401)).refused("less than or equal to 86400"),
        schema("a listener is named once", listeners(&[listener("a", "UDP", 1), listener("a", "TCP", 2)]))
            .refused("Duplicate value"),
        schema("a protocol that does not exist is refused", listeners(&[listener("a", "DTLS", 1)])).refused("TLS"),
        schema("a secret of its own is taken", json!({ "authSecretRef": { "name": "shared-turn" } })),
        schema(
            "quotas are taken",
            json!({ "quotas": { "allocations": 10, "allocationsPerUser": 2,
            "allocationsPerAddress": 5, "kbpsPerAllocation": 64 } }),
        ),
        schema("a quota of nothing is refused", json!({ "quotas": { "allocationsPerUser": 0 } }))
            .refused("greater than or equal to 1"),
        schema("a lifetime of less than ten minutes is refused", json!({ "maxLifetimeSeconds": 599 }))
            .refused("greater than or equal to 600"),
        schema("a realm with a quote is refused", json!({ "realm": "a\"b" })).refused("should match"),
        schema("a realm may be as long as the pods take it", json!({ "realm": "r".repeat(64) })),
        schema("a realm that the pods would refuse is refused", json!({ "realm": "r".repeat(65) })).refused("Too long"),
    ]
}
