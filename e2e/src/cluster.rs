//! The embedded cluster's program: client namespaces, and nodes that are killed and started.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;

/// What a client's network lets out; the rest is dropped without a word.
#[derive(Debug, Clone)]
pub enum Firewall {
    /// TCP.
    Tcp,
    /// TCP to port 443, and to these endpoints (the gateways').
    Tcp443(Vec<SocketAddr>),
    /// Whatever is not for other clients: two such clients meet at servers only.
    Servers,
}

impl Firewall {
    fn words(&self) -> Vec<String> {
        match self {
            Self::Tcp => vec!["--allow=tcp".to_owned()],
            Self::Servers => vec!["--allow=servers".to_owned()],
            Self::Tcp443(except) => std::iter::once("--allow=tcp443".to_owned())
                .chain(except.iter().map(|endpoint| format!("--except={endpoint}")))
                .collect(),
        }
    }
}

/// One running embedded cluster.
#[derive(Debug, Clone)]
pub struct ClusterProgram {
    program: PathBuf,
    name: String,
}

impl ClusterProgram {
    /// The cluster `name`, run by `program`.
    #[must_use]
    pub fn new(program: PathBuf, name: String) -> Self {
        Self { program, name }
    }

    /// `plenum-cluster WORDS --name NAME REST`.
    fn command(&self, words: &[&str], rest: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).args(["--name", &self.name]).args(rest);
        command
    }

    async fn run(&self, words: &[&str], rest: &[&str]) -> Result<String> {
        let shown = format!("{} {}", words.join(" "), rest.join(" "));
        let output = tokio::process::Command::from(self.command(words, rest))
            .output()
            .await
            .with_context(|| format!("running {} {shown}", self.program.display()))?;
        if !output.status.success() {
            bail!("cluster {shown}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Makes a client namespace and returns its address.
    ///
    /// # Errors
    /// The program failed, or printed no address.
    pub async fn add_client(&self, client: &str, region: &str) -> Result<IpAddr> {
        let printed = self.run(&["client", "add"], &["--region", region, client]).await?;
        let address =
            printed.split(|c: char| c.is_whitespace() || c == '"' || c == ',').find_map(|word| word.parse().ok());
        address.with_context(|| format!("cluster client add {client} printed no address: {printed}"))
    }

    /// Removes a client namespace that an earlier run may have left.
    ///
    /// # Errors
    /// The program failed.
    pub async fn remove_client_if_there(&self, client: &str) -> Result<()> {
        let listed = self.run(&["client", "list"], &["-o", "json"]).await?;
        if listed.contains(&format!("\"{client}\"")) {
            self.run(&["client", "remove"], &[client]).await?;
        }
        Ok(())
    }

    /// Removes a client namespace; for `Drop`, where nothing can be awaited or returned.
    pub fn remove_client_blocking(&self, client: &str) {
        match self.command(&["client", "remove"], &[client]).output() {
            Ok(output) if output.status.success() => {}
            Ok(output) => eprintln!("removing client {client}: {}", String::from_utf8_lossy(&output.stderr).trim()),
            Err(error) => eprintln!("removing client {client}: {error}"),
        }
    }

    /// A command that runs `words` inside a client namespace.
    #[must_use]
    pub fn client_command(&self, client: &str, words: &[String]) -> Command {
        let mut command = self.command(&["client", "exec"], &[client, "--"]);
        command.args(words);
        command
    }

    /// Sets what a client's firewall lets out.
    ///
    /// # Errors
    /// The program failed.
    pub async fn set_firewall(&self, client: &str, firewall: &Firewall) -> Result<()> {
        let words = firewall.words();
        let mut rest = vec![client];
        rest.extend(words.iter().map(String::as_str));
        self.run(&["client", "firewall"], &rest).await.map(drop)
    }

    /// Opens a client's firewall again; for `Drop`, where nothing can be awaited or returned.
    pub fn open_firewall_blocking(&self, client: &str) {
        match self.command(&["client", "firewall"], &[client, "--allow", "open"]).output() {
            Ok(output) if output.status.success() => {}
            Ok(output) => eprintln!("opening {client}: {}", String::from_utf8_lossy(&output.stderr).trim()),
            Err(error) => eprintln!("opening {client}: {error}"),
        }
    }

    /// Any process in a client's network.
    ///
    /// # Errors
    /// The program failed, or there is no such client.
    pub async fn pid_of_client(&self, client: &str) -> Result<u32> {
        let listed = self.run(&["client", "list"], &["-o", "json"]).await?;
        pid_of(&serde_json::from_str(&listed).context("reading the clients")?, client)
    }

    /// Any process in a node's network.
    ///
    /// # Errors
    /// The program failed, or there is no such node.
    pub async fn pid_of_node(&self, node: &str) -> Result<u32> {
        pid_of(self.status().await?.get("nodes").context("the status has no nodes")?, node)
    }

    /// Any process in the control plane's network, and its address.
    ///
    /// # Errors
    /// The program failed.
    pub async fn control_plane(&self) -> Result<(u32, IpAddr)> {
        let status = self.status().await?;
        let part = status.get("controlPlane").context("the status has no control plane")?;
        let address = part.get("address").and_then(Value::as_str).context("the control plane has no address")?;
        Ok((pid(part)?, address.parse().context("reading the control plane's address")?))
    }

    async fn status(&self) -> Result<Value> {
        let text = self.run(&["status"], &["-o", "json"]).await?;
        serde_json::from_str(&text).context("reading the cluster's status")
    }

    /// Ends a node at once, as a power cut would.
    ///
    /// # Errors
    /// The program failed.
    pub async fn kill_node(&self, node: &str) -> Result<()> {
        self.run(&["node", "kill"], &[node]).await.map(drop)
    }

    /// Starts a node that was killed.
    ///
    /// # Errors
    /// The program failed.
    pub async fn start_node(&self, node: &str) -> Result<()> {
        self.run(&["node", "start"], &[node]).await.map(drop)
    }
}

/// Process id of the part with this name.
fn pid_of(parts: &Value, name: &str) -> Result<u32> {
    let mut parts = parts.as_array().into_iter().flatten();
    let named = |part: &&Value| part.get("name").and_then(Value::as_str) == Some(name);
    pid(parts.find(named).with_context(|| format!("the cluster has no {name}"))?)
}

fn pid(part: &Value) -> Result<u32> {
    let pid = part.get("pid").and_then(Value::as_u64).and_then(|pid| u32::try_from(pid).ok());
    pid.context("a part of the cluster has no process")
}
