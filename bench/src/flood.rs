//! `plenum-bench turn-flood`: calls over a TURN node while strangers with forged addresses ask it for allocations.
//!
//! Runs in network namespaces of its own, that of the calls and the flood and that of the node. They have no name and
//! end with the processes in them: nothing is left behind.

mod calls;
mod forged;
mod metrics;
mod network;
mod report;

use crate::process::{Server, become_load};
use crate::turn_client::{Buffers, Credentials, Pair, allocate};
use crate::turn_node::{Control, Plan, REALM, SECRET};
use anyhow::Context as _;
use calls::{Calls, Heard};
use clap::Args;
use metrics::Metrics;
use network::{CLIENTS, NODE};
use plenum_protocol::ports::PortRange;
use plenum_protocol::relay::PeerEndpoint;
use report::Report;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

/// How long the credentials are good.
const HOUR: Duration = Duration::from_secs(3600);
/// The node counts once a second.
const COUNTED: Duration = Duration::from_millis(1500);
const PLAN: Plan = Plan { address: NODE, listener: 3478, control: 7443, metrics: 9090, workers: 1 };

/// Arguments of `turn-flood`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    /// The TURN node's program.
    #[arg(long)]
    pub(crate) turn_node: PathBuf,
    /// Forged requests a second.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) rate: u32,
    /// For how long, seconds.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) seconds: u64,
    /// How long the calls go on before it, seconds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) quiet: u64,
    /// Calls, each an allocation with a channel to a peer that sends everything back.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=4000))]
    pub(crate) calls: u16,
    /// Packets a second of each call.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) call_rate: u32,
    /// In its own namespace already.
    #[arg(long, hide = true)]
    pub(crate) inside: bool,
}

/// Measures and prints.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if !arguments.inside {
        return Err(network::run_again_inside());
    }
    let _ahead = become_load()?;
    let control = Control::new()?;
    let command = control.equip(network::waiting(&arguments.turn_node), &PLAN);
    let mut server = Server::start("plenum-turn-node", command)?;
    network::connect(&mut server)?;
    let pairs = pairs(arguments.calls)?;
    let named: Vec<_> = pairs.iter().map(|pair| endpoint(pair.peer_address)).collect();
    control.configure(&PLAN, named, &mut server)?;
    let report = measure(arguments, pairs, &mut server)?;
    print!("{}", report.render());
    Ok(ExitCode::SUCCESS)
}

fn pairs(count: u16) -> anyhow::Result<Vec<Pair>> {
    let any = SocketAddr::from((CLIENTS, 0));
    (0..count).map(|_| Pair::bind(any, any)).collect::<anyhow::Result<_>>().context("opening the calls' sockets")
}

fn endpoint(peer: SocketAddr) -> PeerEndpoint {
    let ports = PortRange { min: peer.port(), max: peer.port() };
    PeerEndpoint { outside: vec![peer.ip()], inside: peer.ip(), ports }
}

fn measure(arguments: &Arguments, mut pairs: Vec<Pair>, server: &mut Server) -> anyhow::Result<Report> {
    let address = SocketAddr::from((NODE, PLAN.listener));
    let expires = (SystemTime::now() + HOUR).duration_since(SystemTime::UNIX_EPOCH).context("reading the clock")?;
    let credentials = Credentials::new(SECRET, REALM, expires.as_secs())?;
    allocate(&mut pairs, address, &credentials, &mut Buffers::new())?;
    let mut calls = Calls::new(pairs, address, arguments.call_rate);
    eprintln!("{} calls, {} s without a flood", arguments.calls, arguments.quiet);
    let quiet = heard(&mut calls, arguments.quiet, server)?;
    std::thread::sleep(COUNTED);
    let scrape = || Metrics::read((IpAddr::V4(NODE), PLAN.metrics).into());
    let (counted, cpu, resident) = (scrape()?, server.cpu()?, server.resident()?);
    eprintln!("{} s with {} forged requests a second", arguments.seconds, arguments.rate);
    let time = Duration::from_secs(arguments.seconds);
    let (during, offered) = std::thread::scope(|scope| {
        let flood = scope.spawn(|| forged::flood(address, arguments.rate, time));
        let during = heard(&mut calls, arguments.seconds, server);
        let offered = flood.join().map_err(|_| anyhow::anyhow!("the flood broke off"))?;
        Ok::<_, anyhow::Error>((during?, offered?))
    })?;
    let busy = server.cpu()?.saturating_sub(cpu);
    std::thread::sleep(COUNTED);
    let counts = scrape()?.since(&counted);
    server.check()?;
    Ok(Report {
        wanted: arguments.rate,
        offered,
        quiet: quiet.0,
        during: during.0,
        resident,
        most: during.1,
        busy,
        counts,
    })
}

/// What of the calls arrived in that time, and the most memory of the server meanwhile.
fn heard(calls: &mut Calls, seconds: u64, server: &Server) -> anyhow::Result<(Heard, u64)> {
    let mut most = 0;
    let heard = calls.run(Duration::from_secs(seconds), || {
        most = most.max(server.resident()?);
        Ok(())
    })?;
    Ok((heard, most))
}
