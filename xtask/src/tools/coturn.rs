//! Coturn's programs, as foreign TURN clients of the tests: unpacked into the cache, so that no server is installed or started.

use super::packages;
use crate::console::Console;
use crate::run;
use crate::workspace::Workspace;
use anyhow::{Context, bail};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGE: &str = "coturn";
/// The programs that are used.
const CLIENTS: [&str; 2] = ["turnutils_uclient", "turnutils_peer"];

/// The directory with coturn's programs: that of an installed coturn, or the cache's own copy.
pub(crate) fn coturn(workspace: &Workspace, console: &Console) -> anyhow::Result<PathBuf> {
    if let Some(installed) = run::found(CLIENTS[0]) {
        return Ok(installed.parent().unwrap_or(Path::new("/usr/bin")).to_path_buf());
    }
    let root = workspace.cache_dir("tools")?.join(PACKAGE);
    let programs = root.join("usr/bin");
    if CLIENTS.iter().all(|name| programs.join(name).is_file()) {
        return Ok(programs);
    }
    if !run::on_path("apt-get") || !run::on_path("dpkg-deb") {
        bail!(
            "this machine lacks {} (of coturn): install coturn with its package manager, then run this again",
            CLIENTS.join(" and ")
        );
    }
    unpack(console, &workspace.cache_dir("log")?, &root)?;
    packages::install(workspace, console, &libraries(&root)?)?;
    Ok(programs)
}

fn archive(root: &Path) -> PathBuf {
    root.join("package.deb")
}

fn unpack(console: &Console, logs: &Path, root: &Path) -> anyhow::Result<()> {
    let partial = root.with_extension("partial");
    if partial.exists() {
        std::fs::remove_dir_all(&partial).with_context(|| format!("deleting {}", partial.display()))?;
    }
    std::fs::create_dir_all(&partial).with_context(|| format!("creating {}", partial.display()))?;
    let mut download = Command::new("apt-get");
    download.current_dir(&partial).args(["download", PACKAGE]);
    run::logged(console, "downloading coturn, for its test clients", download, &logs.join("coturn.log"))
        .context("a missing package may mean that `apt-get update` was never run")?;
    let files = std::fs::read_dir(&partial)?.collect::<Result<Vec<_>, _>>()?;
    let package = files.first().context("apt-get download left no file")?.path();
    let mut extract = Command::new("dpkg-deb");
    extract.arg("-x").arg(&package).arg(&partial);
    run::captured("unpacking coturn", extract)?;
    std::fs::rename(&package, archive(&partial)).context("keeping the package")?;
    std::fs::rename(&partial, root).with_context(|| format!("renaming {}", partial.display()))
}

/// The libraries that the package asks for.
fn libraries(root: &Path) -> anyhow::Result<BTreeSet<String>> {
    let mut field = Command::new("dpkg-deb");
    field.arg("-f").arg(archive(root)).arg("Depends");
    Ok(libraries_of(&run::captured("asking what coturn depends on", field)?))
}

/// The first alternative of each dependency that is a library.
fn libraries_of(depends: &str) -> BTreeSet<String> {
    let names = depends.split(',').filter_map(|entry| entry.split(['(', '|']).next()).map(str::trim);
    names.filter(|name| name.starts_with("lib")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_libraries_are_installed() {
        let depends = "adduser, sqlite3, telnet | telnet-client, libc6 (>= 2.34), libevent-core-2.1-7 (>= 2.1.8-stable), libsystemd0 | libelogind0";
        assert_eq!(
            libraries_of(depends),
            BTreeSet::from(["libc6", "libevent-core-2.1-7", "libsystemd0"].map(str::to_owned))
        );
    }
}
