use super::*;
use crate::relays::pool::TurnPool;
use plenum_protocol::ports::PortRange;

fn blueprint(spec: Value, part: RolePart) -> Blueprint {
    let pool: RelayPool = serde_json::from_value(json!({
        "apiVersion": "rtc.plenum.dev/v1alpha1", "kind": "RelayPool",
        "metadata": { "name": "eu", "namespace": "a", "uid": "u" },
        "spec": spec,
    }))
    .unwrap();
    Blueprint {
        pool: Arc::new(pool),
        namespace: "a".into(),
        part,
        image: "docker.io/plenum/media-node:1".into(),
        pull_policy: "IfNotPresent".into(),
        log: "info".into(),
    }
}

fn media(exposure: Exposure) -> Blueprint {
    let spec = json!({ "role": "Media", "region": "eu-west", "zones": ["z1"], "workers": 2 });
    let range = PortRange { min: 20_000, max: 20_099 };
    blueprint(spec, RolePart::Media(MediaPart { range, workers: 2, exposure }))
}

fn turn(exposure: &str, turn: Value) -> Blueprint {
    let spec = json!({ "role": "TURN", "region": "eu-west", "exposure": { "type": exposure }, "turn": turn });
    let pool = TurnPool::of(&serde_json::from_value(spec.clone()).unwrap()).unwrap();
    blueprint(spec, RolePart::Turn(TurnPart { pool }))
}

fn made(blueprint: &Blueprint, slot: u16) -> Pod {
    blueprint.pod(slot, "abcde").unwrap().unwrap()
}

fn host_ports(pod: &Pod) -> Vec<i32> {
    let spec = pod.spec.as_ref().unwrap();
    spec.containers[0].ports.iter().flatten().filter_map(|port| port.host_port).collect()
}

fn environment(pod: &Pod, name: &str) -> String {
    let variables = pod.spec.as_ref().unwrap().containers[0].env.as_ref().unwrap();
    variables.iter().find(|variable| variable.name == name).unwrap().value.clone().unwrap()
}

#[test]
fn a_pod_with_a_network_of_its_own_puts_only_media_on_the_node() {
    let pod = made(&media(Exposure::HostPort), 3);
    assert_eq!(pod.name_any(), "eu-3-abcde");
    assert_eq!(host_ports(&pod), vec![20_012, 20_013]);
    assert_eq!(crate::pods::media_ports(&pod), Some((20_012, 20_013)));
    assert_eq!(crate::pods::slot_of(&pod), Some(3));
    assert_eq!(pod.spec.as_ref().unwrap().host_network, Some(false));
}

#[test]
fn a_pod_on_the_nodes_network_names_every_port_so_that_the_scheduler_sees_conflicts() {
    assert_eq!(host_ports(&made(&media(Exposure::HostNetwork), 1)), vec![20_004, 20_005, 20_006, 20_007]);
}

#[test]
fn a_pod_is_owned_hardened_and_held_by_the_readiness_gate() {
    for blueprint in [media(Exposure::HostPort), turn("HostPort", json!({}))] {
        let pod = made(&blueprint, 0);
        let owner = &pod.owner_references()[0];
        assert_eq!((owner.uid.as_str(), owner.controller), ("u", Some(true)));
        let spec = pod.spec.unwrap();
        assert_eq!(spec.automount_service_account_token, Some(false));
        assert_eq!(spec.readiness_gates.unwrap()[0].condition_type, names::CONDITION_CONFIGURED);
        assert_eq!(spec.node_selector.unwrap()[names::TOPOLOGY_REGION], "eu-west");
        let security = spec.containers[0].security_context.clone().unwrap();
        assert_eq!(
            (security.read_only_root_filesystem, security.allow_privilege_escalation),
            (Some(true), Some(false))
        );
        assert_eq!(security.capabilities.unwrap().drop, Some(vec!["ALL".to_owned()]));
    }
}

