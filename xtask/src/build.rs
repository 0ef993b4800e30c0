//! Runs cargo on the workspace, and learns from it where executables are.
//!
//! Every build and test selects `--workspace` and then its targets: cargo unites the features of dependencies over the
//! selected packages, so another selection would compile most of them once more.

use crate::console::Console;
use crate::run;
use crate::workspace::Workspace;
use anyhow::Context;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// How far the compiler goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// What tests use: built once for both.
    Dev,
    /// What others run.
    Release,
}

/// Program name to the path of the executable.
pub(crate) type Binaries = BTreeMap<String, PathBuf>;

/// `cargo SUBCOMMAND --locked` in the clone.
pub(crate) fn cargo(workspace: &Workspace, subcommand: &str) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(workspace.root()).args([subcommand, "--locked"]);
    cargo
}

/// The target that this machine is, as the compiler names it.
pub(crate) fn host() -> anyhow::Result<String> {
    let mut rustc = Command::new("rustc");
    rustc.arg("-vV");
    let said = run::captured("asking the compiler for its host", rustc)?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: ")).context("the compiler names no host")?;
    Ok(host.to_owned())
}

/// Builds programs of the workspace by their names.
pub(crate) fn programs(
    workspace: &Workspace,
    console: &Console,
    profile: Profile,
    names: &[&str],
) -> anyhow::Result<Binaries> {
    console.step(format!("building {} (some minutes the first time)", names.join(", ")));
    let command = || {
        let mut cargo = cargo(workspace, "build");
        cargo.arg("--workspace").args(names.iter().flat_map(|name| ["--bin", name]));
        match profile {
            // A test among the targets unites the features of test dependencies too, as every test run does.
            Profile::Dev => cargo.args(["--test", "generated"]),
            Profile::Release => cargo.arg("--release"),
        };
        cargo
    };
    run::streamed(console, "building the programs", command())?;
    // Everything is built: this only asks where the executables are.
    let mut paths = command();
    paths.args(["--quiet", "--message-format=json"]).stderr(Stdio::inherit());
    executables(&run::captured("asking cargo for the executables", paths)?)
}

/// Reads cargo's messages.
fn executables(messages: &str) -> anyhow::Result<Binaries> {
    let mut found = Binaries::new();
    for line in messages.lines() {
        let message: Value = serde_json::from_str(line).context("reading cargo's messages")?;
        let name = message.pointer("/target/name").and_then(Value::as_str);
        let path = message.get("executable").and_then(Value::as_str);
        if let (Some(name), Some(path)) = (name, path) {
            found.insert(name.to_owned(), PathBuf::from(path));
        }
    }
    Ok(found)
}

/// The executable of one program.
pub(crate) fn binary<'a>(binaries: &'a Binaries, name: &str) -> anyhow::Result<&'a PathBuf> {
    binaries.get(name).with_context(|| format!("cargo built no program {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_read_from_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"serde"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"plenumctl"},"executable":"/t/debug/plenumctl"}
{"reason":"build-finished","success":true}"#;
        let found = executables(messages).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(binary(&found, "plenumctl").unwrap(), &PathBuf::from("/t/debug/plenumctl"));
        assert!(binary(&found, "serde").is_err());
    }
}
