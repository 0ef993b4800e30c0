//! What the planner sees of pools, pods and rooms.

use plenum_api::pool::{AllowedNamespaces, NamespacesFrom};
use plenum_api::room::{Binding, Lifecycle, RelayPolicy, Strategy, Topology};
use plenum_api::selector::Selector;
use plenum_protocol::ids::BootId;
use std::collections::BTreeMap;
use std::fmt;

/// Namespace and name of a pool's pod.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodKey {
    /// Namespace, also of its pool.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl fmt::Display for PodKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Where a media pod stands, as far as placement goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodState {
    /// Takes rooms.
    Ready,
    /// Not yet, or not at the moment: no configuration, or a poll was missed.
    NotReady,
    /// Leaves when it is empty.
    Draining,
    /// Leaves, and its time is up: its rooms are to go now.
    DrainExpired,
    /// Is being deleted.
    Terminating,
    /// Dead: neither the leader nor a gateway can reach it, or its containers ended for good.
    Lost,
}

/// A media pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodView {
    /// Which.
    pub key: PodKey,
    /// Its pool, in its namespace.
    pub pool: String,
    /// Region of the pool.
    pub region: String,
    /// Start of its process that answered last; `None` before the first answer.
    pub boot: Option<BootId>,
    /// Where it stands.
    pub state: PodState,
    /// Was made a moment ago and does not serve yet: worth a short wait for a room that it would be nearest to.
    pub starting: bool,
    /// Rooms bound to it.
    pub rooms: u32,
    /// Participants reserved by or in those rooms.
    pub used: i64,
}

/// A pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolView {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Region.
    pub region: String,
    /// Labels of the RelayPool.
    pub labels: BTreeMap<String, String>,
    /// Whose rooms it takes.
    pub allowed: AllowedNamespaces,
    /// Participants that one pod takes.
    pub per_pod: i64,
}

/// A pool of role TURN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayPoolView {
    /// The pool.
    pub pool: PoolView,
    /// Its relays that are ready.
    pub ready: u32,
    /// Clients outside the cluster reach its relayed addresses, so it can serve one of two peers while the other is direct.
    pub reachable: bool,
}

impl PoolView {
    /// Whether rooms of `namespace`, which has `labels`, may use the pool.
    #[must_use]
    pub fn admits(&self, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        match self.allowed.from {
            NamespacesFrom::Same => self.namespace == namespace,
            NamespacesFrom::All => true,
            NamespacesFrom::Selector => self.allowed.selector.as_ref().is_some_and(|selector| selector.matches(labels)),
        }
    }
}

/// All pools and media pods, each sorted by namespace and name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FleetView {
    /// Pools of role Media that are not being deleted.
    pub pools: Vec<PoolView>,
    /// Their pods.
    pub pods: Vec<PodView>,
}

impl FleetView {
    /// Sorts both lists, so that the order of maps never leaks into a plan.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.pools.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        self.pods.sort_by(|a, b| a.key.cmp(&b.key));
        self
    }

    /// A pod by key.
    #[must_use]
    pub fn pod(&self, key: &PodKey) -> Option<&PodView> {
        self.pods.iter().find(|pod| pod.key == *key)
    }
}

/// A room whose spec makes sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidRoom {
    /// Namespace.
    pub namespace: String,
    /// Labels of the namespace.
    pub namespace_labels: BTreeMap<String, String>,
    /// What it asks for.
    pub topology: Topology,
    /// A third person may turn it from peer to peer into one with a media server.
    pub upgrade: bool,
    /// Which pools it wants.
    pub selector: Selector,
    /// When its clients go by relays.
    pub relay_policy: RelayPolicy,
    /// Which pools of role TURN it wants.
    pub relay_selector: Selector,
    /// Only these regions; empty: any.
    pub allowed_regions: Vec<String>,
    /// Where people are expected.
    pub expected: BTreeMap<String, i64>,
    /// What is preferred.
    pub strategy: Strategy,
    /// When it is bound.
    pub binding: Binding,
    /// When it ends by itself, and when it is deleted.
    pub lifecycle: Lifecycle,
    /// Wanted open.
    pub open: bool,
}

impl ValidRoom {
    /// Whether its media and relays may be in `region`.
    #[must_use]
    pub fn allows(&self, region: &str) -> bool {
        self.allowed_regions.is_empty() || self.allowed_regions.iter().any(|allowed| allowed == region)
    }

    /// Participants that the room reserves on its pod.
    #[must_use]
    pub fn reserve(&self) -> i64 {
        self.expected.values().sum::<i64>().max(1)
    }
}