#[test]
fn a_slot_outside_the_range_makes_no_pod() {
    assert!(media(Exposure::HostPort).pod(25, "abcde").is_none());
    assert!(turn("HostNetwork", json!({})).pod(3, "abcde").is_none());
}

#[test]
fn the_revision_changes_with_the_template_and_not_with_the_slot() {
    let one = media(Exposure::HostPort);
    let mut other = media(Exposure::HostPort);
    assert_eq!(one.revision(), other.revision());
    other.image = "docker.io/plenum/media-node:2".into();
    assert_ne!(one.revision(), other.revision());
    let revision = |slot| made(&one, slot).annotations()[names::ANNOTATION_REVISION].clone();
    assert_eq!(revision(0), revision(7));
}

#[test]
fn a_turn_pod_takes_its_listeners_from_the_node_and_443_without_rights() {
    let tls = json!({ "name": "tls", "protocol": "TLS", "port": 443, "hostname": "turn.test", "tlsSecretRef": { "name": "turn-tls" } });
    let udp = json!({ "name": "udp", "protocol": "UDP", "port": 3478 });
    let pod = made(&turn("HostPort", json!({ "listeners": [udp, tls] })), 1);
    assert_eq!(host_ports(&pod), vec![3478, 443]);
    let listeners: Value = serde_json::from_str(&environment(&pod, "PLENUM_LISTENERS")).unwrap();
    let wanted = json!([
        { "name": "udp", "protocol": "UDP", "port": 3478 },
        { "name": "tls", "protocol": "TLS", "port": 10_443, "tlsDir": "/etc/plenum/tls/tls" },
    ]);
    assert_eq!(listeners, wanted);
    assert_eq!(
        (environment(&pod, "PLENUM_RELAY_PORT_MIN").as_str(), environment(&pod, "PLENUM_RELAY_PORT_MAX").as_str()),
        ("49152", "65535")
    );
    let spec = pod.spec.as_ref().unwrap();
    let volume = spec.volumes.as_ref().unwrap().iter().find(|volume| volume.name == "tls-tls").unwrap();
    assert_eq!(volume.secret.as_ref().unwrap().secret_name.as_deref(), Some("turn-tls"));
    assert_eq!(pod.labels()[names::LABEL_APP], names::APP_TURN_NODE);
    assert_eq!(pod.labels()[names::LABEL_ROLE], "TURN");
    assert_eq!(crate::pods::relay_ports(&pod), Some(PortRange { min: 49_152, max: 65_535 }));
}

#[test]
fn a_turn_pod_on_the_nodes_network_has_ports_by_its_slot() {
    let pod = made(&turn("HostNetwork", json!({})), 1);
    assert_eq!(host_ports(&pod), vec![3478, 3478, 62_500, 20_002, 20_003]);
    assert_eq!(environment(&pod, "PLENUM_CONTROL_PORT"), "20002");
    assert_eq!(crate::pods::relay_ports(&pod), Some(PortRange { min: 62_500, max: 63_999 }));
}

#[test]
fn a_turn_pod_behind_a_balancer_takes_nothing_from_the_node() {
    let pod = made(&turn("LoadBalancer", json!({})), 0);
    assert_eq!(host_ports(&pod), Vec::<i32>::new());
    let ports: Vec<_> =
        pod.spec.as_ref().unwrap().containers[0].ports.iter().flatten().map(|p| p.container_port).collect();
    assert_eq!(ports, vec![3478, 3478, 7443, 9090]);
}

#[test]
fn a_host_name_replaces_no_pod_and_a_port_does() {
    let listener = |port: i32, host: &str| json!({ "listeners": [{ "name": "udp", "protocol": "UDP", "port": port, "hostname": host }] });
    let one = turn("HostPort", listener(3478, "a.test")).revision();
    assert_eq!(one, turn("HostPort", listener(3478, "b.test")).revision());
    assert_ne!(one, turn("HostPort", listener(3479, "a.test")).revision());
}
