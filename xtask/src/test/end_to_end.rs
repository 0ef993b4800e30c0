//! The tests on a cluster of their own (or on that of KUBECONFIG): started, installed, tested, released, taken down.

use super::release;
use super::tally::{Counts, Tally};
use crate::artifacts;
use crate::build::{self, Profile};
use crate::charts;
use crate::cluster::Cluster;
use crate::console::Console;
use crate::deploy::{self, NAMESPACE, NODE_PORT, Release};
use crate::down;
use crate::images::{self, Images, Registry};
use crate::run;
use crate::target::{self, Target};
use crate::tools;
use crate::workspace::Workspace;
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The cluster of the tests, unless `E2E_CLUSTER` names another; the one that a person plays with goes on beside it.
const CLUSTER: &str = "plenum-test";
/// Label of the namespace of each test, and the one that they share, as `plenum-e2e` makes them.
const TEST_NAMESPACES: &str = "plenum-e2e";
const SHARED_NAMESPACE: &str = "metadata.name=plenum-e2e";

/// Clients that are not ours, for tests.
struct Clients {
    /// Directory with coturn's programs.
    coturn: PathBuf,
    /// The one made with Pion, which runs in clients' networks of an embedded cluster.
    foreign: Option<PathBuf>,
}

/// A target with Plenum on it, ready for tests.
struct Stage {
    target: Target,
    images: Images,
    environment: PathBuf,
    artifacts: PathBuf,
}

/// Runs the end-to-end tests as steps of `tally`.
pub(super) fn run(workspace: &Workspace, console: &Console, tally: &mut Tally, filter: Option<&str>, keep: bool) {
    if filter.is_none() {
        tally.gate(console, "charts", || charts::command(workspace, console));
    }
    let mut stage = None;
    tally.gate(console, "images, cluster, charts", || {
        stage = Some(set(workspace, console, Profile::Dev)?);
        Ok(())
    });
    if let Some(stage) = &stage {
        tests(workspace, console, tally, stage, filter);
    }
    let console = &console.calm();
    if keep {
        console.step(format!("the cluster {} goes on; `make e2e` without KEEP takes it down", cluster_name()));
        return;
    }
    tally.gate(console, "down", || strike(workspace, console, stage.as_ref()));
}

fn tests(workspace: &Workspace, console: &Console, tally: &mut Tally, stage: &Stage, filter: Option<&str>) {
    let mut healthy =
        tally.step(console, "end-to-end tests", |counts| cargo_test(workspace, console, stage, filter, counts));
    if filter.is_none() {
        healthy &= tally.gate(console, "helm test", || release::helm_test(console, &stage.target));
        healthy &=
            tally.gate(console, "helm upgrade", || release::upgrade(workspace, console, &stage.target, &stage.images));
    }
    if !healthy {
        artifacts::dump(console, &stage.target, &stage.artifacts);
    }
    if filter.is_none() {
        tally.gate(console, "helm uninstall", || release::uninstall(console, &stage.target));
    }
}

/// `xtask bench-ready`: the same stage, another play.
pub(super) fn bench_ready(workspace: &Workspace, console: &Console) -> anyhow::Result<()> {
    let stage = set(workspace, console, Profile::Release);
    let outcome = stage.as_ref().map_err(|error| anyhow::anyhow!("{error:#}")).and_then(|stage| {
        console.step("measuring: Rooms from apply to Ready");
        let programs = build::programs(workspace, console, Profile::Release, &["plenum-bench"])?;
        let mut bench = Command::new(build::binary(&programs, "plenum-bench")?);
        bench.current_dir(workspace.root()).arg("ready").env("KUBECONFIG", kubeconfig(&stage.target)?);
        run::streamed(console, "the benchmark", bench)
    });
    strike(workspace, &console.calm(), stage.as_ref().ok())?;
    outcome
}

