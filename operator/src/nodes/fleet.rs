//! All pods that are spoken with: starting and ending their tasks, and asking them things.

use super::state::State;
use crate::context::Context;
use crate::planner::PodKey;
use crate::pods;
use k8s_openapi::api::core::v1::Pod;
use plenum_api::pool::Role;
use plenum_protocol::control::{Grant, MAX_GRANTS, node_san};
use plenum_protocol::ids::BootId;
use plenum_protocol::relay::RelaySecret;
use plenum_protocol::turn::RelayTransport;
use plenum_runtime::client::Target;
use plenum_runtime::shutdown::Shutdown;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, mpsc, oneshot};

/// What others may know of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeView {
    /// Start of its process that answered last.
    pub boot: Option<BootId>,
    /// Takes rooms or allocations.
    pub serves: bool,
    /// Holds a configuration.
    pub configured: bool,
    /// Called dead.
    pub dead: bool,
    /// Addresses that clients are told, of a media pod.
    pub outside: Vec<String>,
    /// How many allocations a TURN pod has; unset while it has not said so.
    pub allocations: Option<i64>,
    /// The shared secret that a TURN pod has taken: credentials are made with no other.
    pub secret: Option<RelaySecret>,
}

/// Why a grant was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// The pod is not spoken with, or too much waits for it.
    #[error("the media pod is not spoken with at the moment")]
    Unavailable,
    /// The pod refused or did not answer.
    #[error("the media pod did not take it: {0}")]
    Refused(String),
    /// The pod answered, and does not hold the room: it drains, is full, or has ended that epoch before.
    #[error("the media pod declined it")]
    Declined,
    /// Another start of the pod answered.
    #[error("the media pod has started again")]
    Restarted,
}

/// A grant on its way, and who waits for the answer.
pub(super) struct PendingGrant {
    pub(super) grant: Grant,
    pub(super) boot: BootId,
    pub(super) done: oneshot::Sender<Result<(), GrantError>>,
}

/// One pod that is spoken with.
pub(super) struct Node {
    pub(super) key: PodKey,
    pub(super) role: Role,
    pub(super) target: Target,
    pub(super) kick: Notify,
    /// Its Pod object is gone: speak with it only until it holds nothing any more.
    pub(super) leaving: AtomicBool,
    state: Mutex<State>,
    grants: mpsc::Sender<PendingGrant>,
}

impl Node {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All pods that are spoken with.
pub struct Fleet {
    nodes: Mutex<BTreeMap<PodKey, Arc<Node>>>,
    shutdown: Shutdown,
}

impl Fleet {
    /// Nobody yet. Tasks end with `shutdown`.
    #[must_use]
    pub fn new(shutdown: Shutdown) -> Self {
        Self { nodes: Mutex::default(), shutdown }
    }

    fn nodes(&self) -> MutexGuard<'_, BTreeMap<PodKey, Arc<Node>>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn node(&self, key: &PodKey) -> Option<Arc<Node>> {
        self.nodes().get(key).cloned()
    }

    /// Keys of all pods that are spoken with.
    #[must_use]
    pub fn keys(&self) -> Vec<PodKey> {
        self.nodes().keys().cloned().collect()
    }

    /// What is known of a pod.
    #[must_use]
    pub fn view(&self, key: &PodKey) -> NodeView {
        let Some(node) = self.node(key) else { return NodeView::default() };
        let state = node.state();
        let (mut outside, mut allocations, mut secret) = (None, None, None);
        match &*state {
            State::Media(media) => outside = media.config.as_ref().map(|config| config.outside_addresses.clone()),
            State::Turn(relay) => (allocations, secret) = (relay.allocations(), relay.secret().cloned()),
        }
        NodeView {
            boot: state.contact().boot.clone(),
            serves: state.serves(),
            configured: state.is_configured(),
            dead: state.contact().dead,
            outside: outside.unwrap_or_default(),
            allocations,
            secret,
        }
    }

    /// How the client of an allocation reaches its relay, by pod and relay port.
    #[must_use]
    pub fn transport(&self, key: &PodKey, port: u16) -> Option<RelayTransport> {
        match &*self.node(key)?.state() {
            State::Turn(relay) => relay.transport(port),
            State::Media(_) => None,
        }
    }

    /// How many pods are polled, and how many of them missed at least `doubt` polls.
    pub(super) fn crowd(&self, doubt: u32) -> super::health::Crowd {
        let nodes = self.nodes();
        let failing = nodes.values().filter(|node| node.state().contact().missed >= doubt).count();
        super::health::Crowd {
            pods: u32::try_from(nodes.len()).unwrap_or(u32::MAX),
            failing: u32::try_from(failing).unwrap_or(u32::MAX),
        }
    }

    /// Every pod has said what it holds, or missed a poll.
    #[must_use]
    pub fn is_sounded(&self) -> bool {
        self.nodes().values().all(|node| {
            let state = node.state();
            state.contact().is_known() || state.contact().missed > 0
        })
    }

    /// Speak with the pod now: its revocations or its configuration have changed.
    pub fn kick(&self, key: &PodKey) {
        if let Some(node) = self.node(key) {
            node.kick.notify_one();
        }
    }

    /// Speak with all pods of a role now.
    pub fn kick_all(&self, role: Role) {
        self.nodes().values().filter(|node| node.role == role).for_each(|node| node.kick.notify_one());
    }

    /// The Pod object is gone.
    pub fn farewell(&self, key: &PodKey) {
        if let Some(node) = self.node(key) {
            node.leaving.store(true, Ordering::Release);
            node.kick.notify_one();
        }
    }

    pub(super) fn remove(&self, node: &Arc<Node>) {
        let mut nodes = self.nodes();
        if nodes.get(&node.key).is_some_and(|known| Arc::ptr_eq(known, node)) {
            nodes.remove(&node.key);
        }
    }

    /// Sends a grant to that start of the pod and waits until it is acknowledged.
    ///
    /// # Errors
    /// See [`GrantError`].
    pub async fn grant(&self, key: &PodKey, boot: BootId, grant: Grant) -> Result<(), GrantError> {
        let node = self.node(key).ok_or(GrantError::Unavailable)?;
        let (done, answer) = oneshot::channel();
        node.grants.send(PendingGrant { grant, boot, done }).await.map_err(|_| GrantError::Unavailable)?;
        answer.await.map_err(|_| GrantError::Unavailable)?
    }
}

/// Begins to speak with a pod once it has an address; a kick when it is spoken with already.
pub fn follow(context: &Arc<Context>, pod: &Pod) {
    let (Some(key), Some(role), Some(address)) = (pods::key_of(pod), pods::role_of(pod), pods::control_address(pod))
    else {
        return;
    };
    if pods::is_finished(pod) {
        return;
    }
    let target = Target::new(address, node_san(&key.namespace));
    let mut nodes = context.fleet.nodes();
    if let Some(node) = nodes.get(&key)
        && node.target == target
    {
        node.kick.notify_one();
        return;
    }
    let (grants, waiting) = mpsc::channel(MAX_GRANTS);
    let node = Arc::new(Node {
        key: key.clone(),
        role,
        target,
        kick: Notify::new(),
        leaving: AtomicBool::new(false),
        state: Mutex::new(State::new(role)),
        grants,
    });
    if let Some(old) = nodes.insert(key, node.clone()) {
        old.leaving.store(true, Ordering::Release);
        old.kick.notify_one();
    }
    tokio::spawn(super::poll::run(context.clone(), node, waiting, context.fleet.shutdown.clone()));
}
