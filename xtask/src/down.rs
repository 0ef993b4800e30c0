//! `make down` and `make clean-cache`: leave nothing.

use crate::cluster::{Cluster, has_state};
use crate::console::Console;
use crate::deploy::{self, MADE_BY, NAMESPACE};
use crate::examples;
use crate::target::{self, Target};
use crate::tools;
use crate::up::{CLUSTER, ROOM, ROOM_NAMESPACE};
use crate::workspace::Workspace;
use anyhow::{Context, bail};

const KINDS: &str = "rooms.rtc.plenum.dev,relaypools.rtc.plenum.dev";

/// `xtask down`.
pub(crate) fn command(workspace: &Workspace, console: &Console) -> anyhow::Result<()> {
    if target::kubeconfig().is_some() {
        let target = Target::existing(workspace, console)?;
        return from_existing(workspace, console, &target);
    }
    if !has_state(workspace.state(), CLUSTER) {
        console.step("nothing is up");
        return Ok(());
    }
    Cluster::new(tools::latest_programs(workspace, console)?, CLUSTER).down(console)?;
    console.step("nothing is left but the caches (`make clean-cache` deletes them)");
    Ok(())
}

/// Removes what `make up` made from a cluster that goes on without it. Other people's rooms keep the CRDs.
pub(crate) fn from_existing(workspace: &Workspace, console: &Console, target: &Target) -> anyhow::Result<()> {
    let has_kinds = target.kubectl("looking for the CRDs", &["get", "crd", "rooms.rtc.plenum.dev"]).is_ok();
    if has_kinds {
        delete_examples(workspace, console, target)?;
    }
    deploy::uninstall(console, target, "plenum")?;
    deploy::uninstall(console, target, "plenum-crds")?;
    let label = format!("{}={}", MADE_BY.0, MADE_BY.1);
    for namespace in [ROOM_NAMESPACE, NAMESPACE] {
        let secrets = ["delete", "secret", "--namespace", namespace, "--selector", &label];
        target.kubectl("deleting the API key and the pull secret", &secrets)?;
    }
    if has_kinds {
        delete_kinds(console, target)?;
    }
    console.step(format!("deleting the namespace {NAMESPACE}, if `make up` made it"));
    let named = format!("metadata.name={NAMESPACE}");
    let namespace = ["delete", "namespace", "--selector", &label, "--field-selector", &named, "--timeout=120s"];
    target.kubectl("deleting the namespace", &namespace).map(|_| ())
}

/// The example room, the example pools with their pods, and the Secrets that the operator made for them.
fn delete_examples(workspace: &Workspace, console: &Console, target: &Target) -> anyhow::Result<()> {
    console.step("deleting the example room and pools, and their pods");
    let here = ["--namespace", ROOM_NAMESPACE, "--ignore-not-found", "--timeout=120s"];
    let delete = |what: &[&str]| target.kubectl("deleting the examples", &[&["delete"], what, &here].concat());
    delete(&["room", ROOM])?;
    for pool in examples::pools_for(workspace, &target.regions()?)? {
        let pool = pool.name();
        delete(&["relaypool", pool])?;
        delete(&["pod", "--selector", &format!("rtc.plenum.dev/pool={pool}")])?;
    }
    if target.list("listing the pools", &["relaypools", "--namespace", ROOM_NAMESPACE])?.is_empty() {
        delete(&["secret", "plenum-node-control", "plenum-turn-auth"])?;
    }
    Ok(())
}

fn delete_kinds(console: &Console, target: &Target) -> anyhow::Result<()> {
    let count = target.list("listing rooms and pools", &[KINDS, "--all-namespaces"])?.len();
    if count > 0 {
        console.step(format!("{count} rooms and pools that `make up` did not make are left, and with them the CRDs"));
        return Ok(());
    }
    let crds = ["delete", "crd", "--ignore-not-found", "rooms.rtc.plenum.dev", "relaypools.rtc.plenum.dev"];
    target.kubectl("deleting the CRDs", &crds).map(|_| ())
}

/// `xtask clean-cache`.
pub(crate) fn clean_cache(workspace: &Workspace, console: &Console) -> anyhow::Result<()> {
    let clusters = workspace.state().join("clusters");
    let up =
        std::fs::read_dir(&clusters).map(|entries| entries.flatten().filter(|entry| entry.path().is_dir()).count());
    if up.is_ok_and(|count| count > 0) {
        bail!(
            "clusters still run on the programs in the cache: take them down first (`make down`); see {}",
            clusters.display()
        );
    }
    let cache = workspace.cache();
    console.step(format!("deleting {}", cache.display()));
    if cache.exists() {
        std::fs::remove_dir_all(cache).with_context(|| format!("deleting {}", cache.display()))?;
    }
    Ok(())
}
