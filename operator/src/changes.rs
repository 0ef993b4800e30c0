//! News from watches, pods and gateways, and what is reconciled because of it.

use crate::context::Context;
use crate::ledger::uid_of;
use crate::planner::PodKey;
use crate::pods;
use crate::relays::Keeper;
use k8s_openapi::api::core::v1::{Node as KubeNode, Pod, Service};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use plenum_api::pool::{NamespacesFrom, Role};
use plenum_api::{RelayPool, Room, names};
use plenum_protocol::ids::{RoomName, RoomUid};
use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How much news may wait; senders wait when it is full.
const BACKLOG: usize = 4_096;

/// How long a new leader waits for the first answers of all pods.
const SOUNDING: Duration = Duration::from_secs(1);

/// One piece of news.
pub enum Change {
    /// A Room was made or changed.
    Room(Arc<Room>),
    /// A Room is gone.
    RoomDeleted(Arc<Room>),
    /// All Rooms were listed anew.
    RoomsListed,
    /// A RelayPool was made or changed.
    Pool(Arc<RelayPool>),
    /// A RelayPool is gone.
    PoolDeleted(Arc<RelayPool>),
    /// All RelayPools were listed anew.
    PoolsListed,
    /// A media pod was made or changed.
    Pod(Arc<Pod>),
    /// A media pod is gone.
    PodDeleted(Arc<Pod>),
    /// All media pods were listed anew.
    PodsListed,
    /// The Service of a TURN pool was made, changed or deleted.
    Service(Arc<Service>),
    /// Other pools have ready relays.
    Relays,
    /// Gateways came or went.
    Gateways,
    /// A node changed; unset: one is gone, or all were listed anew.
    Nodes(Option<Arc<KubeNode>>),
    /// Namespaces changed.
    Namespaces,
    /// A pod said something new about these rooms.
    Reported(Vec<RoomName>),
    /// A pod began or ceased to serve, started again, or died.
    Node(PodKey),
    /// Rooms of this pod are to be looked at again.
    RoomsOf(PodKey),
    /// Somebody wants to join.
    Wanted(RoomName),
}

/// Where news goes.
#[derive(Clone)]
pub struct Changes(mpsc::Sender<Change>);

impl Changes {
    /// A bounded way for news.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Change>) {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        (Self(sender), receiver)
    }

    /// Waits while the backlog is full. News after the end of a leadership is of no use and dropped.
    pub async fn send(&self, change: Change) {
        if self.0.send(change).await.is_err() {
            tracing::debug!("news after the end of the leadership");
        }
    }
}

/// Turns news into objects to reconcile.
pub struct Dispatcher {
    context: Arc<Context>,
    rooms: mpsc::Sender<ObjectRef<Room>>,
    pools: mpsc::Sender<ObjectRef<RelayPool>>,
    had_gateway: bool,
    /// Digest of what rooms see of TURN pools.
    relays: u64,
    /// Digests of what pools look at, by node.
    faces: HashMap<String, u64>,
}

/// Digest of a node's addresses, region and zone.
fn face_of(node: &KubeNode) -> u64 {
    let mut hasher = DefaultHasher::new();
    for address in node.status.iter().filter_map(|status| status.addresses.as_ref()).flatten() {
        (&address.type_, &address.address).hash(&mut hasher);
    }
    for label in [names::TOPOLOGY_REGION, names::TOPOLOGY_ZONE] {
        node.labels().get(label).hash(&mut hasher);
    }
    hasher.finish()
}

impl Dispatcher {
    /// `rooms` and `pools` feed the reconcilers.
    #[must_use]
    pub fn new(
        context: Arc<Context>,
        rooms: mpsc::Sender<ObjectRef<Room>>,
        pools: mpsc::Sender<ObjectRef<RelayPool>>,
    ) -> Self {
        let had_gateway = context.caches.has_gateway();
        Self { context, rooms, pools, had_gateway, relays: 0, faces: HashMap::new() }
    }

