//! The floor: objects of a kind that no operator knows, written by the bench itself. Same server, same run, objects as
//! large as a Room with its status.

use super::record::Record;
use super::rooms::{LABEL, Shared, Watch, at_rate, lock, wait_until_ready};
use super::stage::{Stage, raw_kind};
use anyhow::Context as _;
use kube::Api;
use kube::api::{DynamicObject, PostParams};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Writers of the second raw rate.
pub(crate) const WRITERS: usize = 8;
/// Writes of the operator that are imitated.
const WRITES: u32 = 2;

/// Status updates in a row by several writers, each on an object of its own.
#[derive(Debug)]
pub(crate) struct Rate {
    /// How many wrote.
    pub(crate) writers: usize,
    /// For how long.
    pub(crate) elapsed: Duration,
    /// How long each update took, sorted.
    pub(crate) times: Vec<Duration>,
}

impl Rate {
    /// Updates a second of all writers together.
    pub(crate) fn per_second(&self) -> f64 {
        self.times.len() as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }
}

/// Creates objects at `rate` a second, each followed by two status updates, timed as Rooms are.
pub(crate) async fn floor(stage: &Stage, count: u32, rate: u32) -> anyhow::Result<Record> {
    let api = stage.raw_objects();
    let record = Shared::default();
    let watch = Watch::start(&api, Arc::clone(&record), is_done).await?;
    let writing = {
        let (api, record) = (api.clone(), Arc::clone(&record));
        move |index: u32| create_and_write(api.clone(), Arc::clone(&record), format!("floor-{index}"))
    };
    at_rate(count, rate, writing).await?;
    wait_until_ready(&record).await;
    watch.stop()?;
    let record = std::mem::take(&mut *lock(&record));
    anyhow::ensure!(record.all_ready(), "the watch did not show every raw write");
    Ok(record)
}

/// Updates statuses for `time` with `writers` at once.
pub(crate) async fn rate(stage: &Stage, writers: usize, time: Duration) -> anyhow::Result<Rate> {
    let api = stage.raw_objects();
    let mut objects = Vec::new();
    for writer in 0..writers {
        objects.push(create(&api, &format!("rate-{writers}-{writer}")).await?);
    }
    let (mut tasks, begin) = (JoinSet::new(), Instant::now());
    for object in objects {
        tasks.spawn(write_for(api.clone(), object, begin + time));
    }
    let mut times = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        times.extend(ended.context("a writer broke")??);
    }
    let elapsed = begin.elapsed();
    times.sort_unstable();
    Ok(Rate { writers, elapsed, times })
}

async fn write_for(api: Api<DynamicObject>, mut object: DynamicObject, end: Instant) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::new();
    for count in 0.. {
        let start = Instant::now();
        if start >= end {
            break;
        }
        object = write(&api, object, count).await?;
        times.push(start.elapsed());
    }
    Ok(times)
}

async fn create_and_write(api: Api<DynamicObject>, record: Shared, name: String) -> anyhow::Result<()> {
    lock(&record).applied(&name, Instant::now());
    let mut object = create(&api, &name).await?;
    lock(&record).acknowledged(&name, Instant::now());
    for count in 1..=WRITES {
        object = write(&api, object, count).await?;
    }
    Ok(())
}

async fn create(api: &Api<DynamicObject>, name: &str) -> anyhow::Result<DynamicObject> {
    let mut object = DynamicObject::new(name, &raw_kind());
    object.metadata.labels = Some([(LABEL.to_owned(), "ready".to_owned())].into());
    object.data = json!({ "spec": { "topology": "MediaServer", "capacity": { "maxParticipants": 2 } } });
    api.create(&PostParams::default(), &object).await.with_context(|| format!("creating the raw object {name}"))
}

async fn write(api: &Api<DynamicObject>, mut object: DynamicObject, count: u32) -> anyhow::Result<DynamicObject> {
    let name = object.metadata.name.clone().unwrap_or_default();
    object.data["status"] = status(count);
    let written = api.replace_status(&name, &PostParams::default(), &object).await;
    written.with_context(|| format!("writing the status of the raw object {name}"))
}

fn is_done(object: &DynamicObject) -> bool {
    object.data.pointer("/status/writes").and_then(Value::as_u64) == Some(u64::from(WRITES))
}

/// As large as the status of a Room that is bound.
fn status(count: u32) -> Value {
    let condition = |kind: &str| {
        json!({
            "type": kind, "status": "True", "reason": "AsGoodAsARealReason", "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
            "message": "as long as what an operator says to people about a room that is bound and ready",
        })
    };
    let conditions = ["Accepted", "Scheduled", "SignalingReady", "Ready", "Disrupted"].map(condition);
    json!({
        "writes": count,
        "observedGeneration": 1,
        "conditions": conditions,
        "flow": { "name": "MediaServer", "basis": "Planned", "legs": { "direct": 0, "relayed": 0, "colocated": 0 } },
        "placement": { "epoch": 1, "region": "eu-west", "decidedAt": "2026-01-01T00:00:00Z",
                       "reason": "eu-west is nearest to what is expected, and the pod is the least loaded of two" },
        "assignments": [{
            "role": "Media", "namespace": "plenum-bench", "pool": "bench", "pod": "bench-0-abcde",
            "bootId": "0123456789abcdef0123456789abcdef", "node": "node-1", "region": "eu-west", "zone": "eu-west-a",
            "endpoints": [
                { "purpose": "Media", "protocol": "UDP", "address": "192.0.2.1", "port": 24000 },
                { "purpose": "Control", "protocol": "TCP", "address": "192.0.2.2", "port": 7443 },
            ],
        }],
        "media": "bench-0-abcde",
        "signaling": { "url": "http://rooms.example/v1/rooms/plenum-bench/room-100" },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raw_object_is_done_after_the_last_write() {
        let mut object = DynamicObject::new("x", &raw_kind());
        assert!(!is_done(&object));
        object.data = json!({ "status": status(1) });
        assert!(!is_done(&object));
        object.data = json!({ "status": status(WRITES) });
        assert!(is_done(&object));
    }

    #[test]
    fn a_rate_is_that_of_all_writers() {
        let rate = Rate { writers: 2, elapsed: Duration::from_secs(2), times: vec![Duration::from_millis(1); 100] };
        assert!((rate.per_second() - 50.0).abs() < 1e-9);
    }
}
