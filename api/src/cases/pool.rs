//! Cases of RelayPool.

use super::{Case, Check, Kind};
use serde_json::{Value, json};

fn rule(name: &'static str, spec: Value) -> Case {
    Case::new(Kind::RelayPool, Check::Rule, name, spec)
}

fn schema(name: &'static str, spec: Value) -> Case {
    Case::new(Kind::RelayPool, Check::Schema, name, spec)
}

fn ports(min: i32, max: i32, workers: i32) -> Value {
    json!({ "workers": workers, "exposure": { "portRange": { "min": min, "max": max } } })
}

fn address(address: Value) -> Value {
    json!({ "exposure": { "address": address } })
}

fn namespaces(namespaces: Value) -> Value {
    json!({ "allowedRooms": { "namespaces": namespaces } })
}

fn toleration(toleration: Value) -> Value {
    json!({ "template": { "tolerations": [toleration] } })
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = rules();
    cases.extend(port_rules());
    cases.extend(address_rules());
    cases.extend(schemas());
    cases
}

fn rules() -> Vec<Case> {
    let selector = json!({ "matchLabels": { "team": "a" } });
    vec![
        rule("a pool with role and region is taken", json!({})),
        rule("a pool's name may have 48 characters", json!({})).named(&"a".repeat(48)),
        rule("a pool's name may not have 49 characters", json!({}))
            .named(&"a".repeat(49))
            .refused("the name of a RelayPool is part of its pods' names"),
        rule("replicas may change", json!({ "replicas": 0 })).after(json!({ "replicas": 1 })),
        rule("the region may not change", json!({ "region": "us-east" }))
            .after(json!({}))
            .refused("role and region cannot change"),
        rule("namespaces by selector are taken", namespaces(json!({ "from": "Selector", "selector": selector }))),
        rule("from Selector needs a selector", namespaces(json!({ "from": "Selector" })))
            .refused("add allowedRooms.namespaces.selector"),
        rule("a selector needs from Selector", namespaces(json!({ "from": "All", "selector": selector })))
            .refused("set from to Selector, or remove selector"),
        rule("a toleration of any taint is taken", toleration(json!({ "operator": "Exists" }))),
        rule("a toleration that exists has no value", toleration(json!({ "operator": "Exists", "value": "x" })))
            .refused("remove value, or use operator Equal"),
    ]
}

fn port_rules() -> Vec<Case> {
    vec![
        rule("a port range below the node ports is taken", ports(20_000, 29_999, 1)),
        rule("a port range above the ephemeral ports is taken", ports(61_000, 65_535, 1)),
        rule("a port range among the node ports is refused", ports(29_000, 30_000, 1))
            .refused("must stay off 30000-32767"),
        rule("a port range among the ephemeral ports is refused", ports(60_999, 62_000, 1)).refused("32768-60999"),
        rule("a port range around both is refused", ports(20_000, 65_535, 1)).refused("must stay off 30000-32767"),
        rule("a port range that runs backwards is refused", ports(21_000, 20_000, 1))
            .refused("portRange.min must not be above portRange.max"),
        rule("a port range of one pod is taken", ports(20_000, 20_005, 4)),
        rule("a port range of less than one pod is refused", ports(20_000, 20_004, 4))
            .refused("widen it or lower workers"),
    ]
}

fn address_rules() -> Vec<Case> {
    vec![
        rule("node addresses are taken", address(json!({ "source": "NodeInternalIP" }))),
        rule(
            "static addresses are taken",
            address(json!({ "source": "Static", "addresses": ["192.0.2.1", "2001:db8::1"] })),
        ),
        rule("Static without addresses is refused", address(json!({ "source": "Static" })))
            .refused("source: Static needs addresses"),
        rule("addresses without Static are refused", address(json!({ "addresses": ["192.0.2.1"] })))
            .refused("set source to Static, or remove addresses"),
        rule(
            "an address with a port is refused",
            address(json!({ "source": "Static", "addresses": ["192.0.2.1:5000"] })),
        )
        .refused("without a port"),
    ]
}

fn schemas() -> Vec<Case> {
    vec![
        schema(
            "null equals omitted in a pool",
            json!({ "zones": null, "template": { "image": null, "resources": null }, "exposure": null, "capacity": { "perPod": null } }),
        ),
        schema("a role that this version does not run is refused", json!({ "role": "Colocated" }))
            .refused("supported values: \"Media\", \"TURN\""),
        schema("a pool may be scaled to nothing", json!({ "replicas": 0 })),
        schema("fewer pods than none are refused", json!({ "replicas": -1 })).refused("greater than or equal to 0"),
        schema("a zone is named once", json!({ "zones": ["a", "a"] })).refused("Duplicate value"),
        schema("a pod without workers is refused", json!({ "workers": 0 })).refused("greater than or equal to 1"),
        schema(
            "quantities are taken",
            json!({ "template": { "resources": { "requests": { "cpu": "500m", "memory": "256Mi" } } } }),
        ),
        schema(
            "a quantity that is none is refused",
            json!({ "template": { "resources": { "limits": { "memory": "much" } } } }),
        )
        .refused("should match"),
        schema("an exposure that does not exist is refused", json!({ "exposure": { "type": "PodIP" } }))
            .refused("HostNetwork"),
        schema("a drain may be immediate", json!({ "drain": { "timeoutSeconds": 0 } })),
        schema("a drain longer than a day is refused", json!({ "drain": { "timeoutSeconds": 86_401 } }))
            .refused("less than or equal to 86400"),
        schema("privileged ports are refused", ports(80, 100, 1)).refused("greater than or equal to 1024"),
    ]
}
