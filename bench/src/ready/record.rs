//! What happened to the watched objects: when each was applied, when it was Ready, which versions were seen. Pure.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

/// One object.
#[derive(Debug)]
struct Seen {
    applied: Instant,
    acknowledged: Option<Instant>,
    ready: Option<Instant>,
    /// Distinct resourceVersions, the one of the creation included.
    versions: HashSet<String>,
    /// How many of them there were when it was first Ready.
    versions_at_ready: usize,
}

/// All objects of one run, by name.
#[derive(Debug, Default)]
pub(crate) struct Record {
    objects: BTreeMap<String, Seen>,
    /// New versions since [`Record::begin_rest`].
    at_rest: Option<usize>,
}

impl Record {
    /// Just before the request that creates `name` is sent.
    pub(crate) fn applied(&mut self, name: &str, now: Instant) {
        let seen =
            Seen { applied: now, acknowledged: None, ready: None, versions: HashSet::new(), versions_at_ready: 0 };
        self.objects.insert(name.to_owned(), seen);
    }

    /// The API server answered.
    pub(crate) fn acknowledged(&mut self, name: &str, now: Instant) {
        if let Some(seen) = self.objects.get_mut(name) {
            seen.acknowledged = Some(now);
        }
    }

    /// A watch showed a version of `name`. Objects that were not applied here are left out.
    pub(crate) fn watched(&mut self, name: &str, version: &str, ready: bool, now: Instant) {
        let Some(seen) = self.objects.get_mut(name) else { return };
        if seen.versions.insert(version.to_owned())
            && let Some(count) = &mut self.at_rest
        {
            *count += 1;
        }
        if ready && seen.ready.is_none() {
            seen.ready = Some(now);
            seen.versions_at_ready = seen.versions.len();
        }
    }

    /// From now on new versions count as writes at rest.
    pub(crate) fn begin_rest(&mut self) {
        self.at_rest = Some(0);
    }

    /// Writes since [`Record::begin_rest`], or `None` when there was no rest.
    pub(crate) fn writes_at_rest(&self) -> Option<usize> {
        self.at_rest
    }

    /// How many objects there are, and how many of them were Ready.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.objects.len(), self.objects.values().filter(|seen| seen.ready.is_some()).count())
    }

    /// Whether every object was Ready.
    pub(crate) fn all_ready(&self) -> bool {
        let (all, ready) = self.counts();
        all == ready
    }

    /// Name of an object that never was.
    pub(crate) fn first_not_ready(&self) -> Option<&str> {
        self.objects.iter().find(|(_, seen)| seen.ready.is_none()).map(|(name, _)| name.as_str())
    }

    /// From just before the request to the watch event that shows it Ready, sorted.
    pub(crate) fn ready_times(&self) -> Vec<Duration> {
        self.times(|seen| seen.ready)
    }

    /// From just before the request to the API server's answer, sorted.
    pub(crate) fn create_times(&self) -> Vec<Duration> {
        self.times(|seen| seen.acknowledged)
    }

    /// Writes after the creation up to the one that made it Ready: mean and most.
    pub(crate) fn writes_to_ready(&self) -> Option<(f64, usize)> {
        let ready = self.objects.values().filter(|seen| seen.ready.is_some());
        mean_and_most(ready.map(|seen| seen.versions_at_ready.saturating_sub(1)).collect())
    }

    /// Writes after the creation: mean and most.
    pub(crate) fn writes(&self) -> Option<(f64, usize)> {
        mean_and_most(self.objects.values().map(|seen| seen.versions.len().saturating_sub(1)).collect())
    }

    fn times(&self, end: impl Fn(&Seen) -> Option<Instant>) -> Vec<Duration> {
        let spans = self.objects.values().filter_map(|seen| Some(end(seen)?.saturating_duration_since(seen.applied)));
        let mut times: Vec<Duration> = spans.collect();
        times.sort_unstable();
        times
    }
}

fn mean_and_most(counts: Vec<usize>) -> Option<(f64, usize)> {
    let most = counts.iter().copied().max()?;
    let sum: usize = counts.iter().sum();
    Some((sum as f64 / counts.len() as f64, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn writes_are_distinct_versions_after_the_creation() {
        let (mut record, start) = (Record::default(), Instant::now());
        record.applied("a", start);
        record.acknowledged("a", at(start, 5));
        for (millis, version, ready) in [(6, "1", false), (20, "2", false), (30, "3", true), (31, "3", true)] {
            record.watched("a", version, ready, at(start, millis));
        }
        record.watched("stranger", "9", true, start);
        assert_eq!(record.writes_to_ready(), Some((2.0, 2)));
        assert_eq!(record.ready_times(), [Duration::from_millis(30)]);
        assert_eq!(record.create_times(), [Duration::from_millis(5)]);
        assert!(record.all_ready());
    }

    #[test]
    fn a_write_at_rest_is_counted_once_and_beside_those_before() {
        let (mut record, start) = (Record::default(), Instant::now());
        record.applied("a", start);
        record.watched("a", "1", true, start);
        assert_eq!(record.writes_at_rest(), None);
        record.begin_rest();
        record.watched("a", "1", true, start);
        assert_eq!(record.writes_at_rest(), Some(0));
        record.watched("a", "2", true, start);
        assert_eq!(record.writes_at_rest(), Some(1));
        assert_eq!((record.writes_to_ready(), record.writes()), (Some((0.0, 0)), Some((1.0, 1))));
    }

    #[test]
    fn an_object_that_was_never_ready_is_named() {
        let mut record = Record::default();
        record.applied("slow", Instant::now());
        assert_eq!(record.counts(), (1, 0));
        assert_eq!(record.first_not_ready(), Some("slow"));
        assert_eq!(record.writes_to_ready(), None);
    }
}
