//! Who may reach what, read from the rendered NetworkPolicies. The embedded cluster enforces none, so their text is what
//! is tested: each question names a caller and a port, and expects yes or no.

use super::{list, of_kind, text};
use anyhow::bail;
use serde_json::Value;

/// A caller: its namespace and program; `None` is somebody outside of the cluster.
type Caller = Option<(&'static str, &'static str)>;

const SYSTEM: &str = "plenum-system";
const OPERATOR: Caller = Some((SYSTEM, "plenum-operator"));
const GATEWAY: Caller = Some((SYSTEM, "plenum-gateway"));
const TURN: Caller = Some(("media-eu", "plenum-turn-node"));
const MEDIA: Caller = Some(("media-eu", "plenum-media-node"));
const STRANGER: Caller = Some(("shop", "web"));
/// Calls itself a gateway, in a namespace of its own.
const IMPOSTOR: Caller = Some(("shop", "plenum-gateway"));
const OUTSIDE: Caller = None;

/// A question: namespace and program that is called, protocol and port, caller, and the answer.
struct Question(&'static str, &'static str, &'static str, u64, Caller, bool);

const QUESTIONS: [Question; 37] = [
    Question(SYSTEM, "plenum-operator", "TCP", 7443, GATEWAY, true),
    Question(SYSTEM, "plenum-operator", "TCP", 7443, OPERATOR, true),
    Question(SYSTEM, "plenum-operator", "TCP", 7443, MEDIA, false),
    Question(SYSTEM, "plenum-operator", "TCP", 7443, IMPOSTOR, false),
    Question(SYSTEM, "plenum-operator", "TCP", 7443, OUTSIDE, false),
    Question(SYSTEM, "plenum-operator", "TCP", 9090, STRANGER, true),
    Question(SYSTEM, "plenum-operator", "TCP", 9090, OUTSIDE, false),
    Question(SYSTEM, "plenum-operator", "TCP", 8080, GATEWAY, false),
    Question(SYSTEM, "plenum-gateway", "TCP", 8080, OUTSIDE, true),
    Question(SYSTEM, "plenum-gateway", "TCP", 8080, STRANGER, true),
    Question(SYSTEM, "plenum-gateway", "TCP", 7443, OPERATOR, true),
    Question(SYSTEM, "plenum-gateway", "TCP", 7443, GATEWAY, true),
    Question(SYSTEM, "plenum-gateway", "TCP", 7443, IMPOSTOR, false),
    Question(SYSTEM, "plenum-gateway", "TCP", 7443, MEDIA, false),
    Question(SYSTEM, "plenum-gateway", "TCP", 7443, STRANGER, false),
    Question(SYSTEM, "plenum-gateway", "TCP", 7443, OUTSIDE, false),
    Question(SYSTEM, "plenum-gateway", "TCP", 9090, STRANGER, true),
    Question(SYSTEM, "plenum-gateway", "TCP", 9090, OUTSIDE, false),
    Question("media-eu", "plenum-media-node", "UDP", 20000, OUTSIDE, true),
    Question("media-eu", "plenum-media-node", "TCP", 20000, OUTSIDE, false),
    Question("media-eu", "plenum-media-node", "TCP", 7443, OPERATOR, true),
    Question("media-eu", "plenum-media-node", "TCP", 7443, GATEWAY, true),
    Question("media-eu", "plenum-media-node", "TCP", 7443, IMPOSTOR, false),
    Question("media-eu", "plenum-media-node", "TCP", 7443, MEDIA, false),
    Question("media-eu", "plenum-media-node", "TCP", 7443, OUTSIDE, false),
    Question("media-eu", "plenum-media-node", "TCP", 9090, OUTSIDE, false),
    Question("media-eu", "plenum-media-node", "UDP", 20000, TURN, true),
    Question("media-eu", "plenum-turn-node", "UDP", 3478, OUTSIDE, true),
    Question("media-eu", "plenum-turn-node", "TCP", 3478, OUTSIDE, true),
    Question("media-eu", "plenum-turn-node", "TCP", 10443, OUTSIDE, true),
    Question("media-eu", "plenum-turn-node", "UDP", 50000, MEDIA, true),
    Question("media-eu", "plenum-turn-node", "TCP", 7443, OPERATOR, true),
    Question("media-eu", "plenum-turn-node", "TCP", 7443, GATEWAY, true),
    Question("media-eu", "plenum-turn-node", "TCP", 7443, IMPOSTOR, false),
    Question("media-eu", "plenum-turn-node", "TCP", 7443, OUTSIDE, false),
    Question("media-eu", "plenum-turn-node", "TCP", 9090, OUTSIDE, false),
    Question("media-eu", "plenum-turn-node", "TCP", 9090, STRANGER, true),
];

/// Every question has the answer that it should.
pub(super) fn check(objects: &[Value]) -> anyhow::Result<()> {
    for Question(namespace, program, protocol, port, caller, wanted) in QUESTIONS {
        let policies: Vec<&Value> =
            of_kind(objects, "NetworkPolicy").filter(|policy| selects(policy, namespace, program)).collect();
        if policies.is_empty() {
            bail!("no NetworkPolicy selects {program} in {namespace}");
        }
        let answer = policies.iter().any(|policy| allows(policy, protocol, port, caller));
        if answer != wanted {
            let verb = if answer { "may" } else { "may not" };
            bail!("{caller:?} {verb} reach {program} in {namespace} at {protocol} {port}");
        }
    }
    Ok(())
}

fn selects(policy: &Value, namespace: &str, program: &str) -> bool {
    text(policy, "/metadata/namespace") == namespace
        && text(policy, "/spec/podSelector/matchLabels/app.kubernetes.io~1name") == program
        && list(policy, "/spec/policyTypes").iter().any(|kind| kind == "Ingress")
}

fn allows(policy: &Value, protocol: &str, port: u64, caller: Caller) -> bool {
    let own = text(policy, "/metadata/namespace");
    list(policy, "/spec/ingress").iter().any(|rule| {
        let port_fits =
            rule.get("ports").is_none() || list(rule, "/ports").iter().any(|allowed| covers(allowed, protocol, port));
        let caller_fits = rule.get("from").is_none()
            || caller.is_some_and(|(namespace, program)| {
                list(rule, "/from").iter().any(|peer| is(peer, own, namespace, program))
            });
        port_fits && caller_fits
    })
}

fn covers(allowed: &Value, protocol: &str, port: u64) -> bool {
    let number = |key: &str| allowed.get(key).and_then(Value::as_u64);
    let first = number("port").unwrap_or(0);
    let last = number("endPort").or_else(|| number("port")).unwrap_or(u64::MAX);
    text(allowed, "/protocol") == protocol && (first..=last).contains(&port)
}

/// Whether a NetworkPolicyPeer means that pod. Only labels that this chart uses are understood.
fn is(peer: &Value, own: &str, namespace: &str, program: &str) -> bool {
    let namespace_fits = match peer.get("namespaceSelector") {
        None => namespace == own,
        Some(selector) => labels_fit(selector, "kubernetes.io/metadata.name", namespace),
    };
    let program_fits =
        peer.get("podSelector").is_none_or(|selector| labels_fit(selector, "app.kubernetes.io/name", program));
    namespace_fits && program_fits
}

fn labels_fit(selector: &Value, label: &str, value: &str) -> bool {
    match selector.get("matchLabels").and_then(Value::as_object) {
        None => selector.as_object().is_some_and(serde_json::Map::is_empty),
        Some(labels) => labels.iter().all(|(key, wanted)| key == label && wanted == value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn policy(from: Value) -> Value {
        json!({
            "metadata": {"namespace": SYSTEM},
            "spec": {"ingress": [{"from": from, "ports": [{"protocol": "TCP", "port": 1}]}]},
        })
    }

    #[test]
    fn a_pod_selector_alone_means_the_own_namespace() {
        let policy = policy(json!([{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "plenum-gateway"}}}]));
        assert!(allows(&policy, "TCP", 1, GATEWAY));
        assert!(!allows(&policy, "TCP", 1, IMPOSTOR));
        assert!(!allows(&policy, "UDP", 1, GATEWAY));
    }

    #[test]
    fn every_namespace_is_not_the_outside() {
        let policy = policy(json!([{"namespaceSelector": {}}]));
        assert!(allows(&policy, "TCP", 1, STRANGER));
        assert!(!allows(&policy, "TCP", 1, OUTSIDE));
    }
}
