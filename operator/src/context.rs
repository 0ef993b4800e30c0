//! What a leader works with. Made anew with each leadership, so nothing of an old one survives.

use crate::caches::Caches;
use crate::changes::Changes;
use crate::events::Events;
use crate::identities::Identities;
use crate::lease::{Leadership, NotLeader};
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::nodes::{Fleet, NodeView};
use crate::overlay::Overlay;
use crate::planner::{FleetView, PodKey, PodView, PoolView};
use crate::pods;
use crate::settings::Settings;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use plenum_api::{RelayPool, Room};
use plenum_protocol::control::NodeConfig;
use plenum_runtime::client::ControlClient;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What a leader works with.
pub struct Context {
    /// Kubernetes.
    pub client: kube::Client,
    /// What the operator was told at its start.
    pub settings: Settings,
    /// What the watches have shown.
    pub caches: Caches,
    /// Who is bound where.
    pub ledger: Mutex<Ledger>,
    /// Rooms as written here.
    pub rooms: Overlay<Room>,
    /// Pools as written here.
    pub pools: Overlay<RelayPool>,
    /// How often statuses of pools are written.
    pub pool_pace: crate::pools::Pace,
    /// Media pods as written here.
    pub pods: Overlay<Pod>,
    /// Media pods as they answer.
    pub fleet: Fleet,
    /// The right to write.
    pub leadership: Arc<Leadership>,
    /// Calls to media pods and gateways.
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
        self.leadership.check(Instant::now())
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

    /// A media pod by key, as new as it is known.
    #[must_use]
    pub fn pod(&self, key: &PodKey) -> Option<Arc<Pod>> {
        let shown = self.caches.pods.get(&ObjectRef::new(&key.name).within(&key.namespace))?;
        Some(self.pods.newest(shown))
    }

    /// All media pods, those included that were made a moment ago.
    #[must_use]
    pub fn media_pods(&self) -> Vec<Arc<Pod>> {
        self.pods.merged(self.caches.pods.state(), Instant::now())
    }

    /// What a media pod is to be configured with; `None` while its address for clients is not known.
    #[must_use]
    pub fn node_config(&self, pod: &Pod) -> Option<NodeConfig> {
        let pool = self.pool(&pod.namespace()?, pods::pool_of(pod)?)?;
        let node = self.node(pod.spec.as_ref()?.node_name.as_deref()?)?;
        let outside = crate::pools::address::outside(&pool.spec.exposure.address, &node).ok()?;
        Some(NodeConfig {
            outside_addresses: outside.addresses,
            max_participants: u32::try_from(pool.spec.capacity.per_pod.participants).unwrap_or(0),
            accepting: !pods::is_draining(pod) && !pods::is_terminating(pod),
        })
    }

    /// All pools and pods as the planner sees them.
    #[must_use]
    pub fn fleet_view(&self, ledger: &Ledger, now: Timestamp) -> FleetView {
        let pools: Vec<Arc<RelayPool>> =
            self.caches.pools.state().into_iter().filter(|pool| pool.metadata.deletion_timestamp.is_none()).collect();
        let pods = self.media_pods().iter().filter_map(|pod| self.pod_view(pod, ledger, now)).collect();
        FleetView { pools: pools.iter().map(|pool| pool_view(pool)).collect(), pods }.sorted()
    }

    fn pod_view(&self, pod: &Pod, ledger: &Ledger, now: Timestamp) -> Option<PodView> {
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
        per_pod: i64::from(pool.spec.capacity.per_pod.participants),
    }
}
