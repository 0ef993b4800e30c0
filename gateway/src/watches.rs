//! Watches of the API server that feed tables: relist and resume are kube's, the table sees whole lists and changes.

use crate::keys::ApiKeys;
use crate::routes::{Route, Routes};
use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use plenum_api::Room;
use plenum_runtime::shutdown::Shutdown;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use tokio::sync::watch;

/// What a watch feeds.
pub(crate) trait Table<K>: Send {
    fn apply(&mut self, object: K);
    fn remove(&mut self, object: K);
    /// The whole list.
    fn replace(&mut self, objects: Vec<K>);
}

impl Table<Room> for Routes {
    fn apply(&mut self, room: Room) {
        if let Some(route) = Route::of(&room) {
            Routes::apply(self, route);
        }
    }

    fn remove(&mut self, room: Room) {
        if let Some(route) = Route::of(&room) {
            Routes::remove(self, &route);
        }
    }

    fn replace(&mut self, rooms: Vec<Room>) {
        Routes::replace(self, rooms.iter().filter_map(Route::of).collect());
    }
}

impl Table<Secret> for ApiKeys {
    fn apply(&mut self, secret: Secret) {
        ApiKeys::apply(self, secret);
    }

    fn remove(&mut self, secret: Secret) {
        ApiKeys::remove(self, &secret);
    }

    fn replace(&mut self, secrets: Vec<Secret>) {
        ApiKeys::replace(self, secrets);
    }
}

/// Feeds `table` until `shutdown`; `synced` becomes true with the first whole list. One object that cannot be read
/// stops nothing.
pub(crate) async fn follow<K>(
    api: Api<DeserializeGuard<K>>,
    config: watcher::Config,
    mut table: impl Table<K>,
    synced: watch::Sender<bool>,
    shutdown: Shutdown,
) where
    K: kube::Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut events = std::pin::pin!(watcher(api, config).default_backoff());
    let mut listed = Vec::new();
    loop {
        let event = tokio::select! {
            () = shutdown.requested() => return,
            event = events.next() => event,
        };
        match event {
            Some(Ok(Event::Init)) => listed = Vec::new(),
            Some(Ok(Event::InitApply(object))) => listed.extend(readable(object)),
            Some(Ok(Event::InitDone)) => {
                table.replace(std::mem::take(&mut listed));
                synced.send_replace(true);
            }
            Some(Ok(Event::Apply(object))) => readable(object).into_iter().for_each(|object| table.apply(object)),
            Some(Ok(Event::Delete(object))) => readable(object).into_iter().for_each(|object| table.remove(object)),
            Some(Err(error)) => {
                tracing::warn!(kind = %K::kind(&()), error = &error as &dyn std::error::Error, "watching, and trying again");
            }
            None => return,
        }
    }
}

fn readable<K: kube::Resource<DynamicType = ()>>(object: DeserializeGuard<K>) -> Option<K> {
    match object.0 {
        Ok(object) => Some(object),
        Err(invalid) => {
            let (namespace, name) = (&invalid.metadata.namespace, &invalid.metadata.name);
            tracing::warn!(?namespace, ?name, kind = %K::kind(&()), error = %invalid.error, "an object cannot be read");
            None
        }
    }
}
