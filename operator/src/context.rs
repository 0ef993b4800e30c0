//! What an operator works with, before and while it leads. A process leads once at most, so nothing of an old leadership
//! survives.

use crate::caches::Caches;
use crate::changes::Changes;
use crate::clock::Clock;
use crate::events::Events;
use crate::identities::Identities;
use crate::lease::{Leadership, NotLeader};
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::nodes::{Fleet, NodeView};
use crate::overlay::Overlay;
use crate::planner::{FleetView, PodKey, PodView, PoolView, RelayPoolView};
use crate::pods;
use crate::pools::address::{self, NoAddress, Outside};
use crate::pools::service;
use crate::relays::config::RelayPlace;
use crate::relays::join::Relayed;
use crate::relays::pool::TurnPool;
use crate::relays::surroundings::{Placed, Surroundings};
use crate::relays::{self, Relays};
use crate::settings::Settings;
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use plenum_api::pool::{ExposureType, Role};
use plenum_api::{RelayPool, Room};
use plenum_protocol::control::NodeConfig;
use plenum_protocol::relay::RelayConfig;
use plenum_runtime::client::ControlClient;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What an operator works with.
pub struct Context {
    /// Kubernetes.
    pub client: kube::Client,
    /// What the operator was told at its start.
    pub settings: Settings,
    /// What the watches have shown.
    pub caches: Caches,
    /// By which rooms are judged.
    pub clock: Clock,
    /// Who is bound where.
    pub ledger: Mutex<Ledger>,
    /// Rooms as written here.
    pub rooms: Overlay<Room>,
    /// Pools as written here.
    pub pools: Overlay<RelayPool>,
    /// How often statuses of pools are written.
    pub pool_pace: crate::pools::Pace,
    /// Pods of pools as written here.
    pub pods: Overlay<Pod>,
    /// Pods of pools as they answer.
    pub fleet: Fleet,
    /// TURN pods as a whole.
    pub relays: Relays,
    /// The right to write.
    pub leadership: Arc<Leadership>,
    /// Calls to pods of pools and gateways.
    pub control: ControlClient,
    /// Where news goes.
    pub changes: Changes,
    /// Kubernetes events.
    pub events: Events,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Certificates.
    pub identities: Identities,
}

impl Context {
    /// The ledger; never held across an await.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this process may write now. Called before every write.
    ///
    /// # Errors
    /// [`NotLeader`].
    pub fn may_write(&self) -> Result<(), NotLeader> {
        self.leadership.check(Instant::now()).map(drop)
    }

    /// A pool by namespace and name.
    #[must_use]
    pub fn pool(&self, namespace: &str, name: &str) -> Option<Arc<RelayPool>> {
        self.caches.pools.get(&ObjectRef::new(name).within(namespace))
    }

