//! Builds the programs of the Go modules into the cache, in a directory named after the hash of what they are built from.

use crate::cluster::Programs;
use crate::console::Console;
use crate::run;
use crate::workspace::Workspace;
use anyhow::{Context, bail};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Written when all of them are there.
const COMPLETE: &str = "complete";
/// The program of the tests' client.
const CLIENT: &str = "foreign";

/// A Go module of the repository.
struct Module {
    dir: &'static str,
    /// Where its programs are, in the cache.
    cache: &'static str,
    what: &'static str,
    /// What builds them; the directory for them comes last.
    build: &'static [&'static str],
}

const CLUSTER: Module = Module {
    dir: "cluster",
    cache: "programs",
    what: "building the embedded Kubernetes and Helm (about 7 minutes the first time, seconds after)",
    build: &["run", "./cmd/build", "-o"],
};
const FOREIGN: Module = Module {
    dir: "e2e/foreign",
    cache: CLIENT,
    what: "building the Pion client of the tests (about a minute the first time)",
    build: &["build", "-o"],
};

/// The Go tool is there and new enough. In `cluster/` an older one (1.21 and later) fetches the one that go.mod asks for, or
/// says why it cannot.
pub(crate) fn check(workspace: &Workspace, console: &Console) -> anyhow::Result<()> {
    if !run::on_path("go") {
        bail!("Go is missing: install Go 1.25 or later from https://go.dev/dl and put it on the PATH");
    }
    let mut version = Command::new("go");
    version.current_dir(workspace.path("cluster")).args(["env", "GOVERSION"]);
    let log = workspace.cache_dir("log")?.join("go-version.log");
    run::logged(console, "checking the version of Go", version, &log)
        .context("Go is too old for cluster/go.mod: install Go 1.25 or later from https://go.dev/dl")
}

/// The Go tool in `cluster/`; see [`check`].
pub(crate) fn command(workspace: &Workspace) -> Command {
    command_in(workspace, CLUSTER.dir)
}

/// The Go tool in the module of the tests' client; see [`check`].
pub(crate) fn client_command(workspace: &Workspace) -> Command {
    command_in(workspace, FOREIGN.dir)
}

fn command_in(workspace: &Workspace, dir: &str) -> Command {
    let mut go = Command::new("go");
    // One set of flags for building, vetting and testing: with another one, Go compiles all of Kubernetes once more.
    go.current_dir(workspace.path(dir)).env("CGO_ENABLED", "0").env("GOFLAGS", "-trimpath -buildvcs=false");
    go
}

/// Builds the embedded cluster's programs.
pub(crate) fn build_cluster(workspace: &Workspace, console: &Console) -> anyhow::Result<Programs> {
    Ok(Programs::in_directory(build(workspace, console, &CLUSTER)?))
}

/// Builds the tests' client, which is made with Pion.
pub(crate) fn build_client(workspace: &Workspace, console: &Console) -> anyhow::Result<PathBuf> {
    Ok(build(workspace, console, &FOREIGN)?.join(CLIENT))
}

/// Builds a module's programs unless the same sources were built before: the directory with them.
fn build(workspace: &Workspace, console: &Console, module: &Module) -> anyhow::Result<PathBuf> {
    let hash = hash_of(&workspace.path(module.dir))?;
    let bin = workspace.cache_dir(module.cache)?;
    let dir = bin.join(&hash);
    if !dir.join(COMPLETE).is_file() {
        std::fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        let log = workspace.cache_dir("log")?.join("go-build.log");
        check(workspace, console)?;
        let mut go = command_in(workspace, module.dir);
        go.args(module.build).arg(&dir);
        run::logged(console, module.what, go, &log)?;
        std::fs::write(dir.join(COMPLETE), "").with_context(|| format!("writing {}", dir.display()))?;
        forget_older(&bin, &hash, console)?;
    }
    Ok(dir)
}

/// The programs that were built last, or else freshly built ones: what is enough to take a cluster down.
pub(crate) fn latest(workspace: &Workspace, console: &Console) -> anyhow::Result<Programs> {
    let mut complete = Vec::new();
    for entry in std::fs::read_dir(workspace.cache_dir(CLUSTER.cache)?)? {
        let mark = entry?.path().join(COMPLETE);
        if let Ok(metadata) = mark.metadata() {
            complete.push((metadata.modified()?, mark));
        }
    }
    match complete.into_iter().max().as_ref().and_then(|(_, mark)| mark.parent()) {
        Some(dir) => Ok(Programs::in_directory(dir.to_path_buf())),
        None => build_cluster(workspace, console),
    }
}

/// Hash of every file that a build reads; tests do not count.
fn hash_of(dir: &Path) -> anyhow::Result<String> {
    let mut files = Vec::new();
    collect(dir, &mut files)?;
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        let name = file.strip_prefix(dir).unwrap_or(&file);
        let text = std::fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        hash.update(name.to_string_lossy().as_bytes());
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    Ok(hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() {
            collect(&path, files)?;
        } else if !name.ends_with("_test.go") && !name.ends_with(".md") {
            files.push(path);
        }
    }
    Ok(())
}

/// Keeps the cache small: a program is 150 MB. One that still runs stays readable until it ends.
fn forget_older(bin: &Path, keep: &str, console: &Console) -> anyhow::Result<()> {
    let mut others: Vec<(std::time::SystemTime, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(bin)? {
        let entry = entry?;
        if entry.file_name() != keep && entry.path().is_dir() {
            others.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    others.sort();
    others.pop(); // the one before: a cluster may still run on it
    for (_, path) in others {
        console.step(format!("forgetting {}", path.display()));
        std::fs::remove_dir_all(&path).with_context(|| format!("deleting {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_follows_names_and_contents_and_ignores_tests() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.go"), "package a").unwrap();
        let first = hash_of(dir.path()).unwrap();
        std::fs::write(dir.path().join("a_test.go"), "package a").unwrap();
        assert_eq!(hash_of(dir.path()).unwrap(), first);
        std::fs::rename(dir.path().join("a.go"), dir.path().join("b.go")).unwrap();
        assert_ne!(hash_of(dir.path()).unwrap(), first);
    }
}