/// Starts the cluster and installs Plenum, as built by `profile` (on another cluster the environment says).
fn set(workspace: &Workspace, console: &Console, profile: Profile) -> anyhow::Result<Stage> {
    tools::browser(workspace, console)?;
    let mut clients = Clients { coturn: tools::coturn(workspace, console)?, foreign: None };
    let artifacts = fresh_artifacts(workspace)?;
    let (target, images) = if target::kubeconfig().is_some() {
        let registry = Registry::from_environment()?
            .context("KUBECONFIG is set: set IMAGE_REGISTRY to a registry that its nodes pull from")?;
        if registry.pull_secret().is_some() {
            bail!("the tests make namespaces, whose pods have no pull secret: use a registry that asks for none");
        }
        (Target::existing(workspace, console)?, registry.push(workspace, console)?)
    } else {
        let programs = tools::cluster(workspace, console)?;
        clients.foreign = Some(tools::foreign_client(workspace, console)?);
        let images = images::pack(workspace, console, &programs, profile)?;
        let cluster = Cluster::new(programs, &cluster_name());
        cluster.up(console)?;
        cluster.load_images(console, &images.archives)?;
        (Target::embedded(cluster), images)
    };
    let addresses = target.node_addresses()?;
    let urls: Vec<String> = addresses.iter().map(|address| format!("http://{address}:{NODE_PORT}")).collect();
    let public_url = urls.first().context("the cluster has no node with an address")?.clone();
    // Each URL stands for the gateways of its own node: tests choose a replica by its URL.
    let values = vec![
        "gateway.service.externalTrafficPolicy=Local".to_owned(),
        // The Secret of the pool that the tests open to foreign clients.
        "operator.turnAuthSecrets={foreign-turn}".to_owned(),
    ];
    let release = Release { images: &images, public_url, values };
    if let Err(error) = deploy::install(workspace, console, &target, &release) {
        artifacts::dump(console, &target, &artifacts);
        return Err(error);
    }
    let environment = artifacts.join("environment.json");
    let described = describe(workspace, &target, &images, &urls, &clients, &artifacts)?;
    std::fs::write(&environment, serde_json::to_string_pretty(&described)?)?;
    Ok(Stage { target, images, environment, artifacts })
}

/// Removes what `set` made, also when it failed half-way.
fn strike(workspace: &Workspace, console: &Console, stage: Option<&Stage>) -> anyhow::Result<()> {
    if target::kubeconfig().is_some() {
        return stage.map_or(Ok(()), |stage| strike_existing(workspace, console, &stage.target));
    }
    Cluster::new(tools::latest_programs(workspace, console)?, &cluster_name()).down(console)
}

/// The cluster as it was before: without the tests' namespaces no Room is left that would keep the CRDs.
fn strike_existing(workspace: &Workspace, console: &Console, target: &Target) -> anyhow::Result<()> {
    console.step("deleting the tests' namespaces");
    for which in [["--selector", TEST_NAMESPACES], ["--field-selector", SHARED_NAMESPACE]] {
        let delete = [&["delete", "namespace", "--timeout=120s"], &which[..]].concat();
        target.kubectl("deleting the tests' namespaces", &delete)?;
    }
    down::from_existing(workspace, console, target)
}

/// The file by which programs reach the cluster.
fn kubeconfig(target: &Target) -> anyhow::Result<String> {
    match target.cluster() {
        Some(cluster) => Ok(cluster.status()?.kubeconfig.display().to_string()),
        None => target::kubeconfig().context("KUBECONFIG is not set"),
    }
}

/// What the tests are told; the shape is that of `plenum-e2e`'s environment.
fn describe(
    workspace: &Workspace,
    target: &Target,
    images: &Images,
    urls: &[String],
    clients: &Clients,
    artifacts: &Path,
) -> anyhow::Result<Value> {
    let cluster = target.cluster();
    Ok(json!({
        "cluster": cluster.map(Cluster::name),
        "clusterBinary": cluster.map(|cluster| cluster.programs().cluster()),
        "kubeconfig": kubeconfig(target)?,
        "kubectl": target.kubectl_words(),
        "helm": target.helm_words(),
        "namespace": NAMESPACE,
        "gatewayService": "plenum-gateway",
        "gatewayUrls": urls,
        "publicUrl": urls.first(),
        "imageTag": images.tag,
        "plenumctl": build::binary(&images.binaries, "plenumctl")?,
        "chromium": run::found("chromium").or_else(|| run::found("google-chrome")),
        "chromedriver": run::found("chromedriver"),
        "certutil": run::found("certutil"),
        "coturn": clients.coturn,
        "foreignClient": clients.foreign,
        "repository": workspace.root(),
        "artifacts": artifacts,
    }))
}

fn cargo_environment(mut cargo: Command, stage: &Stage) -> Command {
    cargo.env("PLENUM_E2E", &stage.environment);
    cargo
}

fn cargo_test(
    workspace: &Workspace,
    console: &Console,
    stage: &Stage,
    filter: Option<&str>,
    counts: &mut Counts,
) -> anyhow::Result<()> {
    console.step("end-to-end tests");
    let mut cargo = super::cargo_test(workspace, &["--workspace", "--test", "cluster", "--"]);
    cargo.args(filter);
    if !run::tallied(console, "the end-to-end tests", cargo_environment(cargo, stage), |line| counts.cargo_line(line))?
    {
        bail!("end-to-end tests failed: pods, events and logs are in {}", stage.artifacts.display());
    }
    if counts.passed == 0 {
        bail!("no end-to-end test ran");
    }
    Ok(())
}

/// An empty directory for this run.
fn fresh_artifacts(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let name = format!("artifacts/{}", cluster_name());
    let dir = workspace.cache_dir(&name)?;
    std::fs::remove_dir_all(&dir).with_context(|| format!("deleting {}", dir.display()))?;
    workspace.cache_dir(&name)
}

fn cluster_name() -> String {
    std::env::var("E2E_CLUSTER").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| CLUSTER.to_owned())
}
