//! Step 1: the pool as new as it is known, and its pods with what rooms or allocations take of them.

use crate::context::Context;
use crate::ledger::PodLoad;
use crate::nodes::NodeView;
use crate::planner::{PodKey, PoolPod};
use crate::pods;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use plenum_api::pool::Role;
use plenum_api::{RelayPool, names};
use std::sync::Arc;

/// One pod of the pool.
pub(super) struct ObservedPod {
    pub(super) key: PodKey,
    pub(super) pod: Arc<Pod>,
    pub(super) view: NodeView,
    pub(super) load: PodLoad,
}

/// What was seen of one pool.
pub(super) struct Observed {
    pub(super) pool: Arc<RelayPool>,
    pub(super) namespace: String,
    pub(super) pods: Vec<ObservedPod>,
    /// The pods as the planner sees them, by name.
    pub(super) planned: Vec<PoolPod>,
}

/// `None`: nothing to do, since the pool is being deleted: garbage collection takes its pods.
pub(super) fn observe(context: &Context, pool: Arc<RelayPool>) -> Option<Observed> {
    let pool = context.pools.newest(pool);
    if pool.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let namespace = pool.namespace()?;
    let uid = pool.uid()?;
    let mut found = Vec::new();
    let all = context.pool_pods();
    let ledger = context.ledger();
    for pod in all {
        let mine = pod.owner_references().iter().any(|owner| owner.controller == Some(true) && owner.uid == uid);
        let Some(key) = pods::key_of(&pod).filter(|key| mine && key.namespace == namespace) else { continue };
        let view = context.fleet.view(&key);
        let load = match pool.spec.role {
            Role::Media => ledger.pod_load(&key),
            Role::Turn => relay_load(&pod, &view),
        };
        found.push(ObservedPod { key, pod, view, load });
    }
    drop(ledger);
    let planned = found.iter().map(ObservedPod::planner_pod).collect();
    Some(Observed { pool, namespace, pods: found, planned })
}

/// Allocations of a TURN pod. One that serves and has not told this leader how many it has is not empty.
fn relay_load(pod: &Pod, view: &NodeView) -> PodLoad {
    let untold = i64::from(pods::is_ready(pod));
    let allocations = if view.dead { 0 } else { view.allocations.unwrap_or(untold) };
    PodLoad { rooms: 0, used: allocations, participants: allocations }
}

impl ObservedPod {
    /// Ready for clients: Kubernetes says so, and the leader has not found it dead.
    pub(super) fn is_ready(&self) -> bool {
        pods::is_ready(&self.pod) && !self.view.dead
    }

    fn planner_pod(&self) -> PoolPod {
        let slot = pods::slot_of(&self.pod);
        let revision = self.pod.annotations().get(names::ANNOTATION_REVISION).cloned().unwrap_or_default();
        PoolPod {
            name: self.key.name.clone(),
            slot,
            draining_since: pods::draining_since(&self.pod),
            terminating: pods::is_terminating(&self.pod),
            finished: pods::is_finished(&self.pod) && !pods::is_terminating(&self.pod),
            ready: self.is_ready(),
            unschedulable: pods::is_unschedulable(&self.pod),
            lingers: self.load.rooms > 0 || pods::role_of(&self.pod) == Some(Role::Turn),
            revision: if slot.is_some() { revision } else { String::new() },
            rooms: self.load.rooms,
            participants: self.load.participants,
            created: self.pod.creation_timestamp().map_or(0, |time| time.0.as_second()),
        }
    }
}
