//! What changed since a version: what the leader's poll gets instead of everything.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Ends that are remembered: more than a node can hold, so that a poll that was missed loses nothing.
pub const REMEMBERED: usize = 20_000;

/// Counts changes, and remembers which `K` ended when, each with a word `V` on its last end.
#[derive(Debug)]
pub struct Changes<K, V> {
    version: u64,
    /// Version at which the oldest ends were forgotten: older readers need everything.
    forgotten: u64,
    order: VecDeque<(u64, K)>,
    ended: HashMap<K, (u64, V)>,
}

impl<K, V> Default for Changes<K, V> {
    fn default() -> Self {
        // Room for all at once: a node does not grow with those that came and went.
        let (order, ended) = (VecDeque::with_capacity(REMEMBERED + 1), HashMap::with_capacity(REMEMBERED + 1));
        Self { version: 0, forgotten: 0, order, ended }
    }
}

impl<K: Clone + Eq + Hash + Ord, V> Changes<K, V> {
    /// The last version.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Something changed: its version.
    pub fn bump(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    /// `key` ended.
    pub fn end(&mut self, key: K, word: V) {
        let version = self.bump();
        self.order.push_back((version, key.clone()));
        self.ended.insert(key, (version, word));
        while self.order.len() > REMEMBERED {
            let Some((version, key)) = self.order.pop_front() else { return };
            self.forgotten = version;
            if self.ended.get(&key).is_some_and(|(last, _)| *last == version) {
                self.ended.remove(&key);
            }
        }
    }

    /// The word on the last end of `key`, if it is remembered.
    #[must_use]
    pub fn ended(&self, key: &K) -> Option<&V> {
        self.ended.get(key).map(|(_, word)| word)
    }

    /// The version that a reader is told from: the one that it knows, unless this node did not give that out or has
    /// forgotten what came since. Unset: it needs everything.
    #[must_use]
    pub fn since(&self, known: Option<u64>) -> Option<u64> {
        known.filter(|version| (self.forgotten..=self.version).contains(version))
    }

    /// What ended after `version`, sorted; nothing for a reader that needs everything.
    #[must_use]
    pub fn ended_since(&self, version: Option<u64>) -> Vec<K> {
        let Some(version) = version else { return Vec::new() };
        let ended = self.ended.iter().filter(|(_, (last, _))| *last > version);
        let mut keys: Vec<K> = ended.map(|(key, _)| key.clone()).collect();
        keys.sort_unstable();
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_hears_only_of_what_ended_after_its_version() {
        let mut changes = Changes::default();
        changes.end(1, 'a');
        let seen = changes.version();
        changes.end(3, 'b');
        changes.end(2, 'c');
        assert_eq!(changes.since(Some(seen)), Some(seen));
        assert_eq!(changes.ended_since(Some(seen)), [2, 3]);
        assert_eq!(changes.ended(&2), Some(&'c'));
    }

    #[test]
    fn a_reader_of_nothing_or_of_a_version_that_was_never_given_out_needs_everything() {
        let mut changes = Changes::default();
        changes.end(1, ());
        assert_eq!((changes.since(None), changes.since(Some(99))), (None, None));
        assert!(changes.ended_since(None).is_empty());
    }

    #[test]
    fn a_reader_from_before_the_memory_needs_everything() {
        let mut changes = Changes::default();
        for n in 0..=REMEMBERED {
            changes.end(n, ());
        }
        assert_eq!((changes.since(Some(0)), changes.since(Some(1))), (None, Some(1)));
        assert_eq!(changes.ended_since(Some(1)).len(), REMEMBERED);
        assert_eq!(changes.ended(&0), None);
    }

    #[test]
    fn what_ended_again_is_remembered_by_its_last_end() {
        let mut changes = Changes::default();
        for n in 0..=REMEMBERED {
            changes.end(0, n);
        }
        assert_eq!(changes.ended(&0), Some(&REMEMBERED));
    }
}
