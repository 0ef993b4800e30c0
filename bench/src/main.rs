//! Load generators and the tables that they print. Each command measures one promise beside its floor on the same machine.

mod flood;
mod process;
mod ready;
mod table;
mod turn;
mod turn_client;
mod turn_node;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Measures Plenum on a cluster, and its relay on this machine.
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
    /// What relaying costs a TURN node, beside coturn and a bare forwarder.
    Turn(turn::Arguments),
    /// The bare forwarder.
    #[command(hide = true)]
    TurnRaw(turn::raw::Arguments),
    /// What calls and memory of a TURN node suffer from a flood of forged requests.
    TurnFlood(flood::Arguments),
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
    let command = Cli::parse().command;
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        anyhow::bail!("a TLS provider is installed already");
    }
    match command {
        Command::Ready(arguments) => {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.context("starting")?.block_on(ready::run(arguments))
        }
        Command::Turn(arguments) => turn::run(&arguments),
        Command::TurnRaw(arguments) => turn::raw::run(&arguments),
        Command::TurnFlood(arguments) => flood::run(&arguments),
    }
}
