//! What the operator counts, under `plenum_operator_*`. Labels are variant names, never free text.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Kind of a reconciled object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum KindLabel {
    /// Room.
    Room,
    /// RelayPool.
    RelayPool,
}

/// How a poll of a pod ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum PollLabel {
    /// Answered.
    Answered,
    /// Refused with a problem.
    Refused,
    /// No answer.
    Missed,
}

/// Label set of reconciles.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReconcileLabels {
    /// Kind of the object.
    pub kind: KindLabel,
}

/// Label set of polls.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PollLabels {
    /// How it ended.
    pub outcome: PollLabel,
}

/// All counters of one process.
pub struct Metrics {
    /// Reconciles.
    pub reconciles: Family<ReconcileLabels, Counter>,
    /// Reconciles that failed and are tried again.
    pub reconcile_errors: Family<ReconcileLabels, Counter>,
    /// Seconds per reconcile.
    pub reconcile_seconds: Family<ReconcileLabels, Histogram>,
    /// Status writes.
    pub status_writes: Family<ReconcileLabels, Counter>,
    /// Seconds from the first sight of a Room to the acknowledged grant of its first binding.
    pub bind_seconds: Histogram,
    /// Bindings written.
    pub binds: Counter,
    /// Polls of media and TURN pods.
    pub polls: Family<PollLabels, Counter>,
    /// Media and TURN pods called dead.
    pub deaths: Counter,
    /// Writes of the directory of relays.
    pub directory_writes: Counter,
    /// 1 while this process leads.
    pub leader: Gauge,
    /// Failed watches, each tried again.
    pub watch_errors: Counter,
    /// Objects that could not be read.
    pub unreadable_objects: Counter,
    /// Events that found the queue full.
    pub dropped_events: Counter,
}

impl Metrics {
    /// Registers everything.
    #[must_use]
    pub fn new(registry: &mut Registry) -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.001, 2.0, 14));
        let metrics = Self {
            reconciles: Family::default(),
            reconcile_errors: Family::default(),
            reconcile_seconds: Family::new_with_constructor(seconds),
            status_writes: Family::default(),
            bind_seconds: seconds(),
            binds: Counter::default(),
            polls: Family::default(),
            deaths: Counter::default(),
            directory_writes: Counter::default(),
            leader: Gauge::default(),
            watch_errors: Counter::default(),
            unreadable_objects: Counter::default(),
            dropped_events: Counter::default(),
        };
        metrics.register(registry.sub_registry_with_prefix("plenum_operator"));
        metrics
    }

    fn register(&self, to: &mut Registry) {
        to.register("reconciles", "Reconciles", self.reconciles.clone());
        to.register("reconcile_errors", "Reconciles that failed and are tried again", self.reconcile_errors.clone());
        to.register("reconcile_seconds", "Seconds per reconcile", self.reconcile_seconds.clone());
        to.register("status_writes", "Status writes", self.status_writes.clone());
        to.register(
            "bind_seconds",
            "Seconds from the first sight of a Room to its first grant",
            self.bind_seconds.clone(),
        );
        to.register("binds", "Bindings written", self.binds.clone());
        to.register("polls", "Polls of media and TURN pods", self.polls.clone());
        to.register("deaths", "Media and TURN pods called dead", self.deaths.clone());
        to.register("directory_writes", "Writes of the directory of relays", self.directory_writes.clone());
        to.register("leader", "1 while this process leads", self.leader.clone());
        to.register("watch_errors", "Failed watches", self.watch_errors.clone());
        to.register("unreadable_objects", "Objects that could not be read", self.unreadable_objects.clone());
        to.register("dropped_events", "Events that found the queue full", self.dropped_events.clone());
    }
}
