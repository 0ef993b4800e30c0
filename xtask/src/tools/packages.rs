//! Programs that come from the distribution. Installed by apt where that is possible, else named in one line.

use crate::console::Console;
use crate::images;
use crate::run;
use crate::workspace::Workspace;
use anyhow::bail;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// A program and the Debian package that has it.
struct Program {
    name: &'static str,
    package: &'static str,
}

const fn program(name: &'static str, package: &'static str) -> Program {
    Program { name, package }
}

const CLUSTER: [Program; 7] = [
    program("containerd", "containerd"),
    program("runc", "runc"),
    program("iptables", "iptables"),
    program("ip", "iproute2"),
    program("conntrack", "conntrack"),
    program("mount", "mount"),
    program("nsenter", "util-linux"),
];
const BROWSER: [Program; 3] = [
    program("chromium", "chromium"),
    program("chromedriver", "chromium-driver"),
    // Puts the tests' certificate authority where Chromium looks for them.
    program("certutil", "libnss3-tools"),
];
const CNI_PACKAGE: &str = "containernetworking-plugins";
const CNI_DIRECTORIES: [&str; 3] = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];

/// What the embedded Kubernetes needs.
pub(crate) fn cluster_packages(workspace: &Workspace, console: &Console) -> anyhow::Result<()> {
    let mut missing = missing_of(&CLUSTER);
    if !CNI_DIRECTORIES.iter().any(|dir| Path::new(dir).join("host-local").is_file()) {
        missing.insert(CNI_PACKAGE.to_owned());
    }
    install(workspace, console, &missing)
}

/// What the browser tests need.
pub(crate) fn browser(workspace: &Workspace, console: &Console) -> anyhow::Result<()> {
    install(workspace, console, &missing_of(&BROWSER))
}

/// What builds images for a registry, unless some tool for that is there.
pub(crate) fn image_builder(workspace: &Workspace, console: &Console) -> anyhow::Result<()> {
    if images::has_tool() {
        return Ok(());
    }
    install(workspace, console, &BTreeSet::from(["buildah".to_owned()]))
}

fn missing_of(programs: &[Program]) -> BTreeSet<String> {
    programs.iter().filter(|program| !run::on_path(program.name)).map(|program| program.package.to_owned()).collect()
}

/// Installs packages; those that are there stay as they are.
pub(super) fn install(workspace: &Workspace, console: &Console, packages: &BTreeSet<String>) -> anyhow::Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    let line = format!("apt-get update && apt-get install --no-install-recommends -y {list}");
    if !run::on_path("apt-get") {
        bail!("this machine lacks {list} (Debian's names): install them with its package manager, then run this again");
    }
    if !is_root()? {
        bail!("this machine lacks {list}. Install them, then run this again:\n  sudo sh -c '{line}'");
    }
    let log = workspace.cache_dir("log")?.join("apt.log");
    for (what, arguments) in [
        ("apt-get update".to_owned(), vec!["update"]),
        (
            format!("apt-get install {list}"),
            [vec!["install", "--no-install-recommends", "-y"], packages.iter().map(String::as_str).collect()].concat(),
        ),
    ] {
        let mut apt = Command::new("apt-get");
        apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        run::logged(console, &what, apt, &log)?;
    }
    Ok(())
}

/// Whether this process may make namespaces, mounts and cgroups.
pub(crate) fn is_root() -> anyhow::Result<bool> {
    let mut id = Command::new("id");
    id.arg("-u");
    Ok(run::captured("asking for the user id", id)?.trim() == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_names_its_package_once() {
        let programs = [program("no-such-program-a", "a"), program("no-such-program-b", "a"), program("sh", "dash")];
        assert_eq!(missing_of(&programs), BTreeSet::from(["a".to_owned()]));
    }
}
