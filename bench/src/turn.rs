//! `plenum-bench turn`: what relaying costs a TURN node, coturn and a bare forwarder, one after the other on one core,
//! with the same load from another; round after round, so that what else the machine does meets all of them.

mod load;
pub(crate) mod raw;
mod report;
mod servers;

use crate::process::{Server, become_load};
use crate::turn_client::{Buffers, Credentials, Pair, allocate};
use crate::turn_node::{Control, REALM, SECRET, free_ports};
use anyhow::Context as _;
use clap::Args;
use load::Load;
use report::{Cost, Report, Sample};
use servers::{Kind, Sides};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

/// After the last allocation, for what the server still does about it.
const SETTLE: Duration = Duration::from_millis(50);
/// How long the credentials are good.
const HOUR: Duration = Duration::from_secs(3600);

/// Arguments of `turn`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    /// The TURN node's program.
    #[arg(long)]
    pub(crate) turn_node: PathBuf,
    /// Coturn's `turnserver`.
    #[arg(long)]
    pub(crate) turnserver: PathBuf,
    /// How often all servers are measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
    /// Allocations of each server.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(2..=4000))]
    pub(crate) allocations: u16,
    /// How many of them carry packets; the others are what an allocation is measured by.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=4000))]
    pub(crate) flows: u16,
    /// Payload of a packet, bytes; a multiple of four.
    #[arg(long, default_value_t = 1200)]
    pub(crate) size: u16,
    /// How long each measurement takes, milliseconds.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    pub(crate) millis: u64,
    /// Isolated packets a second that are offered: more than any server takes.
    #[arg(long, default_value_t = 400_000, value_parser = clap::value_parser!(u32).range(1000..=10_000_000))]
    pub(crate) rate: u32,
    /// Packets a second that are offered in bursts.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1000..=10_000_000))]
    pub(crate) burst_rate: u32,
}

impl Arguments {
    fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(self.flows < self.allocations, "there must be fewer flows than allocations");
        let fits = (16..=1400).contains(&self.size) && self.size.is_multiple_of(4);
        anyhow::ensure!(fits, "the size must be a multiple of four from 16 to 1400");
        Ok(())
    }

    /// What is measured of each server, in this order.
    fn loads(&self) -> Vec<Load> {
        let load = |down, burst, rate| Load {
            down,
            burst,
            rate,
            size: usize::from(self.size),
            time: Duration::from_millis(self.millis),
        };
        vec![
            load(false, 1, self.rate),
            load(false, report::BURST, self.burst_rate),
            load(true, 1, self.rate),
            load(true, report::BURST, self.burst_rate),
        ]
    }
}

/// Measures and prints.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    arguments.check()?;
    let _ahead = become_load()?;
    let control = Control::new()?;
    let mut report = Report::new(arguments);
    for round in 0..arguments.rounds {
        eprintln!("round {} of {}", round + 1, arguments.rounds);
        for kind in Kind::in_round(round) {
            measure(arguments, &control, (round, kind), &mut report).with_context(|| format!("measuring {kind}"))?;
        }
    }
    print!("{}", report.render());
    Ok(ExitCode::SUCCESS)
}

/// One server, from its start to its end.
fn measure(
    arguments: &Arguments,
    control: &Control,
    (round, kind): (u32, Kind),
    report: &mut Report,
) -> anyhow::Result<()> {
    let [clients, peers] = free_ports(Ipv4Addr::UNSPECIFIED)?;
    let sides = Sides { clients, peers };
    let (mut server, address) = servers::start(kind, arguments, control, sides)?;
    let wanted = if kind == Kind::Raw { arguments.flows } else { arguments.allocations };
    let mut pairs = (0..wanted)
        .map(|index| Pair::bind(sides.client(index), sides.peer(index)))
        .collect::<anyhow::Result<Vec<_>>>()
        .context("opening the clients' sockets")?;
    let mut buffers = Buffers::new();
    if kind != Kind::Raw {
        let (flows, others) = pairs.split_at_mut(usize::from(arguments.flows));
        let expires = (SystemTime::now() + HOUR).duration_since(SystemTime::UNIX_EPOCH).context("reading the clock")?;
        let credentials = Credentials::new(SECRET, REALM, expires.as_secs())?;
        // The first ones also warm the server up.
        allocate(flows, address, &credentials, &mut buffers)?;
        std::thread::sleep(SETTLE);
        let before = standing(&server)?;
        let count = others.len() as f64;
        allocate(others, address, &credentials, &mut buffers)?;
        std::thread::sleep(SETTLE);
        let after = standing(&server)?;
        let micros = (after.0 - before.0).as_secs_f64() * 1e6 / count;
        let bytes = (after.1 as f64 - before.1 as f64) / count;
        report.costs.push(Cost { round, kind, micros, bytes });
    }
    let flows = pairs.get_mut(..usize::from(arguments.flows)).context("there are fewer pairs than flows")?;
    for (index, load) in arguments.loads().into_iter().enumerate() {
        let outcome = load.run(flows, address, &server, &mut buffers)?;
        server.check()?;
        anyhow::ensure!(outcome.delivered > 0, "nothing of {} was relayed", report::label(&load));
        anyhow::ensure!(outcome.broken == 0, "{} packets arrived broken", outcome.broken);
        report.samples.push(Sample { round, kind, load: index, outcome });
    }
    Ok(())
}

/// CPU time and memory of a server.
fn standing(server: &Server) -> anyhow::Result<(Duration, u64)> {
    Ok((server.cpu()?, server.resident()?))
}
