//! Watches all Rooms for as long as the tests run: what must not happen even for a moment.
//!
//! Epochs of one Room (by UID) never go down, and one epoch names one (pod, boot id): a binding that changes without a
//! new epoch would let two media pods serve one room.

use crate::kube::Kube;
use anyhow::{Result, ensure};
use futures_util::StreamExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, ResourceExt};
use plenum_api::Room;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinHandle;

#[derive(Debug, Default)]
struct Seen {
    /// By Room UID: last epoch and who served it.
    bindings: BTreeMap<String, (i64, Option<(String, String)>)>,
    violations: Vec<String>,
}

impl Seen {
    fn room(&mut self, room: &Room) {
        let name = format!("Room {}/{}", room.namespace().unwrap_or_default(), room.name_any());
        let epoch = room.epoch();
        let server = room.media_assignment().map(|a| (format!("{}/{}", a.namespace, a.pod), a.boot_id.clone()));
        let (last, last_server) = self.bindings.entry(room.uid().unwrap_or_default()).or_default();
        if epoch < *last {
            self.violations.push(format!("{name} went from epoch {last} to {epoch}"));
        }
        if epoch == *last
            && let (Some(before), Some(now)) = (last_server.as_ref(), server.as_ref())
            && before != now
        {
            self.violations.push(format!("{name} changed from {before:?} to {now:?} within epoch {epoch}"));
        }
        // Who served an epoch is remembered when the room is unbound in between.
        let remembered = if epoch == *last { last_server.take() } else { None };
        *last = epoch;
        *last_server = server.or(remembered);
    }
}

/// The watch.
#[derive(Debug)]
pub struct EpochWatch {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl EpochWatch {
    /// Begins.
    #[must_use]
    pub fn start(kube: &Kube) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = seen.clone();
        let api: Api<Room> = Api::all(kube.client());
        let task = tokio::spawn(async move {
            let mut events = watcher::watcher(api, watcher::Config::default()).default_backoff().boxed();
            while let Some(event) = events.next().await {
                match event {
                    Ok(Event::Apply(room) | Event::InitApply(room)) => {
                        shared.lock().unwrap_or_else(PoisonError::into_inner).room(&room);
                    }
                    Ok(_) => {}
                    // The watcher comes back by itself; an API server that is gone fails the test that needs it.
                    Err(error) => eprintln!("watching rooms: {error}"),
                }
            }
        });
        Self { seen, task }
    }

    /// Fails when something forbidden was seen so far.
    ///
    /// # Errors
    /// What was seen.
    pub fn check(&self) -> Result<()> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(seen.violations.is_empty(), "{}", seen.violations.join("; "));
        Ok(())
    }
}

impl Drop for EpochWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn room(epoch: i64, pod: Option<&str>) -> Room {
        let assignments: Vec<_> = pod
            .map(
                |pod| json!({"role": "Media", "namespace": "a", "pool": "p", "pod": pod, "bootId": "b", "region": "r"}),
            )
            .into_iter()
            .collect();
        serde_json::from_value(json!({
            "metadata": {"name": "r", "namespace": "a", "uid": "u"}, "spec": {"topology": "MediaServer"},
            "status": {"placement": {"epoch": epoch, "decidedAt": "2026-01-01T00:00:00Z", "reason": ""}, "assignments": assignments},
        }))
        .unwrap()
    }

    #[test]
    fn a_new_pod_needs_a_new_epoch() {
        let mut seen = Seen::default();
        for (epoch, pod) in [(1, Some("x")), (1, None), (2, Some("y"))] {
            seen.room(&room(epoch, pod));
        }
        assert!(seen.violations.is_empty(), "{:?}", seen.violations);
        seen.room(&room(2, None));
        seen.room(&room(2, Some("x")));
        assert_eq!(seen.violations.len(), 1);
    }

    #[test]
    fn an_epoch_never_goes_down() {
        let mut seen = Seen::default();
        seen.room(&room(3, Some("x")));
        seen.room(&room(2, Some("x")));
        assert_eq!(seen.violations.len(), 1);
    }
}
