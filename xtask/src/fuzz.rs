//! Runs the fuzz targets, one per parser that meets the network: all are built first, then each core runs one at a time.
//! Corpus and findings live in the cache.

use crate::build;
use crate::console::Console;
use crate::run;
use crate::tools;
use crate::workspace::Workspace;
use anyhow::{Context, anyhow, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// `xtask fuzz [TARGET]`.
pub(crate) fn command(
    workspace: &Workspace,
    console: &Console,
    only: Option<&str>,
    seconds: u32,
) -> anyhow::Result<()> {
    let mut names = targets(workspace)?;
    if let Some(only) = only {
        names.retain(|name| name == only);
    }
    if names.is_empty() {
        bail!("there is no such fuzz target: the targets are the files of fuzz/fuzz_targets");
    }
    check(&run_all(workspace, console, &names, seconds)?)
}

/// An error when a target failed.
pub(crate) fn check(failed: &[String]) -> anyhow::Result<()> {
    if !failed.is_empty() {
        bail!("fuzz targets failed: {}", failed.join(", "));
    }
    Ok(())
}

/// The names of all targets, sorted.
pub(crate) fn targets(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let dir = workspace.path("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&dir).with_context(|| format!("reading {}", dir.display()))? {
        let path = entry?.path();
        if let (Some(stem), Some("rs")) = (path.file_stem(), path.extension().and_then(|extension| extension.to_str()))
        {
            names.push(stem.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Builds targets and runs each for some seconds. Gives back the names of those that failed.
pub(crate) fn run_all(
    workspace: &Workspace,
    console: &Console,
    names: &[String],
    seconds: u32,
) -> anyhow::Result<Vec<String>> {
    let programs = build_all(workspace, console)?;
    let next = AtomicUsize::new(0);
    let work = || {
        let mut failed = Vec::new();
        while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)).filter(|_| !console.interrupted()) {
            if let Err(error) = run_one(workspace, console, &programs.join(name), (name, seconds)) {
                eprintln!("  {name}: {error:#}");
                failed.push(name.clone());
            }
        }
        failed
    };
    let cores = std::thread::available_parallelism().context("counting the cores")?.get();
    let failed: anyhow::Result<Vec<Vec<String>>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().map_err(|_| anyhow!("running fuzz targets broke off"))).collect()
    });
    let failed = failed?;
    if console.interrupted() {
        bail!("interrupted");
    }
    Ok(failed.concat())
}

/// Builds all targets: most of what they are made from is the same. Gives back the directory of their programs.
fn build_all(workspace: &Workspace, console: &Console) -> anyhow::Result<PathBuf> {
    let host = build::host()?;
    let target_dir = workspace.cache().join("fuzz/target");
    let mut fuzz = Command::new(tools::cargo_fuzz(workspace, console)?);
    fuzz.current_dir(workspace.root()).args(["fuzz", "build", "--fuzz-dir"]).arg(workspace.path("fuzz"));
    // Safe Rust needs no address sanitizer, and builds take half as long without.
    fuzz.args(["--sanitizer", "none", "--target", &host, "--target-dir"]).arg(&target_dir);
    // Coverage instrumentation asks for compiler flags that the stable toolchain hides.
    fuzz.env("RUSTC_BOOTSTRAP", "1");
    let log = workspace.cache_dir("log")?.join("fuzz-build.log");
    run::logged(console, "building the fuzz targets (some minutes the first time)", run::polite(&fuzz), &log)?;
    Ok(target_dir.join(host).join("release"))
}

fn run_one(
    workspace: &Workspace,
    console: &Console,
    program: &Path,
    (name, seconds): (&str, u32),
) -> anyhow::Result<()> {
    let corpus = workspace.cache_dir(&format!("fuzz/corpus/{name}"))?;
    let findings = workspace.cache_dir(&format!("fuzz/artifacts/{name}"))?;
    let log = workspace.cache_dir("log")?.join(format!("fuzz-{name}.log"));
    let mut fuzz = Command::new(program);
    fuzz.current_dir(workspace.root()).arg(format!("-artifact_prefix={}/", findings.display()));
    fuzz.arg(format!("-max_total_time={seconds}")).args(["-rss_limit_mb=2048", "-timeout=10"]).arg(&corpus);
    let seeds = workspace.path(Path::new("fuzz/seeds").join(name));
    if seeds.is_dir() {
        fuzz.arg(seeds);
    }
    run::logged(console, &format!("fuzzing {name} for {seconds} s"), run::polite(&fuzz), &log)
        .with_context(|| format!("inputs that failed are in {}", findings.display()))
}