    /// A node by name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<Arc<Node>> {
        self.caches.nodes.get(&ObjectRef::new(name))
    }

    /// Uid of a namespace, once its watch has shown it.
    #[must_use]
    pub fn namespace_uid(&self, name: &str) -> Option<String> {
        self.caches.namespaces.get(&ObjectRef::new(name))?.metadata.uid.clone()
    }

    /// A pod of a pool by key, as new as it is known.
    #[must_use]
    pub fn pod(&self, key: &PodKey) -> Option<Arc<Pod>> {
        match self.caches.pods.get(&ObjectRef::new(&key.name).within(&key.namespace)) {
            Some(shown) => Some(self.pods.newest(shown)),
            None => self.pods.unshown(&(key.namespace.clone(), key.name.clone()), Instant::now()),
        }
    }

    /// All pods of pools, those included that were made a moment ago.
    #[must_use]
    pub fn pool_pods(&self) -> Vec<Arc<Pod>> {
        self.pods.merged(self.caches.pods.state(), Instant::now())
    }

    /// Those of them that are media pods.
    #[must_use]
    pub fn media_pods(&self) -> Vec<Arc<Pod>> {
        let mut pods = self.pool_pods();
        pods.retain(|pod| pods::role_of(pod) == Some(Role::Media));
        pods
    }

    /// A Service of a TURN pool.
    #[must_use]
    pub fn service(&self, namespace: &str, name: &str) -> Option<Arc<Service>> {
        self.caches.services.get(&ObjectRef::new(name).within(namespace))
    }

    /// What clients are told of a pool with exposure LoadBalancer.
    ///
    /// # Errors
    /// The cluster has given its Service no address so far.
    pub fn balancer(&self, pool: &RelayPool) -> Result<Outside, NoAddress> {
        let name = service::name_of(&pool.name_any());
        let service = self.service(&pool.namespace().unwrap_or_default(), &name);
        address::of_service(&pool.spec.exposure.address, &name, service.as_deref())
    }

    /// What clients are told of a pod; `None` while it has no node.
    #[must_use]
    pub fn outside(&self, pod: &Pod, pool: &RelayPool) -> Option<Result<Outside, NoAddress>> {
        if pool.spec.exposure.kind == ExposureType::LoadBalancer {
            return Some(self.balancer(pool));
        }
        let node = self.node(pod.spec.as_ref()?.node_name.as_deref()?)?;
        Some(address::of_node(&pool.spec.exposure.address, &node))
    }

    /// What pods must know of each other, as of now.
    #[must_use]
    pub fn surroundings_now(&self) -> Surroundings {
        let placed: Vec<Placed> = self.pool_pods().into_iter().filter_map(|pod| self.placed(pod)).collect();
        let nodes = self.caches.nodes.state();
        let balancers = self.caches.services.state();
        let told = balancers.iter().flat_map(|service| address::of_balancer(service));
        let others: Vec<IpAddr> = told.chain(self.settings.api_server.parse().ok()).collect();
        Surroundings::of(&placed, &nodes, &others)
    }

    fn surroundings(&self) -> Arc<Surroundings> {
        self.relays.surroundings(|| self.surroundings_now())
    }

    fn placed(&self, pod: Arc<Pod>) -> Option<Placed> {
        let key = pods::key_of(&pod)?;
        let pool = self.pool(&key.namespace, pods::pool_of(&pod)?)?;
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).and_then(|name| self.node(name));
        let outside = self.outside(&pod, &pool).and_then(Result::ok);
        Some(Placed { key, pod, pool, node, outside })
    }

    /// How a room's relayed participants reach their relays.
    #[must_use]
    pub fn relayed(&self, from: &[SocketAddr]) -> Relayed {
        if from.is_empty() {
            return Relayed::default();
        }
        Relayed::join(from, &self.surroundings().sources, |key, port| self.fleet.transport(key, port))
    }

    /// What a TURN pod is to be configured with; `None` while its address for clients or its secret is not known.
    #[must_use]
    pub fn relay_config(&self, pod: &Pod) -> Option<RelayConfig> {
        let key = pods::key_of(pod)?;
        let pool = self.pool(&key.namespace, pods::pool_of(pod)?)?;
        let turn = TurnPool::of(&pool.spec).ok()?;
        let outside = self.outside(pod, &pool)?.ok()?;
        let secrets = self.relays.auth.known(&key.namespace, &turn.auth_secret)?.secrets;
        let place = RelayPlace {
            inside: *pods::addresses(pod).first()?,
            outside: &outside,
            accepting: !pods::is_draining(pod) && !pods::is_terminating(pod),
        };
        relays::config::config(&place, &turn, &secrets, &self.surroundings())
    }

    /// What a media pod is to be configured with; `None` while its address for clients is not known.
    #[must_use]
    pub fn node_config(&self, pod: &Pod) -> Option<NodeConfig> {
        let pool = self.pool(&pod.namespace()?, pods::pool_of(pod)?)?;
        let outside = self.outside(pod, &pool)?.ok()?;
        Some(NodeConfig {
            outside_addresses: outside.addresses,
            max_participants: u32::try_from(pool.spec.capacity.per_pod.participants()).unwrap_or(0),
            accepting: !pods::is_draining(pod) && !pods::is_terminating(pod),
            relays: self.surroundings().sources.clone(),
        })
    }

    /// All pools of role Media and their pods as the planner sees them.
    #[must_use]
    pub fn fleet_view(&self, ledger: &Ledger, now: Timestamp) -> FleetView {
        let pods = self.media_pods().iter().filter_map(|pod| self.pod_view(pod, ledger, now)).collect();
        FleetView { pools: self.pools_of(Role::Media).map(|pool| pool_view(&pool)).collect(), pods }.sorted()
    }

    /// All pools of role TURN as the planner sees them, by namespace and name.
    #[must_use]
    pub fn relay_pools(&self) -> Vec<RelayPoolView> {
        let view = |pool: Arc<RelayPool>| RelayPoolView {
            ready: self.relays.ready(&pool.namespace().unwrap_or_default(), &pool.name_any()),
            // Only there are relay ports ports of the node.
            reachable: pool.spec.exposure.kind == ExposureType::HostNetwork,
            pool: pool_view(&pool),
        };
        let mut views: Vec<RelayPoolView> = self.pools_of(Role::Turn).map(view).collect();
        views.sort_by(|a, b| (&a.pool.namespace, &a.pool.name).cmp(&(&b.pool.namespace, &b.pool.name)));
        views
    }

    /// Pools of a role that are not being deleted.
    fn pools_of(&self, role: Role) -> impl Iterator<Item = Arc<RelayPool>> {
        let pools = self.caches.pools.state().into_iter();
        pools.filter(move |pool| pool.spec.role == role && pool.metadata.deletion_timestamp.is_none())
    }

    /// A pod as the planner sees it; `None`: there is none, or its pool is gone.
    #[must_use]
    pub fn pod_view(&self, pod: &Pod, ledger: &Ledger, now: Timestamp) -> Option<PodView> {
        let key = pods::key_of(pod)?;
        let pool = self.pool(&key.namespace, pods::pool_of(pod)?)?;
        let node: NodeView = self.fleet.view(&key);
        let load = ledger.pod_load(&key);
        let drain = i64::from(pool.spec.drain.timeout_seconds);
        Some(PodView {
            pool: pool.name_any(),
            region: pool.spec.region.clone(),
            state: pods::state_of(pod, &node, drain, now),
            starting: pods::is_starting(pod, &node, now),
            boot: node.boot,
            rooms: load.rooms,
            used: load.used,
            key,
        })
    }
}

fn pool_view(pool: &RelayPool) -> PoolView {
    PoolView {
        namespace: pool.namespace().unwrap_or_default(),
        name: pool.name_any(),
        region: pool.spec.region.clone(),
        labels: pool.labels().clone(),
        allowed: pool.spec.allowed_rooms.namespaces.clone(),
        per_pod: i64::from(pool.spec.capacity.per_pod.participants()),
    }
}
