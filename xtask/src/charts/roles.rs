//! Least rights: no wildcards, Secrets only by name, nothing that lets a program give itself more.

use super::{list, name_of, of_kind};
use anyhow::bail;
use serde_json::Value;

/// Resources whose rights are rights over everything else.
const NEVER: [&str; 8] = [
    "roles",
    "rolebindings",
    "clusterroles",
    "clusterrolebindings",
    "serviceaccounts/token",
    "pods/exec",
    "nodes/proxy",
    "customresourcedefinitions",
];
/// Verbs that cannot be limited to names, and only make something new.
const NAMELESS: [&str; 1] = ["create"];

/// Every rule of every role.
pub(super) fn check(objects: &[Value]) -> anyhow::Result<()> {
    let mut rules = 0;
    for role in of_kind(objects, "ClusterRole").chain(of_kind(objects, "Role")) {
        for rule in list(role, "/rules") {
            rules += 1;
            if let Some(fault) = fault(rule) {
                bail!("{}: {fault}: {rule}", name_of(role));
            }
        }
    }
    if rules == 0 {
        bail!("the chart renders no roles");
    }
    Ok(())
}

fn fault(rule: &Value) -> Option<&'static str> {
    let has = |key: &str, word: &str| list(rule, &format!("/{key}")).iter().any(|value| value == word);
    if ["verbs", "resources", "apiGroups"].iter().any(|key| has(key, "*")) {
        return Some("a wildcard");
    }
    if NEVER.iter().any(|resource| has("resources", resource)) {
        return Some("a right that leads to all others");
    }
    let named = !list(rule, "/resourceNames").is_empty();
    let only_creates = list(rule, "/verbs").iter().all(|verb| NAMELESS.iter().any(|allowed| verb == allowed));
    if has("resources", "secrets") && !named && !only_creates {
        return Some("Secrets without resourceNames");
    }
    if has("resources", "leases") && !named && !only_creates {
        return Some("Leases without resourceNames");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_need_names_unless_they_are_made() {
        let rule = |verbs: &[&str], names: &[&str]| json!({"apiGroups": [""], "resources": ["secrets"], "verbs": verbs, "resourceNames": names});
        assert!(fault(&rule(&["create"], &[])).is_none());
        assert!(fault(&rule(&["get"], &["plenum-ca"])).is_none());
        assert_eq!(fault(&rule(&["get", "create"], &[])), Some("Secrets without resourceNames"));
    }

    #[test]
    fn wildcards_and_roads_to_more_rights_are_found() {
        assert!(fault(&json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]})).is_some());
        assert!(fault(&json!({"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]})).is_some());
    }
}
