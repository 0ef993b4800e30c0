//! What was measured as tables. Pure.

use super::Arguments;
use super::load::{Load, Outcome};
use super::servers::Kind;
use crate::table::render;

/// Packets of a burst.
pub(crate) const BURST: usize = 8;

/// One load on one server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Samples of one round are compared.
    pub(crate) round: u32,
    pub(crate) kind: Kind,
    /// Index of the load.
    pub(crate) load: usize,
    pub(crate) outcome: Outcome,
}

/// What allocations cost one server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) round: u32,
    pub(crate) kind: Kind,
    /// CPU microseconds of one.
    pub(crate) micros: f64,
    /// Resident bytes of one.
    pub(crate) bytes: f64,
}

/// Everything.
#[derive(Debug)]
pub(crate) struct Report {
    head: String,
    loads: Vec<String>,
    pub(crate) samples: Vec<Sample>,
    pub(crate) costs: Vec<Cost>,
}

/// A load in words.
pub(crate) fn label(load: &Load) -> String {
    let way = if load.down { "downlink" } else { "uplink" };
    if load.burst == 1 { format!("{way}, isolated") } else { format!("{way}, bursts of {}", load.burst) }
}

impl Sample {
    fn seconds_per_million(&self) -> f64 {
        self.outcome.cpu.as_secs_f64() * 1e6 / (self.outcome.delivered.max(1) as f64)
    }

    fn kpps(&self) -> f64 {
        self.outcome.delivered as f64 / 1e3 / self.outcome.time.as_secs_f64().max(f64::EPSILON)
    }

    fn busy(&self) -> f64 {
        100.0 * self.outcome.busy.as_secs_f64() / self.outcome.time.as_secs_f64().max(f64::EPSILON)
    }

    fn lost(&self) -> f64 {
        100.0 * (1.0 - self.outcome.delivered as f64 / (self.outcome.sent.max(1) as f64))
    }
}

impl Report {
    pub(crate) fn new(arguments: &Arguments) -> Self {
        let Arguments { rounds, allocations, flows, size, millis, .. } = arguments;
        let head = format!(
            "{rounds} rounds of {millis} ms each, {size}-byte payloads on {flows} of {allocations} allocations, \
             one core for the server: median (least-most)\n"
        );
        Self { head, loads: arguments.loads().iter().map(label).collect(), samples: Vec::new(), costs: Vec::new() }
    }

    /// The text.
    pub(crate) fn render(&self) -> String {
        format!("{}\n{}\n{}", self.head, render(&self.relaying()), render(&self.allocating()))
    }

    fn relaying(&self) -> Vec<Vec<String>> {
        let head = ["CPU s per million packets", "", "/ coturn", "/ raw", "kpps", "core busy", "lost"];
        let mut lines = vec![head.map(str::to_owned).to_vec()];
        for (index, load) in self.loads.iter().enumerate() {
            for kind in Kind::ALL {
                let of = |kind| self.samples.iter().filter(move |sample| sample.load == index && sample.kind == kind);
                let all = |value: fn(&Sample) -> f64| of(kind).map(value).collect::<Vec<_>>();
                let beside = |other| {
                    let pairs = of(kind).flat_map(|sample| {
                        let other = of(other).find(|other| other.round == sample.round);
                        other.map(|other| sample.seconds_per_million() / other.seconds_per_million())
                    });
                    spread(pairs.collect(), 2)
                };
                lines.push(vec![
                    format!("{load}: {kind}"),
                    spread(all(Sample::seconds_per_million), 2),
                    beside(Kind::Coturn),
                    beside(Kind::Raw),
                    number(median(all(Sample::kpps)), 0),
                    number(median(all(Sample::busy)), 0) + "%",
                    number(median(all(Sample::lost)), 0) + "%",
                ]);
            }
        }
        lines
    }

    fn allocating(&self) -> Vec<Vec<String>> {
        let head = ["one allocation with a channel", "CPU µs", "/ coturn", "resident bytes", "/ coturn"];
        let mut lines = vec![head.map(str::to_owned).to_vec()];
        for kind in [Kind::TurnNode, Kind::Coturn] {
            let of = |kind| self.costs.iter().filter(move |cost| cost.kind == kind);
            let beside = |value: fn(&Cost) -> f64| {
                let pairs = of(kind).flat_map(|cost| {
                    let other = of(Kind::Coturn).find(|other| other.round == cost.round);
                    other.map(|other| value(cost) / value(other))
                });
                spread(pairs.collect(), 2)
            };
            lines.push(vec![
                kind.to_string(),
                spread(of(kind).map(|cost| cost.micros).collect(), 1),
                beside(|cost| cost.micros),
                spread(of(kind).map(|cost| cost.bytes).collect(), 0),
                beside(|cost| cost.bytes),
            ]);
        }
        lines
    }
}

/// Median, least and most.
fn spread(mut values: Vec<f64>, digits: usize) -> String {
    values.sort_by(f64::total_cmp);
    match (values.first().copied(), values.last().copied()) {
        (Some(least), Some(most)) => {
            format!("{} ({least:.digits$}-{most:.digits$})", number(median(values), digits))
        }
        _ => "-".to_owned(),
    }
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

/// The middle one, or the mean of the middle two.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2)?;
    let lower = values.get((values.len() - 1) / 2)?;
    Some(f64::midpoint(*lower, *upper))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn sample(round: u32, kind: Kind, cpu: u64) -> Sample {
        let (time, cpu) = (Duration::from_secs(1), Duration::from_millis(cpu));
        let outcome = Outcome { sent: 250_000, delivered: 200_000, broken: 0, time, busy: cpu, cpu };
        Sample { round, kind, load: 0, outcome }
    }

    fn report() -> Report {
        let samples = [(0, 800, 1000, 400), (1, 600, 1000, 500), (2, 500, 500, 500)];
        let cost = |kind, micros, bytes| Cost { round: 0, kind, micros, bytes };
        Report {
            head: "head\n".to_owned(),
            loads: vec!["uplink, isolated".to_owned()],
            samples: samples
                .into_iter()
                .flat_map(|(round, own, coturn, raw)| {
                    let kinds = [(Kind::TurnNode, own), (Kind::Coturn, coturn), (Kind::Raw, raw)];
                    kinds.map(|(kind, cpu)| sample(round, kind, cpu))
                })
                .collect(),
            costs: vec![cost(Kind::TurnNode, 30.0, 1000.0), cost(Kind::Coturn, 120.0, 20_000.0)],
        }
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let text = report().render();
        let line = text.lines().find(|line| line.contains("plenum-turn-node")).unwrap();
        let cells: Vec<_> = line.split("  ").filter(|cell| !cell.is_empty()).map(str::trim).collect();
        assert_eq!(cells[1..4], ["3.00 (2.50-4.00)", "0.80 (0.60-1.00)", "1.20 (1.00-2.00)"]);
        assert_eq!(cells[4..], ["200", "60%", "20%"]);
        let cost = text.lines().filter(|line| line.contains("plenum-turn-node")).nth(1).unwrap();
        assert!(cost.contains("0.25 (0.25-0.25)") && cost.contains("0.05 (0.05-0.05)"), "{cost}");
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(vec![3.0]), Some(3.0));
        assert_eq!(median(Vec::new()), None);
    }
}
