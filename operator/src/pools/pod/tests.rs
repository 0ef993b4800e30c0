use super::*;

fn blueprint(exposure: Exposure) -> Blueprint {
    let pool: RelayPool = serde_json::from_value(json!({
        "apiVersion": "rtc.plenum.dev/v1alpha1", "kind": "RelayPool",
        "metadata": { "name": "eu", "namespace": "a", "uid": "u" },
        "spec": { "role": "Media", "region": "eu-west" },
    }))
    .unwrap();
    Blueprint {
        pool: Arc::new(pool),
        namespace: "a".into(),
        region: "eu-west".into(),
        zones: vec!["z1".into()],
        template: Template::default(),
        range: PortRange { min: 20_000, max: 20_099 },
        workers: 2,
        exposure,
        image: "docker.io/plenum/media-node:1".into(),
        pull_policy: "IfNotPresent".into(),
        log: "info".into(),
    }
}

fn host_ports(pod: &Pod) -> Vec<i32> {
    let spec = pod.spec.as_ref().unwrap();
    spec.containers[0].ports.iter().flatten().filter_map(|port| port.host_port).collect()
}

#[test]
fn a_pod_with_a_network_of_its_own_puts_only_media_on_the_node() {
    let pod = blueprint(Exposure::HostPort).pod(3, "abcde").unwrap().unwrap();
    assert_eq!(pod.name_any(), "eu-3-abcde");
    assert_eq!(host_ports(&pod), vec![20_012, 20_013]);
    assert_eq!(crate::pods::media_ports(&pod), Some((20_012, 20_013)));
    assert_eq!(crate::pods::slot_of(&pod), Some(3));
    assert_eq!(pod.spec.as_ref().unwrap().host_network, Some(false));
}

#[test]
fn a_pod_on_the_nodes_network_names_every_port_so_that_the_scheduler_sees_conflicts() {
    let pod = blueprint(Exposure::HostNetwork).pod(1, "abcde").unwrap().unwrap();
    assert_eq!(host_ports(&pod), vec![20_004, 20_005, 20_006, 20_007]);
}

#[test]
fn a_pod_is_owned_hardened_and_held_by_the_readiness_gate() {
    let pod = blueprint(Exposure::HostPort).pod(0, "abcde").unwrap().unwrap();
    let owner = &pod.owner_references()[0];
    assert_eq!((owner.uid.as_str(), owner.controller), ("u", Some(true)));
    let spec = pod.spec.unwrap();
    assert_eq!(spec.automount_service_account_token, Some(false));
    assert_eq!(spec.readiness_gates.unwrap()[0].condition_type, names::CONDITION_CONFIGURED);
    assert_eq!(spec.node_selector.unwrap()[names::TOPOLOGY_REGION], "eu-west");
    let security = spec.containers[0].security_context.clone().unwrap();
    assert_eq!((security.read_only_root_filesystem, security.allow_privilege_escalation), (Some(true), Some(false)));
    assert_eq!(security.capabilities.unwrap().drop, Some(vec!["ALL".to_owned()]));
}

#[test]
fn a_slot_outside_the_range_makes_no_pod() {
    assert!(blueprint(Exposure::HostPort).pod(25, "abcde").is_none());
}

#[test]
fn the_revision_changes_with_the_template_and_not_with_the_slot() {
    let one = blueprint(Exposure::HostPort);
    let mut other = blueprint(Exposure::HostPort);
    assert_eq!(one.revision(), other.revision());
    other.image = "docker.io/plenum/media-node:2".into();
    assert_ne!(one.revision(), other.revision());
    let revision = |slot| one.pod(slot, "x").unwrap().unwrap().annotations()[names::ANNOTATION_REVISION].clone();
    assert_eq!(revision(0), revision(7));
}
