//! `make up` and `make down` as on a cluster that somebody else runs, with images from a private registry: an embedded
//! cluster that knows nothing of Plenum stands in for it.

use crate::artifacts;
use crate::cluster::Cluster;
use crate::console::Console;
use crate::http;
use crate::images;
use crate::run;
use crate::target::Target;
use crate::tools;
use crate::workspace::Workspace;
use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const CLUSTER: &str = "plenum-elsewhere";
/// Name and password that the registry asks for. It listens to this machine and the cluster only, while the test runs.
const LOGIN: (&str, &str) = ("plenum", "hush");
const PULL_SECRET: &str = "pull";
const NODES_ALIVE: &str = "Lease kube-node-lease/";
const LIMIT: Duration = Duration::from_secs(30);

/// The cluster, and how one works on it from outside.
struct Elsewhere {
    target: Target,
    registry: String,
    /// A directory with the login, as container tools look for it.
    login: PathBuf,
    kubeconfig: PathBuf,
    /// Addresses that no proxy is asked for.
    direct: String,
    /// Where the page is to be reached on this machine.
    port: u16,
}

/// Starts the cluster, goes there and back, and takes it down whatever happened.
pub(super) fn run(workspace: &Workspace, console: &Console) -> anyhow::Result<()> {
    let programs = tools::cluster(workspace, console)?;
    tools::image_builder(workspace, console)?;
    let cluster = Cluster::new(programs, CLUSTER);
    let outcome = cluster.up(console).and_then(|()| {
        let elsewhere = Elsewhere::prepare(workspace, console, &cluster)?;
        elsewhere.there_and_back(workspace, console).inspect_err(|_| match workspace.cache_dir("artifacts/elsewhere") {
            Ok(dir) => artifacts::dump(console, &elsewhere.target, &dir),
            Err(error) => console.step(format!("nothing is kept of the cluster: {error:#}")),
        })
    });
    let down = cluster.down(&console.calm());
    outcome.and(down)
}

impl Elsewhere {
    /// What the cluster's owner does: a registry with a login, and a service account that knows it.
    fn prepare(workspace: &Workspace, console: &Console, cluster: &Cluster) -> anyhow::Result<Self> {
        let (name, password) = LOGIN;
        let host = cluster.registry(&format!("{name}:{password}"))?;
        console.step(format!("a private registry: {host}"));
        let login = workspace.cache_dir("registry-login")?;
        let auth = json!({"auths": {&host: {"auth": STANDARD.encode(format!("{name}:{password}"))}}});
        std::fs::write(login.join("config.json"), auth.to_string()).context("writing the registry's login")?;
        let target = Target::embedded(cluster.clone());
        let secret = ["create", "secret", "docker-registry", PULL_SECRET, "--docker-server", &host];
        let credentials = ["--docker-username", name, "--docker-password", password];
        target.kubectl("making the pull secret", &[&secret[..], &credentials].concat())?;
        let patch = json!({"imagePullSecrets": [{"name": PULL_SECRET}]}).to_string();
        let account = ["patch", "serviceaccount", "default", "--patch", &patch];
        target.kubectl("letting pods use the pull secret", &account)?;
        let status = cluster.status()?;
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
        Ok(Self {
            target,
            registry: format!("{host}/plenum"),
            login,
            kubeconfig: status.kubeconfig,
            direct: status.control_plane.address.to_string(),
            port: free.context("finding a free port")?.port(),
        })
    }

    fn there_and_back(&self, workspace: &Workspace, console: &Console) -> anyhow::Result<()> {
        let before = self.inventory()?;
        let printed = self.chore(workspace, console, "up")?;
        let mut pulled = Ok(());
        run::wait_until(console, "pods that run what was pulled", LIMIT, || {
            pulled = self.runs_pulled_images();
            Ok(pulled.is_ok())
        })
        .or_else(|error| pulled.and(Err(error)))?;
        self.page_opens(console, &printed)?;
        self.chore(workspace, console, "down")?;
        let mut after = before.clone();
        let waited = run::wait_until(console, "the cluster as it was before", LIMIT, || {
            after = self.inventory()?;
            Ok(after == before)
        });
        waited.with_context(|| {
            let left: Vec<_> = after.difference(&before).cloned().collect();
            let lost: Vec<_> = before.difference(&after).cloned().collect();
            format!("`make down` left {left:?} and took {lost:?}")
        })
    }