    /// Follows pods and bindings and does nothing else, until this process leads: who is dead, and which rooms it has, is
    /// known then. The caches must hold whole lists already.
    pub async fn stand_by(&self, changes: &mut mpsc::Receiver<Change>) {
        self.follow_all();
        self.learn_all();
        loop {
            let change = tokio::select! {
                () = self.context.leadership.taken() => return,
                change = changes.recv() => change,
            };
            match change {
                Some(Change::Pod(pod)) => crate::nodes::follow(&self.context, &pod),
                Some(Change::PodDeleted(pod)) => self.farewell(&pod),
                Some(Change::PodsListed) => self.follow_all(),
                Some(Change::Room(room)) => drop(self.learn(room)),
                Some(Change::RoomDeleted(room)) => self.room_deleted(&room),
                Some(Change::RoomsListed) => drop(self.learn_all()),
                Some(_) => {}
                None => return self.context.leadership.taken().await,
            }
        }
    }

    fn follow_all(&self) {
        let shown = self.context.caches.pods.state();
        shown.iter().for_each(|pod| crate::nodes::follow(&self.context, pod));
        self.farewell_to_all_but(&shown);
    }

    /// Pods that went while no watch was running.
    fn farewell_to_all_but(&self, shown: &[Arc<Pod>]) -> Vec<PodKey> {
        let present: BTreeSet<PodKey> = shown.iter().filter_map(|pod| pods::key_of(pod)).collect();
        let fleet = &self.context.fleet;
        let gone: Vec<PodKey> = fleet.keys().into_iter().filter(|key| !present.contains(key)).collect();
        gone.iter().for_each(|key| fleet.farewell(key));
        gone
    }

    fn farewell(&self, pod: &Pod) {
        if let Some(key) = pods::key_of(pod) {
            self.context.fleet.farewell(&key);
        }
    }

    /// Leads until the senders are gone: looks at everything once, then at news.
    pub async fn run(mut self, mut changes: mpsc::Receiver<Change>, mut keeper: Keeper) {
        let began = Instant::now();
        self.had_gateway = self.context.caches.has_gateway();
        self.handle(Change::PodsListed).await;
        tokio::join!(self.sound(), keeper.look());
        keeper.round().await;
        self.relays = self.face_of_relays();
        self.handle(Change::RoomsListed).await;
        let (pods, millis) = (self.context.fleet.keys().len(), began.elapsed().as_millis());
        tracing::info!(pods, millis, "every pod was heard or is silent: rooms are judged");
        let lead = async {
            while let Some(change) = changes.recv().await {
                self.handle(change).await;
            }
        };
        tokio::select! {
            () = lead => {}
            () = keeper.run() => {}
        }
    }

