//! What the watches have shown, and the watches themselves.
//!
//! An object that cannot be read is logged, counted and left out: it never stops a watch.

use crate::changes::{Change, Changes};
use crate::metrics::Metrics;
use futures_util::{Stream, StreamExt};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service};
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{Store, store};
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Resource, ResourceExt};
use plenum_api::{RelayPool, Room, names};
use plenum_runtime::shutdown::Shutdown;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::sync::Arc;
use tokio::task::JoinSet;

/// What the watches have shown.
pub struct Caches {
    /// Every Room.
    pub rooms: Store<Room>,
    /// Every RelayPool.
    pub pools: Store<RelayPool>,
    /// Media and TURN pods.
    pub pods: Store<Pod>,
    /// Services of TURN pools.
    pub services: Store<Service>,
    /// Gateway pods of the own namespace.
    pub gateways: Store<Pod>,
    /// Nodes.
    pub nodes: Store<Node>,
    /// Namespaces.
    pub namespaces: Store<Namespace>,
}

/// The writing ends, to be handed to [`watch`].
pub struct Writers {
    rooms: Writer<Room>,
    pools: Writer<RelayPool>,
    pods: Writer<Pod>,
    services: Writer<Service>,
    gateways: Writer<Pod>,
    nodes: Writer<Node>,
    namespaces: Writer<Namespace>,
}

/// What one watch event is, once the cache holds it.
enum Shown<K> {
    Applied(Arc<K>),
    Deleted(Arc<K>),
    /// The whole list was read anew.
    Listed,
}

impl Caches {
    /// Empty caches.
    #[must_use]
    pub fn new() -> (Self, Writers) {
        let (rooms, rooms_writer) = store();
        let (pools, pools_writer) = store();
        let (pods, pods_writer) = store();
        let (services, services_writer) = store();
        let (gateways, gateways_writer) = store();
        let (nodes, nodes_writer) = store();
        let (namespaces, namespaces_writer) = store();
        let writers = Writers {
            rooms: rooms_writer,
            pools: pools_writer,
            pods: pods_writer,
            services: services_writer,
            gateways: gateways_writer,
            nodes: nodes_writer,
            namespaces: namespaces_writer,
        };
        (Self { rooms, pools, pods, services, gateways, nodes, namespaces }, writers)
    }

    /// Waits until every cache holds a whole list. False: the watches ended.
    pub async fn ready(&self) -> bool {
        let Self { rooms, pools, pods, services, gateways, nodes, namespaces } = self;
        wait(rooms).await
            && wait(pools).await
            && wait(pods).await
            && wait(services).await
            && wait(gateways).await
            && wait(nodes).await
            && wait(namespaces).await
    }

    /// Whether a gateway is ready to take clients.
    #[must_use]
    pub fn has_gateway(&self) -> bool {
        self.gateways.find(crate::pods::is_ready).is_some()
    }
}

async fn wait<K: Resource<DynamicType = ()> + Clone + 'static>(store: &Store<K>) -> bool {
    store.wait_until_ready().await.is_ok()
}

/// Label selector of the pods of pools.
#[must_use]
pub fn pods_of_pools() -> String {
    format!("{} in ({},{})", names::LABEL_APP, names::APP_MEDIA_NODE, names::APP_TURN_NODE)
}

