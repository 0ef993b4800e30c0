//! What `xtask test` tells the cluster tests: one JSON file, named by `PLENUM_E2E`.

use crate::cluster::ClusterProgram;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// Variable that names the file.
const VARIABLE: &str = "PLENUM_E2E";

/// Where everything is.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Env {
    /// Name of the embedded cluster; unset on another cluster.
    #[serde(default)]
    cluster: Option<String>,
    /// Its program.
    #[serde(default)]
    cluster_binary: Option<PathBuf>,
    /// Admin kubeconfig.
    pub kubeconfig: PathBuf,
    kubectl: Vec<String>,
    helm: Vec<String>,
    /// Namespace that the chart `plenum` is installed in.
    pub namespace: String,
    /// Base URLs of the gateways as clients reach them, at least one.
    pub gateway_urls: Vec<String>,
    /// Base URL in `status.signaling.url`.
    pub public_url: String,
    plenumctl: PathBuf,
    /// Chromium.
    pub chromium: PathBuf,
    /// Its WebDriver.
    pub chromedriver: PathBuf,
    /// `certutil` of NSS, by which browsers learn whom to trust.
    pub certutil: PathBuf,
    /// Directory with coturn's programs.
    coturn: PathBuf,
    /// The client made with Pion; unset on another cluster.
    #[serde(default)]
    foreign_client: Option<PathBuf>,
    /// Root of the repository.
    pub repository: PathBuf,
    /// Where logs of failed tests go.
    pub artifacts: PathBuf,
}

impl Env {
    /// Whether somebody named a file: without one, the tests that need a cluster are passed over.
    #[must_use]
    pub fn is_given() -> bool {
        std::env::var_os(VARIABLE).is_some()
    }

    /// Reads the file.
    ///
    /// # Errors
    /// The variable is not set, or the file is not what `xtask` writes.
    pub fn read() -> Result<Self> {
        let path = std::env::var_os(VARIABLE).with_context(|| {
            format!("{VARIABLE} is not set: the cluster tests are started by `make test`, which starts a cluster and sets it")
        })?;
        let path = PathBuf::from(path);
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("reading {} ({VARIABLE})", path.display()))?;
        let mut env: Self =
            serde_json::from_str(&text).with_context(|| format!("parsing {} ({VARIABLE})", path.display()))?;
        for url in &mut env.gateway_urls {
            url.truncate(url.trim_end_matches('/').len());
        }
        ensure!(!env.gateway_urls.is_empty(), "{}: gatewayUrls is empty", path.display());
        ensure!(!env.kubectl.is_empty() && !env.helm.is_empty(), "{}: kubectl or helm is empty", path.display());
        Ok(env)
    }

    /// The embedded cluster; `None` on another one: then browsers run on this machine, and no test kills a node.
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterProgram> {
        let (name, program) = (self.cluster.clone()?, self.cluster_binary.clone()?);
        Some(ClusterProgram::new(program, name))
    }

    /// A program of coturn.
    #[must_use]
    pub fn coturn(&self, program: &str) -> PathBuf {
        self.coturn.join(program)
    }

    /// The client made with Pion.
    ///
    /// # Errors
    /// It is built for the embedded cluster only.
    pub fn foreign_client(&self) -> Result<&Path> {
        self.foreign_client.as_deref().context("no foreign client was built")
    }

    /// Runs kubectl and returns what it prints.
    ///
    /// # Errors
    /// It failed; the message has its standard error.
    pub async fn kubectl(&self, words: &[&str]) -> Result<String> {
        self.tool(&self.kubectl, words).await
    }

    /// Runs Helm and returns what it prints.
    ///
    /// # Errors
    /// It failed; the message has its standard error.
    pub async fn helm(&self, words: &[&str]) -> Result<String> {
        self.tool(&self.helm, words).await
    }

    /// Runs plenumctl; returns whether it succeeded, and all that it prints.
    ///
    /// # Errors
    /// It cannot be run.
    pub async fn plenumctl(&self, words: &[&str]) -> Result<(bool, String)> {
        let output = Command::new(&self.plenumctl)
            .args(words)
            .env("KUBECONFIG", &self.kubeconfig)
            .kill_on_drop(true)
            .output()
            .await
            .with_context(|| format!("running {}", self.plenumctl.display()))?;
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        Ok((output.status.success(), text))
    }

    async fn tool(&self, tool: &[String], words: &[&str]) -> Result<String> {
        let (program, first) = tool.split_first().context("a tool has a program")?;
        let shown = format!("{} {}", tool.join(" "), words.join(" "));
        let output = Command::new(program)
            .args(first)
            .args(words)
            .env("KUBECONFIG", &self.kubeconfig)
            .kill_on_drop(true)
            .output()
            .await
            .with_context(|| format!("running {shown}"))?;
        ensure!(output.status.success(), "{shown}: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