    /// A new leader hears the pods once before it judges rooms: a pod that has not said yet what it holds is no reason to
    /// say that there is none. Those that were silent before are not waited for.
    async fn sound(&self) {
        let deadline = Instant::now() + SOUNDING;
        while !self.context.fleet.is_sounded() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn handle(&mut self, change: Change) {
        match change {
            Change::Room(room) => self.room(room).await,
            Change::RoomDeleted(room) => self.room_deleted(&room),
            Change::RoomsListed => self.rooms_listed().await,
            Change::Pool(pool) => {
                self.queue_pool(ObjectRef::from_obj(self.context.pools.seen(pool).as_ref())).await;
                self.queue_unbound().await;
                self.relays().await;
            }
            Change::PoolDeleted(pool) => {
                self.context.pools.gone(&pool);
                self.queue_unbound().await;
                self.relays().await;
            }
            Change::PoolsListed => {
                self.queue_all_pools().await;
                self.relays().await;
            }
            Change::Service(service) => {
                self.queue_pool_of(service.as_ref()).await;
                self.context.relays.wake();
            }
            Change::Relays => self.relays().await,
            Change::Nodes(node) => self.nodes(node).await,
            Change::Namespaces => {
                self.queue_unbound().await;
                self.relays().await;
            }
            Change::Pod(pod) => self.pod(pod).await,
            Change::PodDeleted(pod) => self.pod_deleted(&pod).await,
            Change::PodsListed => self.pods_listed().await,
            Change::Gateways => self.gateways().await,
            Change::Reported(names) => self.queue_rooms(names).await,
            Change::RoomsOf(key) => self.queue_rooms_of(&key).await,
            Change::Node(key) => self.node(&key).await,
            Change::Wanted(name) => self.queue_rooms(vec![name]).await,
        }
    }

    async fn room(&self, room: Arc<Room>) {
        let newest = self.learn(room);
        self.queue_room(ObjectRef::from_obj(newest.as_ref())).await;
    }

    /// Takes a room's binding, and tells the pod that it left. Returns the room as new as it is known.
    fn learn(&self, room: Arc<Room>) -> Arc<Room> {
        let newest = self.context.rooms.seen(room);
        let left = self.context.ledger().observe(&newest, self.context.clock.instant());
        self.kick(left);
        newest
    }

    fn room_deleted(&self, room: &Room) {
        self.context.rooms.gone(room);
        if let Some(uid) = uid_of(room) {
            self.forget(&uid);
        }
    }

    fn forget(&self, uid: &RoomUid) {
        let left = self.context.ledger().forget(uid, self.context.clock.instant());
        self.kick(left);
    }

    fn kick(&self, left: Option<PodKey>) {
        if let Some(pod) = left {
            self.context.fleet.kick(&pod);
        }
    }

    /// All rooms as the watch has shown them; those that are missing were deleted while no watch was running.
    fn learn_all(&self) -> Vec<Arc<Room>> {
        let rooms = self.context.caches.rooms.state();
        let present: BTreeSet<_> = rooms.iter().filter_map(|room| uid_of(room)).collect();
        let gone = self.context.ledger().missing_from(&present);
        gone.iter().for_each(|uid| self.forget(uid));
        rooms.into_iter().map(|room| self.learn(room)).collect()
    }

    async fn rooms_listed(&self) {
        for room in self.learn_all() {
            self.queue_room(ObjectRef::from_obj(room.as_ref())).await;
        }
    }

    async fn pod(&self, pod: Arc<Pod>) {
        let pod = self.context.pods.seen(pod);
        let Some(key) = pods::key_of(&pod) else { return };
        crate::nodes::follow(&self.context, &pod);
        self.context.relays.wake();
        self.queue_pool_of(pod.as_ref()).await;
        if pods::is_terminating(&pod) || pods::is_finished(&pod) || pods::is_draining(&pod) {
            self.queue_rooms_of(&key).await;
        }
    }

    async fn pod_deleted(&self, pod: &Pod) {
        self.context.pods.gone(pod);
        let Some(key) = pods::key_of(pod) else { return };
        self.context.fleet.farewell(&key);
        self.context.relays.wake();
        self.queue_pool_of(pod).await;
        self.queue_rooms_of(&key).await;
    }

    async fn pods_listed(&self) {
        let shown = self.context.caches.pods.state();
        for key in self.farewell_to_all_but(&shown) {
            self.queue_rooms_of(&key).await;
        }
        for pod in shown {
            self.pod(pod).await;
        }
        self.queue_all_pools().await;
    }

    /// Rooms name the TURN pools that they may use and say whether those have relays: not which pods they are.
    async fn relays(&mut self) {
        self.context.relays.wake();
        let face = self.face_of_relays();
        if std::mem::replace(&mut self.relays, face) != face {
            self.queue_all_rooms().await;
        }
    }

    fn face_of_relays(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let pools = self.context.caches.pools.state();
        let mut relays: Vec<_> = pools.iter().filter(|pool| pool.spec.role == Role::Turn).collect();
        relays.sort_by_key(|pool| (pool.namespace(), pool.name_any()));
        for pool in &relays {
            let (namespace, name) = (pool.namespace().unwrap_or_default(), pool.name_any());
            let allowed = &pool.spec.allowed_rooms.namespaces;
            let leaves = pool.metadata.deletion_timestamp.is_some();
            (self.context.relays.ready(&namespace, &name) > 0, leaves, pool.labels()).hash(&mut hasher);
            (
                namespace,
                name,
                &pool.spec.region,
                &pool.spec.exposure.kind,
                allowed.from,
                format!("{:?}", allowed.selector),
            )
                .hash(&mut hasher);
        }
        if relays.iter().any(|pool| pool.spec.allowed_rooms.namespaces.from == NamespacesFrom::Selector) {
            let mut namespaces = self.context.caches.namespaces.state();
            namespaces.sort_by_key(|namespace| namespace.name_any());
            namespaces.iter().for_each(|namespace| (namespace.name_any(), namespace.labels()).hash(&mut hasher));
        }
        hasher.finish()
    }

    /// Kubelets write their nodes' status every few seconds: only what pools look at counts.
    async fn nodes(&mut self, node: Option<Arc<KubeNode>>) {
        let Some(node) = node else {
            self.faces.clear();
            self.context.relays.wake();
            return self.queue_all_pools().await;
        };
        let face = face_of(&node);
        if self.faces.insert(node.name_any(), face) != Some(face) {
            self.context.relays.wake();
            self.queue_all_pools().await;
        }
    }

    async fn gateways(&mut self) {
        let has_gateway = self.context.caches.has_gateway();
        if std::mem::replace(&mut self.had_gateway, has_gateway) != has_gateway {
            self.queue_all_rooms().await;
        }
    }

    async fn queue_all_rooms(&self) {
        for room in self.context.caches.rooms.state() {
            self.queue_room(ObjectRef::from_obj(room.as_ref())).await;
        }
    }

    /// A pod that serves now may take rooms that wait; one that does not may have to give up its own.
    async fn node(&self, key: &PodKey) {
        self.context.relays.wake();
        if let Some(pod) = self.context.pod(key) {
            self.queue_pool_of(pod.as_ref()).await;
            if pods::role_of(&pod) == Some(Role::Turn) {
                return;
            }
        }
        self.queue_rooms_of(key).await;
        self.queue_unbound().await;
        if self.context.fleet.view(key).serves {
            self.queue_enduring(key).await;
        }
    }

    /// Rooms whose own pod leaves or is lost and that found no other place so far.
    async fn queue_enduring(&self, newcomer: &PodKey) {
        for pod in self.context.media_pods() {
            let Some(key) = pods::key_of(&pod).filter(|key| key != newcomer) else { continue };
            let view = self.context.fleet.view(&key);
            if view.dead || pods::is_terminating(&pod) || pods::is_draining(&pod) {
                self.queue_rooms_of(&key).await;
            }
        }
    }

    async fn queue_rooms_of(&self, key: &PodKey) {
        let names = self.context.ledger().rooms_on(key);
        self.queue_rooms(names).await;
    }

    async fn queue_unbound(&self) {
        let names = self.context.ledger().unbound();
        self.queue_rooms(names).await;
    }

    async fn queue_rooms(&self, names: Vec<RoomName>) {
        for RoomName { namespace, name } in names {
            self.queue_room(ObjectRef::new(&name).within(&namespace)).await;
        }
    }

    async fn queue_all_pools(&self) {
        for pool in self.context.caches.pools.state() {
            self.queue_pool(ObjectRef::from_obj(pool.as_ref())).await;
        }
    }

    /// The pool of a pod or Service.
    async fn queue_pool_of<K: ResourceExt>(&self, object: &K) {
        if let (Some(namespace), Some(pool)) = (object.namespace(), object.labels().get(names::LABEL_POOL)) {
            self.queue_pool(ObjectRef::new(pool).within(&namespace)).await;
        }
    }

    async fn queue_room(&self, room: ObjectRef<Room>) {
        if self.rooms.send(room).await.is_err() {
            tracing::debug!("the room reconciler has ended");
        }
    }

    async fn queue_pool(&self, pool: ObjectRef<RelayPool>) {
        if self.pools.send(pool).await.is_err() {
            tracing::debug!("the pool reconciler has ended");
        }
    }
}
