//! `make check`: everything that can be said about the code without running it.

use crate::build;
use crate::console::Console;
use crate::run;
use crate::tools;
use crate::workspace::Workspace;
use crate::{crds, tidy};
use std::process::Command;

/// One gate: its name and what it runs.
type Gate = (&'static str, fn(&Workspace, &Console) -> anyhow::Result<()>);

/// The gates, cheapest first.
pub(crate) const GATES: [Gate; 5] =
    [("format", format), ("tidy", tidy::command), ("crds", generated), ("clippy", clippy), ("deny", deny)];

/// `xtask check`: stops at the first gate that is shut.
pub(crate) fn command(workspace: &Workspace, console: &Console) -> anyhow::Result<()> {
    for (_, gate) in GATES {
        gate(workspace, console)?;
    }
    console.step("check: everything passes");
    Ok(())
}

fn format(workspace: &Workspace, console: &Console) -> anyhow::Result<()> {
    console.step("format: cargo fmt --check");
    let mut fmt = Command::new("cargo");
    fmt.current_dir(workspace.root()).args(["fmt", "--all", "--check"]);
    run::streamed(console, "checking the format (`make fmt` repairs it)", fmt)
}

fn clippy(workspace: &Workspace, console: &Console) -> anyhow::Result<()> {
    console.step("clippy: all crates and targets, warnings denied");
    let mut clippy = build::cargo(workspace, "clippy");
    clippy.args(["--workspace", "--all-targets", "--", "-D", "warnings"]);
    run::streamed(console, "clippy", clippy)
}

fn generated(workspace: &Workspace, console: &Console) -> anyhow::Result<()> {
    crds::command(workspace, console, true)
}

fn deny(workspace: &Workspace, console: &Console) -> anyhow::Result<()> {
    let program = tools::cargo_deny(workspace, console)?;
    console.step("deny: fetching the crates of every platform, whose licences are judged");
    let mut fetch = Command::new("cargo");
    fetch.current_dir(workspace.root()).args(["fetch", "--locked"]);
    run::streamed(console, "fetching crates", fetch)?;
    console.step("deny: licences, bans, sources");
    let mut deny = Command::new(program);
    deny.current_dir(workspace.root()).args(["--offline", "--locked", "check", "--hide-inclusion-graph"]);
    deny.args(["licenses", "bans", "sources"]);
    run::streamed(console, "cargo deny", deny)
}
