//! Installs what the other commands need, each tool only when the step that needs it comes.

mod cargo_tools;
mod coturn;
mod go;
mod packages;

use crate::cluster::Programs;
use crate::console::Console;
use crate::workspace::Workspace;

pub(crate) use cargo_tools::{cargo_deny, cargo_fuzz};
pub(crate) use coturn::coturn;
pub(crate) use go::{
    build_client as foreign_client, build_cluster as programs, check as go_check, client_command,
    command as go_command, latest as latest_programs,
};
pub(crate) use packages::{browser, cluster_packages, image_builder, is_root};

/// `xtask tools`: everything at once.
pub(crate) fn all(workspace: &Workspace, console: &Console) -> anyhow::Result<()> {
    cluster(workspace, console)?;
    browser(workspace, console)?;
    coturn(workspace, console)?;
    foreign_client(workspace, console)?;
    image_builder(workspace, console)?;
    cargo_deny(workspace, console)?;
    cargo_fuzz(workspace, console)?;
    console.step("tools: everything is there");
    Ok(())
}

/// What the system's package manager installs: it does one thing at a time.
pub(crate) fn packages(workspace: &Workspace, console: &Console) -> anyhow::Result<()> {
    cluster_packages(workspace, console)?;
    browser(workspace, console)?;
    image_builder(workspace, console)
}

/// What an embedded cluster needs: packages, and its own programs, built when they changed.
pub(crate) fn cluster(workspace: &Workspace, console: &Console) -> anyhow::Result<Programs> {
    cluster_packages(workspace, console)?;
    programs(workspace, console)
}
