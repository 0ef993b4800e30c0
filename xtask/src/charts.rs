//! Checks of the charts without a cluster: lint, what the schema refuses, and what the rendered text promises about
//! pods, network policies and roles. (That it installs, upgrades and uninstalls is shown on a cluster.)

mod hardening;
mod reach;
mod refusals;
mod roles;

use crate::console::Console;
use crate::run;
use crate::tools;
use crate::workspace::Workspace;
use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

/// Values that switch everything on.
const EVERYTHING: [&str; 11] = [
    "gateway.tls.secretName=gateway-tls",
    "gateway.publicURL=https://rooms.example",
    "image.pullSecrets={registry}",
    "networkPolicies.mediaNamespaces={media-eu}",
    "operator.turnAuthSecrets={shared-turn}",
    "pools[0].name=eu",
    "pools[0].spec.role=Media",
    "pools[0].spec.region=eu-west",
    "pools[1].name=turn-eu",
    "pools[1].spec.role=TURN",
    "pools[1].spec.region=eu-west",
];

/// Helm and the charts.
struct Charts {
    helm: PathBuf,
    root: PathBuf,
}

/// `xtask charts`.
pub(crate) fn command(workspace: &Workspace, console: &Console) -> anyhow::Result<()> {
    let helm = match run::found("helm") {
        Some(helm) => helm,
        None => tools::programs(workspace, console)?.helm(),
    };
    let charts = Charts { helm, root: workspace.path("charts") };
    console.step("charts: lint");
    charts.lint()?;
    console.step("charts: what the schema refuses");
    refusals::check(&charts)?;
    console.step("charts: pods, network policies, roles, pools");
    for (values, wanted_pools) in [(&[][..], 0), (&EVERYTHING, 2)] {
        let objects = charts.render(values)?;
        hardening::check(&objects)?;
        roles::check(&objects)?;
        pools(&objects, wanted_pools)?;
    }
    reach::check(&charts.render(&EVERYTHING)?)?;
    without_policies(&charts)
}

impl Charts {
    fn lint(&self) -> anyhow::Result<()> {
        for chart in ["plenum-crds", "plenum"] {
            let mut lint = Command::new(&self.helm);
            lint.args(["lint", "--strict", "--quiet"]).arg(self.root.join(chart));
            run::captured(&format!("helm lint of {chart}"), lint)?;
        }
        Ok(())
    }

    /// What Helm prints for the chart `plenum` with these `--set` values.
    fn template(&self, values: &[&str]) -> anyhow::Result<String> {
        let mut template = Command::new(&self.helm);
        template.args(["template", "plenum", "--namespace", "plenum-system", "--kube-version", "1.31.0"]);
        template.arg(self.root.join("plenum"));
        for value in values {
            template.args(["--set", value]);
        }
        run::captured("helm template", template)
    }

    /// The objects that the chart `plenum` renders.
    fn render(&self, values: &[&str]) -> anyhow::Result<Vec<Value>> {
        let text = self.template(values)?;
        let documents = serde_yaml::Deserializer::from_str(&text).map(Value::deserialize);
        let objects: Vec<Value> = documents.collect::<Result<_, _>>().context("reading what helm rendered")?;
        Ok(objects.into_iter().filter(|object| !object.is_null()).collect())
    }
}

/// `kind/name` of an object.
fn name_of(object: &Value) -> String {
    format!("{}/{}", text(object, "/kind"), text(object, "/metadata/name"))
}

/// The text at a pointer, or nothing.
fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The list at a pointer, or an empty one.
fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Objects of a kind.
fn of_kind<'a>(objects: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| text(object, "/kind") == kind)
}

/// Every pool of the values becomes a RelayPool with its spec.
fn pools(objects: &[Value], wanted: usize) -> anyhow::Result<()> {
    let pools: Vec<&Value> = of_kind(objects, "RelayPool").collect();
    if pools.len() != wanted || pools.iter().any(|pool| text(pool, "/spec/region") != "eu-west") {
        bail!("{wanted} RelayPools were asked for: {pools:?}");
    }
    Ok(())
}

fn without_policies(charts: &Charts) -> anyhow::Result<()> {
    let objects = charts.render(&["networkPolicies.enabled=false", "podDisruptionBudgets.enabled=false"])?;
    for kind in ["NetworkPolicy", "PodDisruptionBudget"] {
        if of_kind(&objects, kind).next().is_some() {
            bail!("a {kind} is rendered although it is switched off");
        }
    }
    Ok(())
}