/// Starts all watches; they end with `shutdown`.
pub fn watch(
    client: &kube::Client,
    namespace: &str,
    writers: Writers,
    changes: &Changes,
    metrics: &Arc<Metrics>,
    shutdown: &Shutdown,
) -> JoinSet<()> {
    let Writers { rooms, pools, pods, services, gateways, nodes, namespaces } = writers;
    let label = |app: &str| Config::default().labels(&format!("{}={app}", names::LABEL_APP));
    let mut tasks = JoinSet::new();
    let everywhere = Config::default;
    let watch = Watch { changes: changes.clone(), metrics: metrics.clone(), shutdown: shutdown.clone() };
    tasks.spawn(watch.clone().run(Api::all(client.clone()), everywhere(), rooms, |shown| match shown {
        Shown::Applied(room) => Change::Room(room),
        Shown::Deleted(room) => Change::RoomDeleted(room),
        Shown::Listed => Change::RoomsListed,
    }));
    tasks.spawn(watch.clone().run(Api::all(client.clone()), everywhere(), pools, |shown| match shown {
        Shown::Applied(pool) => Change::Pool(pool),
        Shown::Deleted(pool) => Change::PoolDeleted(pool),
        Shown::Listed => Change::PoolsListed,
    }));
    let of_pools = Config::default().labels(&pods_of_pools());
    tasks.spawn(watch.clone().run(Api::all(client.clone()), of_pools, pods, |shown| match shown {
        Shown::Applied(pod) => Change::Pod(pod),
        Shown::Deleted(pod) => Change::PodDeleted(pod),
        Shown::Listed => Change::PodsListed,
    }));
    let turn = label(names::APP_TURN_NODE);
    tasks.spawn(watch.clone().run(Api::all(client.clone()), turn, services, |shown| match shown {
        Shown::Applied(service) | Shown::Deleted(service) => Change::Service(service),
        Shown::Listed => Change::PoolsListed,
    }));
    let own = Api::namespaced(client.clone(), namespace);
    tasks.spawn(watch.clone().run(own, label(names::APP_GATEWAY), gateways, |_| Change::Gateways));
    tasks.spawn(watch.clone().run(Api::all(client.clone()), everywhere(), nodes, |shown| match shown {
        Shown::Applied(node) => Change::Nodes(Some(node)),
        Shown::Deleted(_) | Shown::Listed => Change::Nodes(None),
    }));
    tasks.spawn(watch.run(Api::all(client.clone()), everywhere(), namespaces, |_| Change::Namespaces));
    tasks
}

#[derive(Clone)]
struct Watch {
    changes: Changes,
    metrics: Arc<Metrics>,
    shutdown: Shutdown,
}

impl Watch {
    async fn run<K>(
        self,
        api: Api<DeserializeGuard<K>>,
        config: Config,
        mut writer: Writer<K>,
        change: fn(Shown<K>) -> Change,
    ) where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let stream = watcher(api, config).default_backoff();
        let mut stream = std::pin::pin!(self.readable(stream));
        loop {
            let event = tokio::select! {
                event = stream.next() => event,
                () = self.shutdown.requested() => return,
            };
            let Some(event) = event else { return };
            writer.apply_watcher_event(&event);
            let shown = match event {
                Event::Apply(object) => Shown::Applied(Arc::new(object)),
                Event::Delete(object) => Shown::Deleted(Arc::new(object)),
                Event::InitDone => Shown::Listed,
                Event::Init | Event::InitApply(_) => continue,
            };
            self.changes.send(change(shown)).await;
        }
    }

    fn readable<K>(
        &self,
        stream: impl Stream<Item = Result<Event<DeserializeGuard<K>>, kube::runtime::watcher::Error>>,
    ) -> impl Stream<Item = Event<K>>
    where
        K: Resource<DynamicType = ()>,
    {
        stream.filter_map(move |event| {
            let event = match event {
                Ok(event) => self.unguard(event),
                Err(error) => {
                    self.metrics.watch_errors.inc();
                    tracing::warn!(kind = %K::kind(&()), error = %crate::errors::chain(&error), "a watch failed and is tried again");
                    None
                }
            };
            std::future::ready(event)
        })
    }

    fn unguard<K: Resource<DynamicType = ()>>(&self, event: Event<DeserializeGuard<K>>) -> Option<Event<K>> {
        let open = |guard: DeserializeGuard<K>| match guard.0 {
            Ok(mut object) => {
                object.meta_mut().managed_fields = None;
                Some(object)
            }
            Err(invalid) => {
                self.metrics.unreadable_objects.inc();
                let (namespace, name) = (invalid.metadata.namespace.as_deref(), invalid.metadata.name.as_deref());
                tracing::error!(kind = %K::kind(&()), namespace, name, error = %invalid.error, "an object cannot be read and is left out");
                None
            }
        };
        match event {
            Event::Apply(guard) => open(guard).map(Event::Apply),
            Event::Delete(guard) => open(guard).map(Event::Delete),
            Event::Init => Some(Event::Init),
            Event::InitApply(guard) => open(guard).map(Event::InitApply),
            Event::InitDone => Some(Event::InitDone),
        }
    }
}

/// Labels of a namespace.
#[must_use]
pub fn namespace_labels(namespaces: &Store<Namespace>, name: &str) -> std::collections::BTreeMap<String, String> {
    let namespace = namespaces.get(&kube::runtime::reflector::ObjectRef::new(name));
    namespace.map(|namespace| namespace.labels().clone()).unwrap_or_default()
}
