//! Load generators and the tables that they print. Each command measures one promise beside its floor on the same machine.

mod ready;
mod table;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Measures Plenum on a cluster.
#[derive(Debug, Parser)]
#[command(name = "plenum-bench", version, disable_help_subcommand = true)]
struct Cli {
    /// What to measure.
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// How fast applied Rooms become Ready, and how many writes that takes, beside the raw rate of the API server.
    Ready(ready::Arguments),
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("plenum-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<ExitCode> {
    let Command::Ready(arguments) = Cli::parse().command;
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        anyhow::bail!("a TLS provider is installed already");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.context("starting")?.block_on(ready::run(arguments))
}
