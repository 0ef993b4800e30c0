//! Which crate may depend on which: the table is ARCHITECTURE.md's, the facts are the manifests'.

use super::{Findings, Source};
use anyhow::Context;
use std::collections::BTreeMap;

/// A package, what of ours it may depend on, and what else of ours its tests may use.
struct Rule {
    package: &'static str,
    may_use: &'static [&'static str],
    tests_may_use: &'static [&'static str],
}

const fn rule(package: &'static str, may_use: &'static [&'static str]) -> Rule {
    Rule { package, may_use, tests_may_use: &[] }
}

const ANYTHING: &[&str] = &["*"];
/// What an engine is made of.
const CORE: &[&str] = &["plenum-protocol", "plenum-sansio"];
const TESTING: &[&str] = &["plenum-testing"];

const RULES: [Rule; 18] = [
    rule("plenum-api", &[]),
    rule("plenum-protocol", &[]),
    rule("plenum-runtime", &["plenum-protocol"]),
    rule("plenum-testing", &[]),
    Rule { package: "plenum-sansio", may_use: &[], tests_may_use: TESTING },
    Rule { package: "plenum-dataplane", may_use: &[], tests_may_use: TESTING },
    rule("plenum-signaling", &["plenum-protocol"]),
    Rule { package: "plenum-media-core", may_use: CORE, tests_may_use: TESTING },
    rule(
        "plenum-media-node",
        &["plenum-media-core", "plenum-dataplane", "plenum-protocol", "plenum-runtime", "plenum-signaling"],
    ),
    Rule { package: "plenum-turn-core", may_use: CORE, tests_may_use: TESTING },
    Rule {
        package: "plenum-turn-node",
        may_use: &["plenum-turn-core", "plenum-dataplane", "plenum-protocol", "plenum-runtime"],
        tests_may_use: TESTING,
    },
    rule("plenum-gateway", &["plenum-api", "plenum-protocol", "plenum-signaling", "plenum-runtime"]),
    rule("plenum-operator", &["plenum-api", "plenum-protocol", "plenum-runtime"]),
    rule("plenumctl", &["plenum-api", "plenum-protocol", "plenum-operator"]),
    rule("plenum-e2e", ANYTHING),
    rule("plenum-bench", ANYTHING),
    rule("xtask", ANYTHING),
    rule("plenum-fuzz", ANYTHING),
];

/// Crates that never talk to Kubernetes, by themselves or through others.
const WITHOUT_KUBE: [&str; 9] = [
    "plenum-protocol",
    "plenum-sansio",
    "plenum-runtime",
    "plenum-dataplane",
    "plenum-signaling",
    "plenum-media-core",
    "plenum-media-node",
    "plenum-turn-core",
    "plenum-turn-node",
];
/// Crates that do no I/O.
const WITHOUT_IO: [&str; 5] =
    ["plenum-api", "plenum-protocol", "plenum-sansio", "plenum-media-core", "plenum-turn-core"];
const IO: [&str; 7] = ["tokio", "axum", "hyper", "hyper-util", "reqwest", "socket2", "tokio-rustls"];

/// Dependencies that the table does not allow.
pub(super) fn check(sources: &[Source]) -> anyhow::Result<Findings> {
    let mut findings = Findings::new();
    let mut ours = BTreeMap::new();
    for source in sources.iter().filter(|source| source.path.ends_with("Cargo.toml")) {
        let manifest: toml::Table =
            source.text.parse().with_context(|| format!("parsing {}", source.path.display()))?;
        if let Some(name) = package_name(&manifest) {
            ours.insert(name, manifest);
        }
    }
    for (package, manifest) in &ours {
        match RULES.iter().find(|rule| rule.package == package) {
            Some(rule) => findings.extend(violations(rule, manifest, &ours)),
            None => findings.push(format!("{package} is not in the table of xtask/src/tidy/arrows.rs: add its arrows")),
        }
    }
    Ok(findings)
}

fn package_name(manifest: &toml::Table) -> Option<String> {
    Some(manifest.get("package")?.get("name")?.as_str()?.to_owned())
}

fn violations(rule: &Rule, manifest: &toml::Table, ours: &BTreeMap<String, toml::Table>) -> Findings {
    let mut findings = Findings::new();
    for (section, dependency) in dependencies(manifest) {
        let in_tests = section == "dev-dependencies";
        let allowed = |list: &[&str]| list == ANYTHING || list.contains(&dependency.as_str());
        let is_allowed =
            allowed(rule.may_use) || (in_tests && allowed(rule.tests_may_use)) || dependency == rule.package;
        if ours.contains_key(&dependency) && !is_allowed {
            findings.push(format!("{} must not depend on {dependency} ({section})", rule.package));
        }
        if in_tests {
            continue;
        }
        if WITHOUT_KUBE.contains(&rule.package) && (dependency == "kube" || dependency == "k8s-openapi") {
            findings.push(format!("{} must not depend on {dependency}: nodes never talk to Kubernetes", rule.package));
        }
        if WITHOUT_IO.contains(&rule.package) && IO.contains(&dependency.as_str()) {
            findings.push(format!("{} must not depend on {dependency}: it does no I/O", rule.package));
        }
    }
    findings
}

/// (section, real package name) of every dependency, those for one target included.
fn dependencies(manifest: &toml::Table) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let targets = manifest.get("target").and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::values);
    let tables = std::iter::once(manifest).chain(targets.filter_map(toml::Value::as_table));
    for table in tables {
        for section in ["dependencies", "build-dependencies", "dev-dependencies"] {
            let Some(entries) = table.get(section).and_then(toml::Value::as_table) else { continue };
            for (key, value) in entries {
                let renamed = value.get("package").and_then(toml::Value::as_str);
                found.push((section, renamed.unwrap_or(key).to_owned()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::source;

    fn findings_of(dependency: &str) -> Findings {
        let core = format!("[package]\nname = \"plenum-media-core\"\n[dependencies]\n{dependency}.workspace = true\n");
        let sources = [
            source("media-node/core/Cargo.toml", &core),
            source("protocol/Cargo.toml", "[package]\nname = \"plenum-protocol\"\n"),
            source("runtime/Cargo.toml", "[package]\nname = \"plenum-runtime\"\n"),
        ];
        check(&sources).unwrap()
    }

    #[test]
    fn an_allowed_arrow_passes() {
        assert!(findings_of("plenum-protocol").is_empty());
    }

    #[test]
    fn a_forbidden_arrow_is_found() {
        assert_eq!(
            findings_of("plenum-runtime"),
            ["plenum-media-core must not depend on plenum-runtime (dependencies)"]
        );
    }

    #[test]
    fn a_node_that_depends_on_kubernetes_is_found() {
        assert_eq!(findings_of("kube").len(), 1);
    }

    #[test]
    fn a_core_that_depends_on_a_runtime_is_found() {
        assert_eq!(findings_of("tokio").len(), 1);
    }

    #[test]
    fn a_crate_without_a_row_is_found() {
        let found = check(&[source("new/Cargo.toml", "[package]\nname = \"plenum-new\"\n")]).unwrap();
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn dependencies_for_one_target_count() {
        let text = "[package]\nname = \"plenum-protocol\"\n[target.'cfg(unix)'.dependencies]\nplenum-runtime = \"1\"\n";
        let runtime = source("runtime/Cargo.toml", "[package]\nname = \"plenum-runtime\"\n");
        assert_eq!(check(&[source("protocol/Cargo.toml", text), runtime]).unwrap().len(), 1);
    }
}
