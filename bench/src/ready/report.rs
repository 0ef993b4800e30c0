//! The result as a table. Pure.

use super::raw::Rate;
use super::record::Record;
use crate::table::{millis, percentile, ratio, render};
use std::time::Duration;

/// Longest p99 from apply to Ready that is aimed at.
const AIM_P99: Duration = Duration::from_millis(250);
/// Most writes that may bring a Room to Ready.
const AIM_WRITES: usize = 2;

/// What was measured.
#[derive(Debug)]
pub(crate) struct Report {
    /// Rooms per second that were wanted.
    pub(crate) wanted_rate: u32,
    /// How long nothing should have been written.
    pub(crate) rest: Duration,
    /// How long it took to send all Rooms.
    pub(crate) pace: Duration,
    /// The Rooms.
    pub(crate) rooms: Record,
    /// Objects of a kind that no operator knows, written as often by the bench itself.
    pub(crate) floor: Record,
    /// Raw status updates by one writer.
    pub(crate) single: Rate,
    /// Raw status updates by several.
    pub(crate) many: Rate,
}

impl Report {
    /// Whether every Room became Ready.
    pub(crate) fn complete(&self) -> bool {
        self.rooms.all_ready()
    }

    /// Whether every aim is met.
    pub(crate) fn aims_met(&self) -> bool {
        let p99 = percentile(&self.rooms.ready_times(), 99).is_some_and(|p99| p99 < AIM_P99);
        let writes = self.rooms.writes().is_some_and(|(_, most)| most <= AIM_WRITES);
        let rest = self.rooms.writes_at_rest().is_none_or(|writes| writes == 0);
        self.complete() && p99 && writes && rest
    }

    /// The text.
    pub(crate) fn render(&self) -> String {
        let (all, ready) = self.rooms.counts();
        let rate = all as f64 / self.pace.as_secs_f64().max(f64::EPSILON);
        let wanted = self.wanted_rate;
        let mut text = format!("{all} Rooms, {rate:.1} a second (wanted {wanted}), {ready} became Ready\n\n");
        text += &render(&self.latencies());
        text.push('\n');
        text += &render(&self.writes());
        let verdict = if self.aims_met() { "met" } else { "missed" };
        text += &format!("\naims (p99 under 250 ms, {AIM_WRITES} writes a Room, none at rest): {verdict}\n");
        text
    }

    fn latencies(&self) -> Vec<Vec<String>> {
        let rooms = self.rooms.ready_times();
        let floor = self.floor.ready_times();
        let creates = self.rooms.create_times();
        let line = |name: &str, times: &[Duration]| {
            let (p50, p99) = (percentile(times, 50), percentile(times, 99));
            let most = times.last().copied();
            let ratios = [ratio(p50, percentile(&floor, 50)), ratio(p99, percentile(&floor, 99))];
            [vec![name.to_owned(), millis(p50), millis(p99), millis(most)], ratios.to_vec()].concat()
        };
        vec![
            ["", "p50", "p99", "most", "p50 / raw", "p99 / raw"].map(str::to_owned).to_vec(),
            line("apply to Ready, seen by a watch", &rooms),
            line("raw: create and 2 status updates, seen by a watch", &floor),
            line("create alone", &creates),
            line("raw: one status update, 1 writer", &self.single.times),
            line(&format!("raw: one status update, {} writers", self.many.writers), &self.many.times),
        ]
    }

    fn writes(&self) -> Vec<Vec<String>> {
        let counted = |writes: Option<(f64, usize)>| {
            writes.map_or_else(|| "-".to_owned(), |(mean, most)| format!("{mean:.2} (most {most})"))
        };
        let at_rest = self.rooms.writes_at_rest().map_or_else(|| "-".to_owned(), |writes| writes.to_string());
        let per_second = |rate: &Rate| format!("{:.0}", rate.per_second());
        let best = self.single.per_second().max(self.many.per_second()).max(1.0);
        let used = self.rooms.writes().map_or_else(
            || "-".to_owned(),
            |(mean, _)| format!("{:.0}%", 100.0 * mean * f64::from(self.wanted_rate) / best),
        );
        let line = |name: String, value: String| vec![name, value];
        vec![
            line("writes to a Room until it was Ready".into(), counted(self.rooms.writes_to_ready())),
            line("writes to a Room in all".into(), counted(self.rooms.writes())),
            line(format!("writes to Rooms in {} s of rest", self.rest.as_secs()), at_rest),
            line("raw status updates a second, 1 writer".into(), per_second(&self.single)),
            line(format!("raw status updates a second, {} writers", self.many.writers), per_second(&self.many)),
            line("share of the better of them that the Rooms' writes take".into(), used),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn record(ready: u64, writes: usize) -> Record {
        let (mut record, start) = (Record::default(), Instant::now());
        record.applied("a", start);
        record.acknowledged("a", start + Duration::from_millis(4));
        for version in 0..=writes {
            record.watched("a", &version.to_string(), version == writes, start + Duration::from_millis(ready));
        }
        record
    }

    fn report(ready: u64, writes: usize) -> Report {
        let rate =
            |writers| Rate { writers, elapsed: Duration::from_secs(1), times: vec![Duration::from_millis(2); 80] };
        let mut rooms = record(ready, writes);
        rooms.begin_rest();
        Report {
            wanted_rate: 20,
            rest: Duration::from_secs(30),
            pace: Duration::from_millis(50),
            rooms,
            floor: record(10, 2),
            single: rate(1),
            many: rate(8),
        }
    }

    #[test]
    fn the_table_names_what_was_measured_beside_its_floor() {
        let text = report(30, 2).render();
        let golden = "\
1 Rooms, 20.0 a second (wanted 20), 1 became Ready

                                                       p50      p99     most  p50 / raw  p99 / raw
apply to Ready, seen by a watch                    30.0 ms  30.0 ms  30.0 ms      3.00x      3.00x
raw: create and 2 status updates, seen by a watch  10.0 ms  10.0 ms  10.0 ms      1.00x      1.00x
create alone                                        4.0 ms   4.0 ms   4.0 ms      0.40x      0.40x
raw: one status update, 1 writer                    2.0 ms   2.0 ms   2.0 ms      0.20x      0.20x
raw: one status update, 8 writers                   2.0 ms   2.0 ms   2.0 ms      0.20x      0.20x

writes to a Room until it was Ready                      2.00 (most 2)
writes to a Room in all                                  2.00 (most 2)
writes to Rooms in 30 s of rest                                      0
raw status updates a second, 1 writer                               80
raw status updates a second, 8 writers                              80
share of the better of them that the Rooms' writes take            50%

aims (p99 under 250 ms, 2 writes a Room, none at rest): met
";
        assert_eq!(text, golden, "\n{text}");
    }

    #[test]
    fn a_slow_room_and_a_third_write_miss_the_aims() {
        assert!(report(249, 2).aims_met());
        assert!(!report(250, 2).aims_met());
        assert!(!report(30, 3).aims_met());
        let mut restless = report(30, 2);
        restless.rooms.watched("a", "later", true, Instant::now());
        assert!(!restless.aims_met());
    }
}
