//! `make crds`: the generator is a test of `api/`, so that the files are checked wherever tests run.

use crate::build;
use crate::console::Console;
use crate::run;
use crate::workspace::Workspace;

/// `xtask crds [--check]`.
pub(crate) fn command(workspace: &Workspace, console: &Console, check: bool) -> anyhow::Result<()> {
    console.step(if check { "crds: comparing with the types" } else { "crds: writing" });
    let mut cargo = build::cargo(workspace, "test");
    cargo.args(["--quiet", "--workspace", "--test", "generated", "--", "--nocapture"]);
    if !check {
        cargo.env("PLENUM_WRITE", "1");
    }
    run::streamed(console, "the generator of the CRDs", cargo)
}
