//! The Service of a TURN pool with exposure LoadBalancer: one per pool, owned by it. What it should be is pure.
//!
//! It selects active pods only: a new client must not meet one that takes no allocations any more. UDP flows of a draining
//! pod move to another one with that, and their clients restart ICE.

use super::pod::transport;
use crate::relays::pool::{TurnPool, listener_port};
use k8s_openapi::api::core::v1::{Service, ServicePort};
use kube::{Resource, ResourceExt};
use plenum_api::pool::TrafficPolicy;
use plenum_api::{RelayPool, names};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Name of a pool's Service.
#[must_use]
pub fn name_of(pool: &str) -> String {
    format!("plenum-turn-{pool}")
}

/// The Service as it should be.
pub(super) fn wanted(pool: &RelayPool, turn: &TurnPool, namespace: &str) -> Value {
    let ports: Value = turn
        .listeners
        .iter()
        .map(|listener| {
            let port_name = names::listener_port_name(&listener.name);
            json!({
                "name": port_name, "protocol": transport(listener.protocol),
                "port": listener_port(listener), "targetPort": port_name,
            })
        })
        .collect();
    let service = &pool.spec.exposure.service;
    let policy = match service.external_traffic_policy {
        TrafficPolicy::Local => "Local",
        TrafficPolicy::Cluster => "Cluster",
    };
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name_of(&pool.name_any()),
            "namespace": namespace,
            "labels": { names::LABEL_APP: names::APP_TURN_NODE, names::LABEL_POOL: pool.name_any() },
            "annotations": service.annotations,
            "ownerReferences": [pool.controller_owner_ref(&())],
        },
        "spec": {
            "type": "LoadBalancer",
            "externalTrafficPolicy": policy,
            "selector": {
                names::LABEL_APP: names::APP_TURN_NODE,
                names::LABEL_POOL: pool.name_any(),
                names::LABEL_STATE: names::STATE_ACTIVE,
            },
            "ports": ports,
        },
    })
}

/// Whether a Service is as it should be. What others added (node ports, annotations of the cloud) does not count.
pub(super) fn is_as_wanted(found: &Service, wanted: &Value) -> bool {
    let Ok(wanted) = serde_json::from_value::<Service>(wanted.clone()) else { return false };
    let (Some(is), Some(should)) = (&found.spec, &wanted.spec) else { return false };
    let none = BTreeMap::new();
    let annotations = found.metadata.annotations.as_ref().unwrap_or(&none);
    wanted.annotations().iter().all(|(key, value)| annotations.get(key) == Some(value))
        && is.type_ == should.type_
        && is.external_traffic_policy == should.external_traffic_policy
        && is.selector == should.selector
        && faces(is.ports.as_deref()) == faces(should.ports.as_deref())
}

/// What of the ports is ours to say.
fn faces(ports: Option<&[ServicePort]>) -> Vec<(Option<&str>, Option<&str>, i32, Value)> {
    let face = |port: &'_ ServicePort| json!(port.target_port);
    ports
        .unwrap_or_default()
        .iter()
        .map(|port| (port.name.as_deref(), port.protocol.as_deref(), port.port, face(port)))
        .collect()
}

/// Whether a Service belongs to the pool.
pub(super) fn is_of(service: &Service, pool: &RelayPool) -> bool {
    let uid = pool.uid();
    service.owner_references().iter().any(|owner| owner.controller == Some(true) && Some(&owner.uid) == uid.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(turn: Value) -> RelayPool {
        serde_json::from_value(json!({
            "apiVersion": "rtc.plenum.dev/v1alpha1", "kind": "RelayPool",
            "metadata": { "name": "eu", "namespace": "a", "uid": "u" },
            "spec": { "role": "TURN", "region": "eu-west", "turn": turn,
                "exposure": { "type": "LoadBalancer", "service": { "annotations": { "cloud": "nlb" } } } },
        }))
        .unwrap()
    }

    fn service(pool: &RelayPool) -> Value {
        wanted(pool, &TurnPool::of(&pool.spec).unwrap(), "a")
    }

    #[test]
    fn a_balancer_has_each_listener_under_its_own_transport_and_keeps_client_addresses() {
        let tls = json!({ "name": "tls", "protocol": "TLS", "port": 443, "tlsSecretRef": { "name": "x" } });
        let udp = json!({ "name": "udp", "protocol": "UDP", "port": 443 });
        let made: Service = serde_json::from_value(service(&pool(json!({ "listeners": [tls, udp] })))).unwrap();
        assert!(is_of(&made, &pool(json!({}))));
        let spec = made.spec.unwrap();
        assert_eq!(spec.external_traffic_policy.as_deref(), Some("Local"));
        assert_eq!(spec.selector.unwrap()[names::LABEL_STATE], names::STATE_ACTIVE);
        let ports: Vec<_> = spec.ports.iter().flatten().map(|p| (p.protocol.clone().unwrap(), p.port)).collect();
        assert_eq!(ports, vec![("UDP".to_owned(), 443), ("TCP".to_owned(), 443)]);
    }

    #[test]
    fn what_the_cloud_adds_is_left_alone_and_what_differs_is_written() {
        let pool_now = pool(json!({}));
        let mut found = service(&pool_now);
        found["metadata"]["annotations"]["cloud-id"] = json!("x");
        found["spec"]["ports"][0]["nodePort"] = json!(30_001);
        found["spec"]["clusterIP"] = json!("10.96.0.9");
        let found: Service = serde_json::from_value(found).unwrap();
        assert!(is_as_wanted(&found, &service(&pool_now)));
        let other = pool(json!({ "listeners": [{ "name": "udp", "protocol": "UDP", "port": 3479 }] }));
        assert!(!is_as_wanted(&found, &service(&other)));
    }
}
