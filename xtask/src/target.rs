//! The Kubernetes that a command works on: an embedded one, or the one that KUBECONFIG names. Runs kubectl and Helm.

use crate::cluster::Cluster;
use crate::console::Console;
use crate::run;
use crate::tools;
use crate::workspace::Workspace;
use anyhow::{Context, bail};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

/// A Kubernetes.
pub(crate) struct Target {
    embedded: Option<Cluster>,
    kubectl: Vec<String>,
    helm: Vec<String>,
}

/// The value of KUBECONFIG, when it is set to something.
pub(crate) fn kubeconfig() -> Option<String> {
    std::env::var("KUBECONFIG").ok().filter(|value| !value.is_empty())
}

impl Target {
    /// An embedded cluster, which is to be started by the caller.
    pub(crate) fn embedded(cluster: Cluster) -> Self {
        Self { kubectl: cluster.tool("kubectl"), helm: cluster.tool("helm"), embedded: Some(cluster) }
    }

    /// The cluster of KUBECONFIG. Its images come from IMAGE_REGISTRY.
    pub(crate) fn existing(workspace: &Workspace, console: &Console) -> anyhow::Result<Self> {
        let target = if run::on_path("kubectl") && run::on_path("helm") {
            Self { embedded: None, kubectl: vec!["kubectl".to_owned()], helm: vec!["helm".to_owned()] }
        } else {
            let programs = tools::programs(workspace, console)?;
            Self { embedded: None, kubectl: programs.kubectl(), helm: vec![programs.helm().display().to_string()] }
        };
        target.kubectl("reaching the cluster of KUBECONFIG", &["get", "--raw", "/readyz"])?;
        Ok(target)
    }

    /// The embedded cluster, if it is one.
    pub(crate) fn cluster(&self) -> Option<&Cluster> {
        self.embedded.as_ref()
    }

    /// The first words of a kubectl command line.
    pub(crate) fn kubectl_words(&self) -> &[String] {
        &self.kubectl
    }

    /// The first words of a Helm command line.
    pub(crate) fn helm_words(&self) -> &[String] {
        &self.helm
    }

