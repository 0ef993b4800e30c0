//! `plenum-bench ready`: Rooms applied at a steady rate to a warm pool, each timed until a watch shows it Ready, and
//! every write to it counted; then a time of rest in which nothing may be written; then the raw rate of the API server.

mod raw;
mod record;
mod report;
mod rooms;
mod stage;

use anyhow::Context as _;
use clap::Args;
use std::process::ExitCode;
use std::time::Duration;

/// Arguments of `ready`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    /// How many Rooms.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=5000))]
    pub(crate) rooms: u32,
    /// Rooms per second.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rate: u32,
    /// Use this namespace, where some pool must admit Rooms already. Unset: a namespace and a pool of their own are made and removed.
    #[arg(long)]
    pub(crate) namespace: Option<String>,
    /// Region of the pool that is made; unset: that of the first labelled node.
    #[arg(long)]
    pub(crate) region: Option<String>,
    /// Pods of the pool that is made.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(i32).range(1..=100))]
    pub(crate) replicas: i32,
    /// First host port of the pool that is made; other pools on the same nodes must not use it.
    #[arg(long, default_value_t = 24_000)]
    pub(crate) port: u16,
    /// How long nothing may be written once all Rooms are Ready, in seconds.
    #[arg(long, default_value_t = 30)]
    pub(crate) rest: u64,
    /// How long the raw rate is measured, in seconds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub(crate) raw: u64,
    /// Fail when an aim is missed: p99 under 250 ms, 2 writes a Room, none at rest.
    #[arg(long)]
    pub(crate) strict: bool,
}

/// Measures, prints, and removes what was made, also after an interrupt.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let client = kube::Client::try_default().await.context("connecting to the cluster")?;
    let stage = stage::Stage::new(client, &arguments);
    let outcome = tokio::select! {
        outcome = measure(&stage, &arguments) => outcome,
        interrupt = tokio::signal::ctrl_c() => interrupt.context("waiting for an interrupt").and_then(|()| anyhow::bail!("interrupted")),
    };
    eprintln!("removing what was made");
    let removed = stage.remove().await;
    let report = outcome?;
    print!("{}", report.render());
    removed?;
    let passed = report.complete() && (!arguments.strict || report.aims_met());
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measure(stage: &stage::Stage, arguments: &Arguments) -> anyhow::Result<report::Report> {
    stage.set_up().await?;
    eprintln!("one Room to warm up");
    let warm = rooms::Load { prefix: "warm", rooms: 1, rate: 1, rest: Duration::ZERO };
    let (warmed, _) = rooms::apply(stage, warm).await?;
    anyhow::ensure!(warmed.all_ready(), "the first Room did not become Ready:\n{}", stage.explain("warm-0").await);
    eprintln!("{} Rooms at {} a second, then {} s of rest", arguments.rooms, arguments.rate, arguments.rest);
    let rest = Duration::from_secs(arguments.rest);
    let load = rooms::Load { prefix: "room", rooms: arguments.rooms, rate: arguments.rate, rest };
    let (rooms, pace) = rooms::apply(stage, load).await?;
    if let Some(slow) = rooms.first_not_ready() {
        eprintln!("{slow} is not Ready:\n{}", stage.explain(slow).await);
    }
    eprintln!("the same objects and writes without an operator");
    let floor = raw::floor(stage, arguments.rooms.min(200), arguments.rate).await?;
    eprintln!("raw status updates");
    let time = Duration::from_secs(arguments.raw);
    let single = raw::rate(stage, 1, time).await?;
    let many = raw::rate(stage, raw::WRITERS, time).await?;
    Ok(report::Report { wanted_rate: arguments.rate, rest, pace, rooms, floor, single, many })
}
