//! Chores of the repository: what `make` calls. Each sub-command is a file; this one only parses and dispatches.

mod artifacts;
mod bench;
mod build;
mod charts;
mod check;
mod cluster;
mod console;
mod crds;
mod deploy;
mod down;
mod examples;
mod fuzz;
mod http;
mod images;
mod run;
mod target;
mod test;
mod tidy;
mod token;
mod tools;
mod up;
mod workspace;

use clap::{Parser, Subcommand};
use console::Console;
use std::process::ExitCode;
use workspace::Workspace;

#[derive(Parser)]
#[command(name = "xtask", about = "Chores of the Plenum repository")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what the other commands need.
    Tools,
    /// Build the container images; push them when IMAGE_REGISTRY is set.
    Images,
    /// Start a Kubernetes (or use KUBECONFIG), install Plenum, open a room, print its URL.
    Up,
    /// Remove what `up` made.
    Down,
    /// Everything: check, unit tests, cluster tests, fuzz targets, end-to-end tests.
    Test,
    /// Format, clippy, generated files, tidy, licences.
    Check,
    /// Unit tests of the workspace.
    Unit,
    /// Tests of the embedded Kubernetes.
    ClusterTest,
    /// `up` and `down` on another cluster, with images from a registry.
    RegistryTest,
    /// End-to-end tests on a cluster of their own.
    E2e {
        /// Only tests whose name contains this.
        filter: Option<String>,
        /// Leave the cluster running.
        #[arg(long)]
        keep: bool,
    },
    /// Lint the charts and check what they render.
    Charts,
    /// Fuzz every parser, or one target.
    Fuzz {
        /// One target; unset: all of them.
        target: Option<String>,
        /// For how long, each.
        #[arg(long, default_value_t = 300)]
        seconds: u32,
    },
    /// Rooms per second on a warm pool, beside the raw write rate of the API server.
    BenchReady,
    /// What relaying costs the TURN node, coturn and a bare forwarder.
    BenchTurn {
        /// How often each of them is measured.
        #[arg(long, default_value_t = 5)]
        rounds: u32,
    },
    /// Calls over a TURN node in a flood of forged requests.
    BenchTurnFlood,
    /// Write crds/ and the chart's copies from the Rust types.
    Crds {
        /// Only compare.
        #[arg(long)]
        check: bool,
    },
    /// File sizes, orphaned files, arrows between crates, examples.
    Tidy,
    /// Delete the caches.
    CleanCache,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match dispatch(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<()> {
    let workspace = Workspace::locate()?;
    let console = Console::start()?;
    match command {
        Command::Tools => tools::all(&workspace, &console),
        Command::Images => images::command(&workspace, &console),
        Command::Up => up::command(&workspace, &console),
        Command::Down => down::command(&workspace, &console),
        Command::Test => test::everything(&workspace, &console),
        Command::Check => check::command(&workspace, &console),
        Command::Unit => test::unit(&workspace, &console),
        Command::ClusterTest => test::cluster(&workspace, &console),
        Command::RegistryTest => test::registry(&workspace, &console),
        Command::E2e { filter, keep } => test::end_to_end(&workspace, &console, filter.as_deref(), keep),
        Command::Charts => charts::command(&workspace, &console),
        Command::Fuzz { target, seconds } => fuzz::command(&workspace, &console, target.as_deref(), seconds),
        Command::BenchReady => test::bench_ready(&workspace, &console),
        Command::BenchTurn { rounds } => bench::turn(&workspace, &console, rounds),
        Command::BenchTurnFlood => bench::turn_flood(&workspace, &console),
        Command::Crds { check } => crds::command(&workspace, &console, check),
        Command::Tidy => tidy::command(&workspace, &console),
        Command::CleanCache => down::clean_cache(&workspace, &console),
    }
}
