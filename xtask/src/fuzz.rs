//! Runs the fuzz targets, one per parser that meets the network. Corpus and findings live in the cache.

use crate::console::Console;
use crate::run;
use crate::tools;
use crate::workspace::Workspace;
use anyhow::{Context, bail};
use std::path::Path;
use std::process::Command;

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
    let mut failed = Vec::new();
    for name in names {
        if let Err(error) = run_one(workspace, console, &name, seconds) {
            eprintln!("  {name}: {error:#}");
            failed.push(name);
        }
        if console.interrupted() {
            bail!("interrupted");
        }
    }
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

/// Builds and runs one target for some seconds.
pub(crate) fn run_one(workspace: &Workspace, console: &Console, name: &str, seconds: u32) -> anyhow::Result<()> {
    let program = tools::cargo_fuzz(workspace, console)?;
    let corpus = workspace.cache_dir(&format!("fuzz/corpus/{name}"))?;
    let findings = workspace.cache_dir(&format!("fuzz/artifacts/{name}"))?;
    let log = workspace.cache_dir("log")?.join(format!("fuzz-{name}.log"));
    let mut fuzz = Command::new(program);
    fuzz.current_dir(workspace.root()).args(["fuzz", "run", "--fuzz-dir"]).arg(workspace.path("fuzz"));
    // Safe Rust needs no address sanitizer, and builds take half as long without.
    fuzz.args(["--sanitizer", "none", "--target-dir"])
        .arg(workspace.cache().join("fuzz/target"))
        .arg(name)
        .arg(&corpus);
    let seeds = workspace.path(Path::new("fuzz/seeds").join(name));
    if seeds.is_dir() {
        fuzz.arg(seeds);
    }
    fuzz.arg("--").arg(format!("-max_total_time={seconds}")).args(["-rss_limit_mb=2048", "-timeout=10"]);
    fuzz.arg(format!("-artifact_prefix={}/", findings.display()));
    // Coverage instrumentation asks for compiler flags that the stable toolchain hides.
    fuzz.env("RUSTC_BOOTSTRAP", "1");
    run::logged(console, &format!("fuzzing {name} for {seconds} s"), fuzz, &log)
        .with_context(|| format!("inputs that failed are in {}", findings.display()))
}
