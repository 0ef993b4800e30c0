//! What is kept of a cluster when a test on it failed: resources, events and logs, as text files in the cache.

use crate::console::Console;
use crate::target::Target;
use std::path::Path;

/// File name and kubectl's arguments.
const DUMPS: [(&str, &[&str]); 6] = [
    ("resources.txt", &["get", "all,rooms,relaypools,nodes,leases,endpointslices", "--all-namespaces", "-o", "wide"]),
    ("rooms.yaml", &["get", "rooms", "--all-namespaces", "-o", "yaml"]),
    ("relaypools.yaml", &["get", "relaypools", "--all-namespaces", "-o", "yaml"]),
    ("pods.yaml", &["get", "pods", "--all-namespaces", "-o", "yaml"]),
    ("pods.txt", &["describe", "pods", "--all-namespaces"]),
    ("events.txt", &["get", "events", "--all-namespaces", "--sort-by=.lastTimestamp"]),
];
const PROGRAMS: [&str; 4] = ["plenum-operator", "plenum-gateway", "plenum-media-node", "plenum-turn-node"];

/// Writes everything into `dir`. What cannot be had is said in its file.
pub(crate) fn dump(console: &Console, target: &Target, dir: &Path) {
    console.step(format!("writing pods, events and logs to {}", dir.display()));
    if let Err(error) = write_all(target, dir) {
        console.step(format!("the state of the cluster could not be kept: {error:#}"));
    }
}

fn write_all(target: &Target, dir: &Path) -> anyhow::Result<()> {
    for (name, arguments) in DUMPS {
        let text = target.kubectl(name, arguments).unwrap_or_else(|error| format!("{error:#}\n"));
        std::fs::write(dir.join(name), text)?;
    }
    for program in PROGRAMS {
        let selector = format!("app.kubernetes.io/name={program}");
        for (file, previous) in
            [(format!("{program}.log"), "--previous=false"), (format!("{program}-previous.log"), "--previous")]
        {
            let text = logs(target, &selector, previous).unwrap_or_else(|error| format!("{error:#}\n"));
            std::fs::write(dir.join(file), text)?;
        }
    }
    Ok(())
}

/// Logs pod by pod, in all namespaces.
fn logs(target: &Target, selector: &str, previous: &str) -> anyhow::Result<String> {
    let template = r#"{range .items[*]}{.metadata.namespace} {.metadata.name}{"\n"}{end}"#;
    let list = ["get", "pods", "--all-namespaces", "--selector", selector, "-o", &format!("jsonpath={template}")];
    let mut text = String::new();
    for line in target.kubectl("listing pods", &list)?.lines() {
        let Some((namespace, pod)) = line.split_once(' ') else { continue };
        let logs = ["logs", "--namespace", namespace, pod, "--tail=5000", previous];
        let log = target.kubectl("logs", &logs).unwrap_or_else(|error| format!("{error:#}"));
        text.push_str(&format!("== {namespace}/{pod}\n{log}\n"));
    }
    Ok(text)
}
