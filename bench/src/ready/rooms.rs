//! Applies Rooms at a steady rate and follows them by a watch.

use super::record::Record;
use super::stage::Stage;
use anyhow::Context as _;
use futures_util::StreamExt as _;
use kube::Api;
use kube::ResourceExt as _;
use kube::api::{ListParams, PostParams, WatchEvent, WatchParams};
use plenum_api::{Room, conditions};
use serde_json::json;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// Label of the Rooms that are made here.
pub(crate) const LABEL: &str = "bench.rtc.plenum.dev/run";
/// How long all objects may take to become Ready after the last was sent.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether all are Ready.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// A [`Record`] that a watch and the senders write together.
pub(crate) type Shared = Arc<Mutex<Record>>;

/// How many Rooms, and how fast.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Start of their names.
    pub(crate) prefix: &'static str,
    /// How many.
    pub(crate) rooms: u32,
    /// A second.
    pub(crate) rate: u32,
    /// How long to go on watching when all are Ready; zero: not at all.
    pub(crate) rest: Duration,
}

/// Applies the Rooms; the second result is how long it took to send them all.
pub(crate) async fn apply(stage: &Stage, load: Load) -> anyhow::Result<(Record, Duration)> {
    let api = stage.rooms();
    let record = Shared::default();
    let watch = Watch::start(&api, Arc::clone(&record), is_ready).await?;
    let creating = {
        let (api, record) = (api.clone(), Arc::clone(&record));
        move |index: u32| create(api.clone(), Arc::clone(&record), format!("{}-{index}", load.prefix))
    };
    let pace = at_rate(load.rooms, load.rate, creating).await?;
    wait_until_ready(&record).await;
    if !load.rest.is_zero() {
        lock(&record).begin_rest();
        tokio::time::sleep(load.rest).await;
    }
    watch.stop()?;
    Ok((std::mem::take(&mut *lock(&record)), pace))
}

async fn create(api: Api<Room>, record: Shared, name: String) -> anyhow::Result<()> {
    let room: Room = serde_json::from_value(json!({
        "apiVersion": "rtc.plenum.dev/v1alpha1",
        "kind": "Room",
        "metadata": { "name": name, "labels": { LABEL: "ready" } },
        "spec": { "topology": "MediaServer", "capacity": { "maxParticipants": 2 } },
    }))
    .context("writing a Room")?;
    lock(&record).applied(&name, Instant::now());
    api.create(&PostParams::default(), &room).await.with_context(|| format!("creating Room {name}"))?;
    lock(&record).acknowledged(&name, Instant::now());
    Ok(())
}

fn is_ready(room: &Room) -> bool {
    room.condition(conditions::READY).is_some_and(|ready| ready.status == "True")
}

/// Starts `count` tasks at `rate` a second, however long each takes, and waits for all of them.
pub(crate) async fn at_rate<F>(count: u32, rate: u32, start: impl Fn(u32) -> F) -> anyhow::Result<Duration>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut tasks, begin) = (JoinSet::new(), Instant::now());
    for index in 0..count {
        ticks.tick().await;
        tasks.spawn(start(index));
    }
    ticks.tick().await;
    let pace = begin.elapsed();
    while let Some(ended) = tasks.join_next().await {
        ended.context("a task broke")??;
    }
    Ok(pace)
}

/// Returns when all are Ready, or when patience ends: the record says which.
pub(crate) async fn wait_until_ready(record: &Shared) {
    let start = Instant::now();
    while !lock(record).all_ready() && start.elapsed() < PATIENCE {
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// The lock of a record; a task that panicked with it is told of elsewhere.
pub(crate) fn lock(record: &Shared) -> std::sync::MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A watch that writes every version of every object into a record.
pub(crate) struct Watch {
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Watch {
    /// Watches from now on.
    pub(crate) async fn start<K>(api: &Api<K>, record: Shared, ready: fn(&K) -> bool) -> anyhow::Result<Self>
    where
        K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
    {
        let list = api.list_metadata(&ListParams::default().limit(1)).await.context("listing before the watch")?;
        let version = list.metadata.resource_version.context("the list has no resourceVersion")?;
        let api = api.clone();
        Ok(Self { task: tokio::spawn(follow(api, record, ready, version)) })
    }

    /// Ends it.
    ///
    /// # Errors
    /// It broke before, so the record may lack versions.
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.task.is_finished(), "the watch broke off: the numbers would be wrong");
        self.task.abort();
        Ok(())
    }
}

/// Goes on from the last version when the server ends the watch in good order; ends when versions may be missing.
async fn follow<K>(api: Api<K>, record: Shared, ready: fn(&K) -> bool, mut version: String) -> anyhow::Result<()>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    loop {
        let stream = api.watch(&WatchParams::default(), &version).await.context("watching")?;
        let mut stream = std::pin::pin!(stream);
        while let Some(event) = stream.next().await {
            match event.context("reading the watch")? {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    let now = Instant::now();
                    let seen = object.resource_version().context("an object has no resourceVersion")?;
                    lock(&record).watched(&object.name_any(), &seen, ready(&object), now);
                    version = seen;
                }
                WatchEvent::Bookmark(bookmark) => version = bookmark.metadata.resource_version,
                WatchEvent::Deleted(object) => version = object.resource_version().unwrap_or(version),
                WatchEvent::Error(status) => anyhow::bail!("the watch failed: {}", status.message),
            }
        }
    }
}
