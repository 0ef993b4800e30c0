//! Step 4: makes, drains, takes back and deletes pods and the balancer's Service, and opens the readiness gate of pods that
//! are configured.

mod balancer;
mod survey;

use super::PoolError;
use super::address::NoAddress;
use super::observe::{Observed, ObservedPod};
use super::validate::{Invalid, ValidPool};
use crate::changes::Change;
use crate::context::Context;
use crate::planner::PoolAction;
use crate::pods;
use crate::relays::pool::TurnPool;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use plenum_api::names;
use plenum_api::pool::{AddressSource, Role};
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;

/// Characters of the random end of a pod's name: no vowels, so that no words come out.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// What is so after this step; a status is made from nothing else.
pub(super) struct Applied {
    pub(super) invalid: Option<Invalid>,
    pub(super) wanted: usize,
    pub(super) active: usize,
    pub(super) ready: usize,
    pub(super) draining: usize,
    pub(super) outdated: usize,
    pub(super) slots: usize,
    pub(super) total: i64,
    pub(super) used: i64,
    /// The API server refused a pod: its words.
    pub(super) refused: Option<String>,
    /// Why pods do not run, in Kubernetes' words.
    pub(super) waiting: Option<String>,
    /// Where addresses come from; the last problem when some have none.
    pub(super) source: Option<AddressSource>,
    pub(super) no_address: Option<NoAddress>,
    /// What keeps the pods from a shared secret, or the pool from a Service.
    pub(super) trouble: Option<Trouble>,
}

/// What a TURN pool lacks, in plain words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// No shared secret.
    Secret(String),
    /// No Service.
    Service(String),
}

impl Applied {
    pub(super) fn invalid(invalid: Invalid) -> Self {
        Self { invalid: Some(invalid), ..Self::empty() }
    }

    fn empty() -> Self {
        Self {
            invalid: None,
            wanted: 0,
            active: 0,
            ready: 0,
            draining: 0,
            outdated: 0,
            slots: 0,
            total: 0,
            used: 0,
            refused: None,
            waiting: None,
            source: None,
            no_address: None,
            trouble: None,
        }
    }
}

/// Applies the planned steps.
pub(super) async fn apply(
    context: &Arc<Context>,
    observed: &Observed,
    valid: &ValidPool,
    actions: Vec<PoolAction>,
) -> Result<Applied, PoolError> {
    let identities = context.identities.ensure_nodes(context, &observed.namespace).await;
    identities.map_err(|source| PoolError::Identity { namespace: observed.namespace.clone(), source })?;
    let mut applied = survey::survey(context, observed, valid);
    if let Some(turn) = valid.turn() {
        balancer::apply(context, observed, turn, &mut applied).await?;
        applied.trouble = secret(context, observed, turn).await?.map(Trouble::Secret).or(applied.trouble);
    }
    let steps = Steps { context, observed, api: Api::namespaced(context.client.clone(), &observed.namespace) };
    for action in actions {
        match action {
            PoolAction::Create(slot) => match steps.create(valid, slot).await {
                Ok(()) => applied.active += 1,
                Err(PoolError::Write { source, .. }) if is_refusal(&source) => {
                    applied.refused = Some(without_name(&crate::errors::chain(&source), observed, slot));
                }
                Err(error) => return Err(error),
            },
            PoolAction::Drain(name) => {
                steps.mark(&name, names::STATE_DRAINING).await?;
                applied.active = applied.active.saturating_sub(1);
                applied.draining += 1;
            }
            PoolAction::Recall(name) => {
                steps.mark(&name, names::STATE_ACTIVE).await?;
                applied.active += 1;
                applied.draining = applied.draining.saturating_sub(1);
            }
            PoolAction::Delete(name) => steps.delete(&name).await?,
        }
    }
    steps.open_gates().await?;
    steps.hurry_expired(valid).await;
    Ok(applied)
}

/// Policies and quotas refuse a pod with 403, its content with 422: trying again at once is of no use.
fn is_refusal(error: &kube::Error) -> bool {
    matches!(crate::errors::code(error), Some(403 | 422))
}

/// Every try has another name: the message must not change with it.
fn without_name(message: &str, observed: &Observed, slot: u16) -> String {
    let start = format!("{}-{slot}-", observed.pool.metadata.name.as_deref().unwrap_or_default());
    let mut text = String::with_capacity(message.len());
    let mut rest = message;
    while let Some((before, after)) = rest.split_once(&start) {
        text.push_str(before);
        text.push_str(&start);
        text.push('*');
        rest = after.trim_start_matches(|letter: char| letter.is_ascii_alphanumeric());
    }
    text.push_str(rest);
    text
}

/// What keeps the pods from their shared secret. Read again here only while something is wrong: a task looks after it.
async fn secret(context: &Context, observed: &Observed, turn: &TurnPool) -> Result<Option<String>, PoolError> {
    let auth = &context.relays.auth;
    let key = (observed.namespace.clone(), turn.auth_secret.clone());
    if auth.known(&key.0, &key.1).is_none_or(|known| known.problem.is_some()) {
        let looked = auth.look(context, &key).await;
        if looked.map_err(|source| failed(observed, "reading the shared secret of RelayPool", source))? {
            context.relays.wake();
        }
    }
    Ok(auth.known(&key.0, &key.1).and_then(|known| known.problem))
}

