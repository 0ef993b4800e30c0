//! `make test` and its parts: each step is timed and counted, all of them are listed at the end, and the cluster goes
//! down whatever happened.

mod elsewhere;
mod end_to_end;
mod release;
mod tally;

use crate::build;
use crate::check;
use crate::console::Console;
use crate::fuzz;
use crate::run;
use crate::target;
use crate::tools;
use crate::workspace::Workspace;
use anyhow::bail;
use std::process::Command;
use tally::{Counts, Tally};

const FUZZ_SECONDS: u32 = 5;
const CLUSTER_TESTS: &str = "cluster tests";
const ELSEWHERE: &str = "up and down elsewhere";

/// `xtask test`.
pub(crate) fn everything(workspace: &Workspace, console: &Console) -> anyhow::Result<()> {
    let mut tally = Tally::new();
    for (name, gate) in check::GATES {
        tally.gate(console, name, || gate(workspace, console));
    }
    if target::kubeconfig().is_none() {
        tally.gate(console, "packages", || tools::packages(workspace, console));
    }
    // Clusters mostly wait; compilers and fuzzers fill every core, politely. The end-to-end tests judge time.
    tally.beside(
        |row| clusters(workspace, console, row),
        |row| {
            row.step(console, "unit tests", |counts| unit_tests(workspace, console, counts));
            row.step(console, "fuzz", |counts| fuzz_smoke(workspace, console, counts));
        },
    );
    end_to_end::run(workspace, console, &mut tally, None, false);
    tally.finish(console)
}

/// What starts clusters of its own.
fn clusters(workspace: &Workspace, console: &Console, tally: &mut Tally) {
    if target::kubeconfig().is_some() {
        pass_over(console, tally, CLUSTER_TESTS);
        pass_over(console, tally, ELSEWHERE);
        return;
    }
    tally.step(console, CLUSTER_TESTS, |counts| cluster_tests(workspace, console, counts));
    tally.gate(console, ELSEWHERE, || elsewhere::run(workspace, console));
}

/// `xtask unit`.
pub(crate) fn unit(workspace: &Workspace, console: &Console) -> anyhow::Result<()> {
    let mut tally = Tally::new();
    tally.step(console, "unit tests", |counts| unit_tests(workspace, console, counts));
    tally.finish(console)
}

/// `xtask cluster-test`.
pub(crate) fn cluster(workspace: &Workspace, console: &Console) -> anyhow::Result<()> {
    let mut tally = Tally::new();
    tally.step(console, CLUSTER_TESTS, |counts| cluster_tests(workspace, console, counts));
    tally.finish(console)
}

/// `xtask registry-test`.
pub(crate) fn registry(workspace: &Workspace, console: &Console) -> anyhow::Result<()> {
    let mut tally = Tally::new();
    tally.gate(console, ELSEWHERE, || elsewhere::run(workspace, console));
    tally.finish(console)
}

/// `xtask e2e`.
pub(crate) fn end_to_end(
    workspace: &Workspace,
    console: &Console,
    filter: Option<&str>,
    keep: bool,
) -> anyhow::Result<()> {
    let mut tally = Tally::new();
    end_to_end::run(workspace, console, &mut tally, filter, keep);
    tally.finish(console)
}

/// `xtask bench-ready`.
pub(crate) fn bench_ready(workspace: &Workspace, console: &Console) -> anyhow::Result<()> {
    end_to_end::bench_ready(workspace, console)
}

/// What starts a cluster of its own has nothing to say about the one of KUBECONFIG.
fn pass_over(console: &Console, tally: &mut Tally, name: &str) {
    tally.step(console, name, |counts| {
        console.step(format!("{name} passed over: they start clusters here, and KUBECONFIG names another one"));
        counts.ignored += 1;
        Ok(())
    });
}

fn cargo_test(workspace: &Workspace, arguments: &[&str]) -> Command {
    let mut cargo = build::cargo(workspace, "test");
    cargo.args(arguments);
    cargo
}

/// The tests of every crate. Those that need a cluster say so and are passed over.
fn unit_tests(workspace: &Workspace, console: &Console, counts: &mut Counts) -> anyhow::Result<()> {
    tools::browser(workspace, console)?;
    console.step("unit tests: cargo test");
    let mut everything = cargo_test(workspace, &["--workspace", "--no-fail-fast"]);
    everything.env_remove("PLENUM_E2E");
    if !run::tallied(console, "cargo test", run::polite(&everything), |line| counts.cargo_line(line))? {
        bail!("unit tests failed");
    }
    Ok(())
}

/// Go's tests of the embedded Kubernetes. Some of them start a cluster: its programs are built first.
fn cluster_tests(workspace: &Workspace, console: &Console, counts: &mut Counts) -> anyhow::Result<()> {
    let programs = tools::cluster(workspace, console)?;
    let mut format = Command::new("gofmt");
    format.current_dir(workspace.root()).args(["-l", "cluster", "e2e/foreign"]);
    let unformatted = run::captured("checking the format of the Go code", format)?;
    if !unformatted.trim().is_empty() {
        bail!(
            "Go files are not formatted, run `make fmt`: {}",
            unformatted.split_whitespace().collect::<Vec<_>>().join(", ")
        );
    }
    tools::go_check(workspace, console)?;
    console.step("cluster tests: go vet");
    let mut vet = tools::go_command(workspace);
    // Not `./...`: vet would look into every package of Kubernetes, for minutes, on behalf of two files.
    vet.args(["vet", "./internal/...", "./test/...", "./cmd/build", "./cmd/plenum-cluster", "./cmd/plenum-pause"]);
    run::streamed(console, "go vet", vet)?;
    console.step("cluster tests: go test");
    let mut test = tools::go_command(workspace);
    test.args(["test", "-count=1", "-v", "./internal/...", "./test/..."])
        .env("PLENUM_CLUSTER_PROGRAMS", programs.directory());
    if !run::tallied(console, "go test", test, |line| counts.go_line(line))? {
        bail!("the tests of cluster/ failed");
    }
    client_tests(workspace, console, counts)
}

/// Go's tests of the client that the end-to-end tests run.
fn client_tests(workspace: &Workspace, console: &Console, counts: &mut Counts) -> anyhow::Result<()> {
    console.step("tests of the Pion client: go vet, go test");
    let mut vet = tools::client_command(workspace);
    vet.args(["vet", "./..."]);
    run::streamed(console, "go vet", vet)?;
    let mut test = tools::client_command(workspace);
    test.args(["test", "-count=1", "-v", "./..."]);
    if !run::tallied(console, "go test", test, |line| counts.go_line(line))? {
        bail!("the tests of e2e/foreign failed");
    }
    Ok(())
}

/// Every fuzz target for some seconds.
fn fuzz_smoke(workspace: &Workspace, console: &Console, counts: &mut Counts) -> anyhow::Result<()> {
    let names = fuzz::targets(workspace)?;
    let failed = fuzz::run_all(workspace, console, &names, FUZZ_SECONDS)?;
    let count = |names: &[String]| u32::try_from(names.len()).unwrap_or(u32::MAX);
    counts.failed += count(&failed);
    counts.passed += count(&names) - count(&failed);
    fuzz::check(&failed)
}