    /// Runs this program as a person would who has the cluster's kubeconfig and the registry's login.
    fn chore(&self, workspace: &Workspace, console: &Console, name: &str) -> anyhow::Result<Vec<String>> {
        console.step(format!(
            "make {name}, with KUBECONFIG={} IMAGE_REGISTRY={}",
            self.kubeconfig.display(),
            self.registry
        ));
        let mut chore = Command::new(std::env::current_exe().context("finding this program")?);
        chore.current_dir(workspace.root()).arg(name).env("KUBECONFIG", &self.kubeconfig);
        chore.env(images::REGISTRY, &self.registry).env(images::PROFILE, "dev").env(images::PULL_SECRET, PULL_SECRET);
        chore.env("REGISTRY_AUTH_FILE", self.login.join("config.json")).env("DOCKER_CONFIG", &self.login);
        chore.env("PLENUM_PORT", self.port.to_string()).env_remove("PLENUM_PUBLIC_URL");
        for proxy in ["NO_PROXY", "no_proxy"] {
            let former = std::env::var(proxy).unwrap_or_default();
            chore.env(proxy, format!("{former},{}", self.direct).trim_start_matches(','));
        }
        let mut printed = Vec::new();
        if !run::tallied(console, name, chore, |line| printed.push(line.to_owned()))? {
            bail!("`make {name}` failed");
        }
        Ok(printed)
    }

    /// All pods are Plenum's; each program is there, and came from the registry.
    fn runs_pulled_images(&self) -> anyhow::Result<()> {
        let images = image_ids(&self.target.list("listing the pods", &["pods", "--all-namespaces"])?);
        let mut seen = BTreeSet::new();
        for image in &images {
            let rest = image.strip_prefix(&self.registry).and_then(|rest| rest.strip_prefix('/'));
            let (name, _) = rest
                .and_then(|rest| rest.split_once("@sha256:"))
                .with_context(|| format!("a pod runs {image:?}, which was not pulled from {}", self.registry))?;
            seen.insert(name);
        }
        if seen != BTreeSet::from(images::IMAGES) {
            bail!("the pods' images are {images:?}");
        }
        Ok(())
    }

    /// Does as `make up` printed: forwards the port and opens the URL.
    fn page_opens(&self, console: &Console, printed: &[String]) -> anyhow::Result<()> {
        let found = |mark: &str| {
            let line = printed.iter().map(|line| line.trim()).find(|line| line.contains(mark));
            line.with_context(|| format!("`make up` printed no {mark}"))
        };
        let (_, words) = found(" port-forward ")?.split_once(" port-forward ").context("no words follow")?;
        let arguments: Vec<&str> = ["port-forward"].into_iter().chain(words.split(' ')).collect();
        let url = found("#token=")?;
        let path = url.strip_prefix(&format!("http://localhost:{}", self.port)).context("the URL is another one")?;
        let (path, _) = path.split_once('#').context("the URL has no token")?;
        let forward = run::background("forwarding a port", self.target.kubectl_command(&arguments)?)?;
        let mut answer = Err(anyhow::anyhow!("it was not tried"));
        let opened = run::wait_until(console, "the page", LIMIT, || {
            answer = http::ask(self.port, &format!("GET {path}"), &[], "");
            Ok(answer.as_ref().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 ")))
        });
        forward.stop()?;
        let first = answer.map(|answer| answer.lines().next().unwrap_or_default().to_owned());
        opened.with_context(|| format!("opening {url}: {first:?}"))
    }

    /// Every object of the cluster but what comes and goes by itself: events, and the nodes' signs of life.
    fn inventory(&self) -> anyhow::Result<BTreeSet<String>> {
        let kinds =
            self.target.kubectl("listing the kinds", &["api-resources", "--verbs=list,delete", "-o", "name"])?;
        let kinds: Vec<&str> = kinds.lines().filter(|kind| !kind.starts_with("events")).collect();
        let template = r#"jsonpath={range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name}{"\n"}{end}"#;
        let all = ["get", &kinds.join(","), "--all-namespaces", "-o", template];
        let listed = self.target.kubectl("listing everything", &all)?;
        Ok(listed.lines().filter(|line| !line.starts_with(NODES_ALIVE)).map(str::to_owned).collect())
    }
}

/// The images that containers run, by digest, as the kubelets say.
fn image_ids(pods: &[Value]) -> Vec<String> {
    let statuses = pods.iter().filter_map(|pod| pod.pointer("/status/containerStatuses")?.as_array()).flatten();
    statuses.map(|status| status.get("imageID").and_then(Value::as_str).unwrap_or_default().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_was_not_started_has_an_image_too() {
        let pods = [json!({"status": {"containerStatuses": [{"imageID": "r/x@sha256:1"}, {}]}}), json!({})];
        assert_eq!(image_ids(&pods), ["r/x@sha256:1", ""]);
    }
}
