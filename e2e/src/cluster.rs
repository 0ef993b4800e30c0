//! The embedded cluster's program: client namespaces, and nodes that are killed and started.

use anyhow::{Context, Result, bail};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;

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