    /// A kubectl command line that is not run yet.
    pub(crate) fn kubectl_command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        command(&self.kubectl, arguments)
    }

    /// Runs kubectl and gives back what it printed.
    pub(crate) fn kubectl(&self, what: &str, arguments: &[&str]) -> anyhow::Result<String> {
        run::captured(what, self.kubectl_command(arguments)?)
    }

    /// Runs `kubectl get ... -o json` for an object that is there.
    pub(crate) fn get(&self, what: &str, arguments: &[&str]) -> anyhow::Result<Value> {
        let text = self.kubectl(what, &[&["get", "-o", "json"], arguments].concat())?;
        serde_json::from_str(&text).with_context(|| format!("{what}: reading what kubectl printed"))
    }

    /// The same for one that may not be there.
    pub(crate) fn find(&self, what: &str, arguments: &[&str]) -> anyhow::Result<Option<Value>> {
        let text = self.kubectl(what, &[&["get", "-o", "json", "--ignore-not-found"], arguments].concat())?;
        let found = Some(text.trim()).filter(|text| !text.is_empty()).map(serde_json::from_str);
        found.transpose().with_context(|| format!("{what}: reading what kubectl printed"))
    }

    /// The same for many objects.
    pub(crate) fn list(&self, what: &str, arguments: &[&str]) -> anyhow::Result<Vec<Value>> {
        match self.get(what, arguments)?.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => Ok(items),
            _ => bail!("{what}: kubectl printed no list"),
        }
    }

    /// Applies a manifest.
    pub(crate) fn apply(&self, what: &str, namespace: &str, manifest: &str) -> anyhow::Result<()> {
        let apply = command(&self.kubectl, &["apply", "--namespace", namespace, "-f", "-"])?;
        run::fed(what, apply, manifest).map(|_| ())
    }

    /// Runs Helm and gives back what it printed.
    pub(crate) fn helm(&self, what: &str, arguments: &[&str]) -> anyhow::Result<String> {
        run::captured(what, command(&self.helm, arguments)?)
    }

    /// Waits for a condition of resources.
    pub(crate) fn wait(
        &self,
        console: &Console,
        namespace: &str,
        condition: &str,
        what: &[&str],
    ) -> anyhow::Result<()> {
        let wanted = format!("--for=condition={condition}");
        let wait = [&["wait", "--namespace", namespace, &wanted, "--timeout=1s"], what].concat();
        let described = [&["describe", "--namespace", namespace], what].concat();
        let event = format!("{} to be {condition}", what.join(" "));
        self.wait_by(console, &event, Duration::from_secs(120), (&wait, &described))
    }

    /// Waits until all pods of a deployment are those that it asks for, and ready.
    pub(crate) fn roll_out(&self, console: &Console, namespace: &str, deployment: &str) -> anyhow::Result<()> {
        let status = ["rollout", "status", "--namespace", namespace, deployment, "--timeout=1s"];
        let pods = ["describe", "pods", "--namespace", namespace];
        let event = format!("the rollout of {deployment}");
        self.wait_by(console, &event, Duration::from_secs(180), (&status, &pods))
    }

    /// Asks until the answer is yes; when it does not come, says what `described` shows.
    fn wait_by(
        &self,
        console: &Console,
        event: &str,
        limit: Duration,
        (asked, described): (&[&str], &[&str]),
    ) -> anyhow::Result<()> {
        console.step(format!("waiting for {event}"));
        run::wait_until(console, event, limit, || Ok(self.kubectl("waiting", asked).is_ok())).or_else(|error| {
            let seen = self.kubectl("describing it", described);
            bail!("{error}. What the cluster says:\n{}", seen.unwrap_or_else(|error| error.to_string()))
        })
    }

    /// One address per node that clients outside of the cluster can reach: ExternalIP, else InternalIP.
    pub(crate) fn node_addresses(&self) -> anyhow::Result<Vec<String>> {
        let nodes = self.list("listing the nodes", &["nodes"])?;
        let outside = |node: &Value| address(node, "ExternalIP").or_else(|| address(node, "InternalIP"));
        Ok(nodes.iter().filter_map(outside).collect())
    }

    /// The regions that nodes say they are in, sorted.
    pub(crate) fn regions(&self) -> anyhow::Result<Vec<String>> {
        self.of_nodes("/metadata/labels/topology.kubernetes.io~1region")
    }

    /// The architectures of the nodes (`amd64`), sorted.
    pub(crate) fn architectures(&self) -> anyhow::Result<Vec<String>> {
        self.of_nodes("/status/nodeInfo/architecture")
    }

    /// The texts that nodes have at a pointer, sorted, each once.
    fn of_nodes(&self, pointer: &str) -> anyhow::Result<Vec<String>> {
        let nodes = self.list("listing the nodes", &["nodes"])?;
        let text = |node: &Value| node.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let texts: BTreeSet<String> = nodes.iter().filter_map(text).collect();
        Ok(texts.into_iter().collect())
    }
}

fn command(words: &[String], arguments: &[&str]) -> anyhow::Result<Command> {
    let (program, first) = words.split_first().context("a command has no words")?;
    let mut command = Command::new(program);
    command.args(first).args(arguments);
    Ok(command)
}

fn address(node: &Value, kind: &str) -> Option<String> {
    let addresses = node.pointer("/status/addresses")?.as_array()?;
    let found = addresses.iter().find(|address| address.get("type").and_then(Value::as_str) == Some(kind))?;
    found.get("address")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_outside_address_is_found_by_its_type() {
        let node = json!({"status": {"addresses": [
            {"type": "Hostname", "address": "n1"}, {"type": "InternalIP", "address": "10.0.0.1"}]}});
        assert_eq!(address(&node, "InternalIP"), Some("10.0.0.1".to_owned()));
        assert_eq!(address(&node, "ExternalIP"), None);
    }
}
