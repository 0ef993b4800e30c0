//! Kubernetes events: one per change that people care about, in plain words. Best effort and off the path of binds.

use crate::metrics::Metrics;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use plenum_runtime::shutdown::Shutdown;
use std::sync::Arc;
use tokio::sync::mpsc;

/// How many events may wait; further ones are counted and dropped.
const BACKLOG: usize = 1_024;
/// Longest note that the API server takes, in bytes.
const MAX_NOTE: usize = 1_000;

/// Where events go.
#[derive(Clone)]
pub struct Events {
    sender: mpsc::Sender<(Event, ObjectReference)>,
    metrics: Arc<Metrics>,
}

/// The events that wait to be written.
pub struct EventQueue(mpsc::Receiver<(Event, ObjectReference)>);

impl Events {
    /// A bounded queue.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> (Self, EventQueue) {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        (Self { sender, metrics }, EventQueue(receiver))
    }

    /// Something went as it should.
    pub fn normal<K: Resource<DynamicType = ()>>(&self, object: &K, reason: &str, note: impl Into<String>) {
        self.push(object, EventType::Normal, reason, note.into());
    }

    /// Somebody may have to do something.
    pub fn warning<K: Resource<DynamicType = ()>>(&self, object: &K, reason: &str, note: impl Into<String>) {
        self.push(object, EventType::Warning, reason, note.into());
    }

    fn push<K: Resource<DynamicType = ()>>(&self, object: &K, kind: EventType, reason: &str, mut note: String) {
        while note.len() > MAX_NOTE {
            note.pop();
        }
        let event = Event {
            type_: kind,
            reason: reason.to_owned(),
            note: Some(note),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        if self.sender.try_send((event, object.object_ref(&()))).is_err() {
            self.metrics.dropped_events.inc();
        }
    }
}

impl EventQueue {
    /// Reasons of all events that wait, for tests.
    #[cfg(test)]
    pub(crate) fn reasons(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.0.try_recv().ok()).map(|(event, _)| event.reason).collect()
    }

    /// Writes events until `shutdown`.
    pub async fn run(mut self, client: kube::Client, pod: String, shutdown: Shutdown) {
        let reporter = Reporter { controller: "plenum-operator".to_owned(), instance: Some(pod) };
        loop {
            let next = tokio::select! {
                next = self.0.recv() => next,
                () = shutdown.requested() => return,
            };
            let Some((event, object)) = next else { return };
            // A recorder takes two events of one reason for the same, and keeps the words of the first: each has its own.
            let recorder = Recorder::new(client.clone(), reporter.clone());
            if let Err(error) = recorder.publish(&event, &object).await {
                tracing::debug!(error = %crate::errors::chain(&error), reason = event.reason, "an event was not written");
            }
        }
    }
}
