//! Benchmarks of the relay on this machine, of release builds. (That of Rooms needs a cluster: see `test`.)

use crate::build::{self, Binaries, Profile};
use crate::console::Console;
use crate::run;
use crate::tools;
use crate::workspace::Workspace;
use anyhow::bail;
use std::process::Command;

const BENCH: &str = "plenum-bench";
const TURN_NODE: &str = "plenum-turn-node";

/// `xtask bench-turn`.
pub(crate) fn turn(workspace: &Workspace, console: &Console, rounds: u32) -> anyhow::Result<()> {
    let turnserver = tools::coturn(workspace, console)?.join("turnserver");
    let programs = programs(workspace, console)?;
    console.step("measuring: what relaying costs the TURN node, coturn and a bare forwarder");
    let mut bench = command(workspace, &programs, "turn")?;
    bench.arg("--turnserver").arg(turnserver).args(["--rounds", &rounds.to_string()]);
    run::streamed(console, "the benchmark", bench)
}

/// `xtask bench-turn-flood`.
pub(crate) fn turn_flood(workspace: &Workspace, console: &Console) -> anyhow::Result<()> {
    if !tools::is_root()? {
        bail!("this makes network namespaces and forged packets, which needs root");
    }
    let programs = programs(workspace, console)?;
    console.step("measuring: calls over a TURN node in a flood of forged requests");
    run::streamed(console, "the benchmark", command(workspace, &programs, "turn-flood")?)
}

fn programs(workspace: &Workspace, console: &Console) -> anyhow::Result<Binaries> {
    build::programs(workspace, console, Profile::Release, &[TURN_NODE, BENCH])
}

fn command(workspace: &Workspace, programs: &Binaries, what: &str) -> anyhow::Result<Command> {
    let mut bench = Command::new(build::binary(programs, BENCH)?);
    bench.current_dir(workspace.root()).arg(what).arg("--turn-node").arg(build::binary(programs, TURN_NODE)?);
    Ok(bench)
}
