//! Cargo's own helpers, pinned, installed into the cache: nothing of the user's is touched.

use crate::console::Console;
use crate::run;
use crate::workspace::Workspace;
use std::path::PathBuf;
use std::process::Command;

const CARGO_DENY: &str = "0.20.2";
const CARGO_FUZZ: &str = "0.13.2";

/// `cargo-deny`, installed when it is missing.
pub(crate) fn cargo_deny(workspace: &Workspace, console: &Console) -> anyhow::Result<PathBuf> {
    install(workspace, console, "cargo-deny", CARGO_DENY)
}

/// `cargo-fuzz`, installed when it is missing.
pub(crate) fn cargo_fuzz(workspace: &Workspace, console: &Console) -> anyhow::Result<PathBuf> {
    install(workspace, console, "cargo-fuzz", CARGO_FUZZ)
}

fn install(workspace: &Workspace, console: &Console, name: &str, version: &str) -> anyhow::Result<PathBuf> {
    let root = workspace.cache_dir("tools")?.join(format!("{name}-{version}"));
    let program = root.join("bin").join(name);
    if program.is_file() {
        return Ok(program);
    }
    let log = workspace.cache_dir("log")?.join(format!("{name}.log"));
    let mut cargo = Command::new("cargo");
    cargo.args(["install", name, "--version", version, "--locked", "--root"]).arg(&root);
    // Outside the clone and its target directory, or the project's flags would rule and its builds would be evicted.
    cargo.current_dir(workspace.cache()).env_remove("CARGO_TARGET_DIR");
    // They run for a second; as their authors release them, their last step alone takes minutes.
    for (setting, value) in [("LTO", "off"), ("CODEGEN_UNITS", "16"), ("OPT_LEVEL", "1")] {
        cargo.env(format!("CARGO_PROFILE_RELEASE_{setting}"), value);
    }
    run::logged(console, &format!("installing {name} {version} (once, up to some minutes)"), cargo, &log)?;
    Ok(program)
}
