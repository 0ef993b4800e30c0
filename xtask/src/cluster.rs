//! The embedded Kubernetes as seen from here: its programs, and one cluster by name.

use crate::console::Console;
use crate::run;
use anyhow::Context;
use serde::Deserialize;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The directory with `plenum-cluster` and the programs that it starts.
#[derive(Clone)]
pub(crate) struct Programs {
    dir: PathBuf,
}

impl Programs {
    /// Programs that were built into `dir`.
    pub(crate) fn in_directory(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Where they are.
    pub(crate) fn directory(&self) -> &Path {
        &self.dir
    }

    /// `plenum-cluster`.
    pub(crate) fn cluster(&self) -> PathBuf {
        self.dir.join("plenum-cluster")
    }

    /// `kubectl` for a cluster that is not ours: the first words of the command line.
    pub(crate) fn kubectl(&self) -> Vec<String> {
        vec![self.dir.join("plenum-kube").display().to_string(), "kubectl".to_owned()]
    }

    /// `helm`, which needs no cluster to render.
    pub(crate) fn helm(&self) -> PathBuf {
        self.dir.join("helm")
    }
}

/// One cluster.
#[derive(Clone)]
pub(crate) struct Cluster {
    programs: Programs,
    name: String,
}

/// What `plenum-cluster status -o json` says, as far as it is used here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    /// Path of the administrator's kubeconfig.
    pub(crate) kubeconfig: PathBuf,
    /// The API server.
    pub(crate) control_plane: ControlPlane,
    /// The nodes.
    pub(crate) nodes: Vec<Node>,
    /// TCP forwarders of this machine into the cluster.
    pub(crate) forwards: Vec<Forward>,
}

/// The control plane.
#[derive(Deserialize)]
pub(crate) struct ControlPlane {
    /// Where the API server listens.
    pub(crate) address: IpAddr,
}

/// A node.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Node {
    /// Its InternalIP.
    pub(crate) address: IpAddr,
    /// Its processes run.
    pub(crate) alive: bool,
}

/// A forwarder.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Forward {
    /// `ADDRESS:PORT` on this machine.
    pub(crate) listen: String,
    /// It runs.
    pub(crate) alive: bool,
}

impl Cluster {
    /// The cluster `name`, which may not be there yet.
    pub(crate) fn new(programs: Programs, name: &str) -> Self {
        Self { programs, name: name.to_owned() }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The programs it is made of.
    pub(crate) fn programs(&self) -> &Programs {
        &self.programs
    }

    /// Starts it, mends it, or finds that it runs.
    pub(crate) fn up(&self, console: &Console) -> anyhow::Result<()> {
        console.step(format!("starting the cluster {} (a control plane and three nodes)", self.name));
        run::streamed(console, "starting the cluster", self.command(&["up"]))
    }

    /// Removes it and all that belongs to it.
    pub(crate) fn down(&self, console: &Console) -> anyhow::Result<()> {
        console.step(format!("removing the cluster {}", self.name));
        run::streamed(console, "removing the cluster", self.command(&["down"]))
    }

    /// Imports image archives into every node.
    pub(crate) fn load_images(&self, console: &Console, archives: &[PathBuf]) -> anyhow::Result<()> {
        console.step(format!("loading {} images into the nodes", archives.len()));
        let mut load = self.command(&["load-image"]);
        load.args(archives);
        run::streamed(console, "loading images", load)
    }

    /// Carries TCP connections from this machine into the cluster, until it is down.
    pub(crate) fn forward(&self, console: &Console, listen: &str, to: &str) -> anyhow::Result<()> {
        let forward = self.command(&["forward", "--listen", listen, "--to", to]);
        run::streamed(console, &format!("forwarding {listen}"), forward)
    }

    /// Runs an image registry until the cluster is down, which asks for `login`, `NAME:PASSWORD`. Gives back how the
    /// names of its images begin, here and on the nodes.
    pub(crate) fn registry(&self, login: &str) -> anyhow::Result<String> {
        let name = run::captured("starting the registry", self.command(&["registry", "--login", login]))?;
        Ok(name.trim().to_owned())
    }

    /// How it is.
    pub(crate) fn status(&self) -> anyhow::Result<Status> {
        let text = run::captured("asking for the cluster's status", self.command(&["status", "-o", "json"]))?;
        serde_json::from_str(&text).context("reading the cluster's status")
    }

    /// The first words of a command line that runs `tool` (`kubectl` or `helm`) on the cluster.
    pub(crate) fn tool(&self, tool: &str) -> Vec<String> {
        let program = self.programs.cluster().display().to_string();
        vec![program, "--name".to_owned(), self.name.clone(), tool.to_owned(), "--".to_owned()]
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.programs.cluster());
        command.args(["--name", &self.name]).args(arguments);
        command
    }
}

/// Whether a cluster of this name left anything in the state directory.
pub(crate) fn has_state(state: &Path, name: &str) -> bool {
    state.join("clusters").join(name).exists()
}
