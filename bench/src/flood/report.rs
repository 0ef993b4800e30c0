//! What came of the flood as a table. Pure.

use super::calls::Heard;
use super::forged::Offered;
use super::metrics::Metrics;
use crate::table::render;
use std::time::Duration;

/// Memory that a flood may cost, bytes.
const AIM_MEMORY: u64 = 5_000_000;
/// Packets of calls that it may cost, of a thousand.
const AIM_LOSS: f64 = 0.001;

/// What was measured.
#[derive(Debug)]
pub(super) struct Report {
    /// Requests a second that were wanted.
    pub(super) wanted: u32,
    /// Requests that left.
    pub(super) offered: Offered,
    /// The calls before the flood.
    pub(super) quiet: Heard,
    /// The calls during the flood.
    pub(super) during: Heard,
    /// Memory of the node before the flood, bytes.
    pub(super) resident: u64,
    /// The most that it had in the flood.
    pub(super) most: u64,
    /// CPU time of the node in the flood.
    pub(super) busy: Duration,
    /// What the node counted in the flood.
    pub(super) counts: Metrics,
}

impl Report {
    /// The text.
    pub(super) fn render(&self) -> String {
        let Self { wanted, offered, quiet, during, resident, most, busy, counts } = self;
        let seconds = offered.time.as_secs_f64().max(f64::EPSILON);
        let rate = |count: u64| format!("{:.0}", count as f64 / seconds);
        let grown = most.saturating_sub(*resident);
        let verdict = if grown < AIM_MEMORY && lost(during) < AIM_LOSS { "met" } else { "missed" };
        let line = |name: &str, value: String| vec![name.to_owned(), value];
        let text = render(&[
            line(&format!("forged requests a second ({wanted} were wanted)"), rate(offered.sent)),
            line("datagrams a second that the node took, calls among them", rate(counts.received)),
            line("datagrams a second that its kernel dropped", rate(counts.overflowed)),
            line("answers a second", rate(counts.answered)),
            line("requests a second left unanswered by the limit", rate(counts.limited)),
            line("share of its core that the node used", format!("{:.0}%", 100.0 * busy.as_secs_f64() / seconds)),
            line("memory before the flood", kib(*resident)),
            line("memory that the flood cost", kib(grown)),
            line("packets of calls sent in the flood", during.sent.to_string()),
            line("lost in the flood, to the peer and back", percent(lost(during))),
            line("lost in the flood, to the peer", percent(lost_to_peers(during))),
            line("lost before the flood, to the peer and back", percent(lost(quiet))),
        ]);
        format!("{text}\naims (memory under 5 MB, loss under 0.1%): {verdict}\n")
    }
}

fn lost(heard: &Heard) -> f64 {
    1.0 - heard.back as f64 / heard.sent.max(1) as f64
}

fn lost_to_peers(heard: &Heard) -> f64 {
    1.0 - heard.at_peers as f64 / heard.sent.max(1) as f64
}

fn percent(share: f64) -> String {
    format!("{:.3}%", 100.0 * share)
}

fn kib(bytes: u64) -> String {
    format!("{} KiB", bytes / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(back: u64, most: u64) -> String {
        let heard = |back| Heard { sent: 10_000, at_peers: 10_000, back };
        Report {
            wanted: 100_000,
            offered: Offered { sent: 1_980_000, time: Duration::from_secs(20) },
            quiet: heard(10_000),
            during: heard(back),
            resident: 8_000_000,
            most,
            busy: Duration::from_secs(5),
            counts: Metrics { received: 2_000_000, answered: 200_000, limited: 1_780_000, overflowed: 0 },
        }
        .render()
    }

    #[test]
    fn the_aims_are_met_or_missed() {
        assert!(report(9_995, 9_000_000).contains("0.1%): met"));
        assert!(report(9_990, 9_000_000).contains("missed"));
        assert!(report(10_000, 13_000_000).contains("missed"));
    }

    #[test]
    fn rates_are_those_of_the_time_that_it_took() {
        let text = report(9_995, 9_000_000);
        assert!(text.contains("99000") && text.contains("10000") && text.contains("25%"), "{text}");
        assert!(text.contains("0.050%") && text.contains("976 KiB"), "{text}");
    }
}