fn failed(observed: &Observed, what: &'static str, source: kube::Error) -> PoolError {
    let name = format!("{}/{}", observed.namespace, observed.pool.metadata.name.as_deref().unwrap_or(""));
    PoolError::Write { what, name, source }
}

struct Steps<'a> {
    context: &'a Arc<Context>,
    observed: &'a Observed,
    api: Api<Pod>,
}

impl Steps<'_> {
    async fn create(&self, valid: &ValidPool, slot: u16) -> Result<(), PoolError> {
        let what = "making a pod of RelayPool";
        let Some(pod) = valid.blueprint.pod(slot, &random_suffix()) else { return Ok(()) };
        let pod = pod.map_err(|source| self.error(what, kube::Error::SerdeError(source)))?;
        self.context.may_write()?;
        let made = self.api.create(&PostParams::default(), &pod).await.map_err(|source| self.error(what, source))?;
        let name = made.metadata.name.clone().unwrap_or_default();
        self.context.events.normal(self.observed.pool.as_ref(), "PodCreated", format!("pod {name} in slot {slot}"));
        self.context.pods.wrote(Arc::new(made), Instant::now());
        Ok(())
    }

    async fn mark(&self, name: &str, state: &str) -> Result<(), PoolError> {
        let since = (state == names::STATE_DRAINING).then(|| Timestamp::now().to_string());
        let patch = json!({ "metadata": {
            "labels": { names::LABEL_STATE: state },
            "annotations": { names::ANNOTATION_DRAINING_SINCE: since },
        } });
        self.context.may_write()?;
        let patched = self.api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await;
        let pod = patched.map_err(|source| self.error("changing the state of a pod of RelayPool", source))?;
        let takes = match self.observed.pool.spec.role {
            Role::Media => "rooms",
            Role::Turn => "allocations",
        };
        let (reason, note) = if state == names::STATE_DRAINING {
            ("PodDraining", format!("pod {name} takes no new {takes} and leaves when nobody is on it"))
        } else {
            ("PodRecalled", format!("pod {name} takes {takes} again"))
        };
        self.context.events.normal(self.observed.pool.as_ref(), reason, note);
        self.context.pods.wrote(Arc::new(pod), Instant::now());
        let key = crate::planner::PodKey { namespace: self.observed.namespace.clone(), name: name.to_owned() };
        self.context.fleet.kick(&key);
        self.context.relays.wake();
        self.context.changes.send(Change::RoomsOf(key)).await;
        Ok(())
    }

    async fn delete(&self, name: &str) -> Result<(), PoolError> {
        let uid =
            self.observed.pods.iter().find(|pod| pod.key.name == name).and_then(|pod| pod.pod.metadata.uid.clone());
        let params = DeleteParams {
            preconditions: Some(Preconditions { uid, resource_version: None }),
            ..DeleteParams::default()
        };
        self.context.may_write()?;
        match self.api.delete(name, &params).await {
            Ok(_) => {
                let note = format!("pod {name} leaves");
                self.context.events.normal(self.observed.pool.as_ref(), "PodDeleted", note);
                Ok(())
            }
            Err(error) if crate::errors::is_not_found(&error) => Ok(()),
            Err(source) => Err(self.error("deleting a pod of RelayPool", source)),
        }
    }

    /// The node has its configuration: Kubernetes may send traffic.
    async fn open_gates(&self) -> Result<(), PoolError> {
        for pod in &self.observed.pods {
            let open = pods::has_condition(&pod.pod, names::CONDITION_CONFIGURED);
            if open || !pod.view.configured || pods::is_terminating(&pod.pod) {
                continue;
            }
            let patch = json!({ "status": { "conditions": [{
                "type": names::CONDITION_CONFIGURED,
                "status": "True",
                "reason": "Configured",
                "message": "the process has its configuration",
                "lastTransitionTime": Timestamp::now().to_string(),
            }] } });
            self.context.may_write()?;
            let patched =
                self.api.patch_status(&pod.key.name, &PatchParams::default(), &Patch::Strategic(&patch)).await;
            match patched {
                Ok(pod) => self.context.pods.wrote(Arc::new(pod), Instant::now()),
                Err(error) if crate::errors::is_not_found(&error) => {}
                Err(source) => return Err(self.error("opening the readiness gate of a pod of RelayPool", source)),
            }
        }
        Ok(())
    }

    /// Rooms of pods whose drain timeout has passed are to be bound anew now.
    async fn hurry_expired(&self, valid: &ValidPool) {
        let now = Timestamp::now().as_second();
        let expired = |pod: &&ObservedPod| {
            pods::draining_since(&pod.pod).is_some_and(|since| now.saturating_sub(since) >= valid.wish.drain_seconds)
        };
        for pod in self.observed.pods.iter().filter(expired).filter(|pod| pod.load.rooms > 0) {
            self.context.changes.send(Change::RoomsOf(pod.key.clone())).await;
        }
    }

    fn error(&self, what: &'static str, source: kube::Error) -> PoolError {
        failed(self.observed, what, source)
    }
}

fn random_suffix() -> String {
    let letter = || usize::from(rand::random::<u8>()) % ALPHABET.len();
    (0..5).filter_map(|_| ALPHABET.get(letter()).copied()).map(char::from).collect()
}
