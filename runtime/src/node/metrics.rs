//! Metrics of a node, read at each scrape from its workers' last counts instead of being kept.

use super::Pod;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::fmt;

/// Name without prefix, and help.
pub type Named<'a> = (&'a str, &'a str);

/// Name, help, and where the count is in a worker's snapshot.
pub type Counted<S> = (&'static str, &'static str, fn(&S) -> u64);

/// A registry under `prefix` that says where the pod is, and at each scrape what `encode` writes.
pub fn registry<F>(prefix: &str, pod: &Pod, encode: F) -> Registry
where
    F: Fn(&mut DescriptorEncoder<'_>) -> fmt::Result + Send + Sync + 'static,
{
    let mut registry = Registry::with_prefix(prefix);
    let labels = vec![("pod", pod.name.clone()), ("namespace", pod.namespace.clone()), ("node", pod.node.clone())];
    registry.register("pod", "Where this node runs", Info::new(labels));
    registry.register_collector(Box::new(AtScrape(encode)));
    registry
}

struct AtScrape<F>(F);

impl<F> fmt::Debug for AtScrape<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AtScrape")
    }
}

impl<F> Collector for AtScrape<F>
where
    F: Fn(&mut DescriptorEncoder<'_>) -> fmt::Result + Send + Sync + 'static,
{
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        (self.0)(&mut encoder)
    }
}

/// One gauge.
///
/// # Errors
/// When the text cannot grow; as for all that follow.
pub fn gauge(encoder: &mut DescriptorEncoder<'_>, (name, help): Named<'_>, value: usize) -> fmt::Result {
    const_gauge(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

/// One counter.
///
/// # Errors
/// See [`gauge`].
pub fn counter(encoder: &mut DescriptorEncoder<'_>, (name, help): Named<'_>, value: u64) -> fmt::Result {
    ConstCounter::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
}

fn const_gauge(value: usize) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}

/// Gauges of one name, by their labels.
///
/// # Errors
/// See [`gauge`].
pub fn gauges<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): Named<'_>,
    values: impl IntoIterator<Item = (L, usize)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    values.into_iter().try_for_each(|(labels, value)| const_gauge(value).encode(family.encode_family(&labels)?))
}

/// Counters of one name, by their labels.
///
/// # Errors
/// See [`gauge`].
pub fn counters<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): Named<'_>,
    values: impl IntoIterator<Item = (L, u64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    values.into_iter().try_for_each(|(labels, value)| ConstCounter::new(value).encode(family.encode_family(&labels)?))
}

/// The counters of a table, by worker.
///
/// # Errors
/// See [`gauge`].
pub fn by_worker<S>(encoder: &mut DescriptorEncoder<'_>, table: &[Counted<S>], snapshots: &[S]) -> fmt::Result {
    table.iter().try_for_each(|&(name, help, count)| {
        let values = snapshots.iter().enumerate().map(|(worker, one)| ([("worker", worker.to_string())], count(one)));
        counters(encoder, (name, help), values)
    })
}

/// Counters of one name, by worker and reason.
///
/// # Errors
/// See [`gauge`].
pub fn by_reason<S, R: IntoIterator<Item = (&'static str, u64)>>(
    encoder: &mut DescriptorEncoder<'_>,
    named: Named<'_>,
    snapshots: &[S],
    counts: impl Fn(&S) -> R,
) -> fmt::Result {
    let values = snapshots.iter().enumerate().flat_map(|(worker, one)| {
        let labels = move |reason: &str| [("worker", worker.to_string()), ("reason", reason.to_owned())];
        counts(one).into_iter().map(move |(reason, count)| (labels(reason), count))
    });
    counters(encoder, named, values)
}
