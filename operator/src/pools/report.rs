//! Step 5: the status, written only when it differs.

use super::PoolError;
use super::address::NoAddress;
use super::apply::{Applied, Trouble};
use crate::context::Context;
use crate::metrics::{KindLabel, ReconcileLabels};
use crate::overlay::{Key, key_of};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, PostParams};
use kube::runtime::controller::Action;
use plenum_api::conditions::{self, ACCEPTED, EXPOSURE_READY, PROGRESSING, READY, Truth, Verdict};
use plenum_api::pool::{AddressSource, CapacityCount, CapacityStatus, RelayPoolStatus, Role};
use plenum_api::{RelayPool, names};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often load is looked at when nothing happens.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How often pods that drain, or whose making was refused, are looked at.
const DRAIN_EVERY: Duration = Duration::from_secs(1);
const REFUSED_EVERY: Duration = Duration::from_secs(15);

/// Writes the status if it differs, and says when to look again.
pub(super) async fn report(context: &Context, pool: &Arc<RelayPool>, applied: Applied) -> Result<Action, PoolError> {
    let next = if applied.refused.is_some() {
        REFUSED_EVERY
    } else if applied.draining > 0 {
        DRAIN_EVERY
    } else {
        LOOK_EVERY
    };
    let old = pool.status.clone().unwrap_or_default();
    let status = status(pool, &old, &applied, Timestamp::now());
    let now = Instant::now();
    if status == old || (without_use(&status) == without_use(&old) && !context.pool_pace.may(pool, now)) {
        return Ok(Action::requeue(next));
    }
    context.may_write()?;
    let mut changed = RelayPool::clone(pool);
    changed.status = Some(status);
    let api: Api<RelayPool> = Api::namespaced(context.client.clone(), &pool.namespace().unwrap_or_default());
    let written = api.replace_status(&pool.name_any(), &PostParams::default(), &changed).await;
    let mut written = written.map_err(|source| PoolError::Write {
        what: "writing the status of RelayPool",
        name: format!("{}/{}", pool.namespace().unwrap_or_default(), pool.name_any()),
        source,
    })?;
    context.metrics.status_writes.get_or_create(&ReconcileLabels { kind: KindLabel::RelayPool }).inc();
    written.metadata.managed_fields = None;
    events(context, &old, &written);
    context.pool_pace.wrote(pool, now);
    context.pools.wrote(Arc::new(written), now);
    Ok(Action::requeue(next))
}

/// A status but for how much is in use, which is coarse.
fn without_use(status: &RelayPoolStatus) -> RelayPoolStatus {
    let mut rest = status.clone();
    rest.capacity.used = CapacityCount::default();
    rest.utilization_percent = 0;
    rest
}

/// When statuses were last written: for use alone, at most one write in ten seconds.
#[derive(Default)]
pub struct Pace(Mutex<HashMap<Key, Instant>>);

impl Pace {
    fn may(&self, pool: &RelayPool, now: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.retain(|_, at| now.saturating_duration_since(*at) < LOOK_EVERY);
        !last.contains_key(&key_of(pool))
    }

    fn wrote(&self, pool: &RelayPool, now: Instant) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key_of(pool), now);
    }
}

fn events(context: &Context, old: &RelayPoolStatus, pool: &RelayPool) {
    let new = pool.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    for kind in [ACCEPTED, READY, EXPOSURE_READY] {
        let (Some(now), before) = (conditions::find(new, kind), conditions::find(&old.conditions, kind)) else {
            continue;
        };
        if before.is_some_and(|before| before.status == now.status && before.reason == now.reason) {
            continue;
        }
        match (kind, now.status.as_str()) {
            (READY, "True") => context.events.normal(pool, "Ready", &now.message),
            (READY, "False") if now.reason == "PodsNotReady" => {}
            (_, "False") => context.events.warning(pool, &now.reason, &now.message),
            _ => {}
        }
    }
}

fn status(pool: &RelayPool, old: &RelayPoolStatus, applied: &Applied, now: Timestamp) -> RelayPoolStatus {
    let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    let percent = if applied.total > 0 { applied.used.saturating_mul(100) / applied.total } else { 0 };
    let mut conditions = old.conditions.clone();
    let verdicts = [
        (ACCEPTED, accepted(applied)),
        (READY, ready(applied)),
        (PROGRESSING, progressing(applied, pool.spec.role)),
        (EXPOSURE_READY, exposure(applied)),
    ];
    for (kind, verdict) in verdicts {
        conditions::set(&mut conditions, kind, verdict, pool.metadata.generation, now);
    }
    RelayPoolStatus {
        observed_generation: pool.metadata.generation,
        replicas: count(applied.active),
        ready_replicas: count(applied.ready),
        draining_replicas: count(applied.draining),
        selector: format!("{}={},{}={}", names::LABEL_POOL, pool.name_any(), names::LABEL_STATE, names::STATE_ACTIVE),
        capacity: CapacityStatus {
            total: capacity(pool.spec.role, applied.total),
            used: capacity(pool.spec.role, applied.used),
        },
        utilization_percent: i32::try_from(percent).unwrap_or(1_000).min(1_000),
        address_source: applied.source,
        conditions,
    }
}

fn capacity(role: Role, number: i64) -> CapacityCount {
    match role {
        Role::Media => CapacityCount { participants: Some(number), allocations: None },
        Role::Turn => CapacityCount { participants: None, allocations: Some(number) },
    }
}

fn accepted(applied: &Applied) -> Verdict {
    match &applied.invalid {
        Some(invalid) => Verdict::new(Truth::False, "Invalid", invalid.to_string()),
        None => Verdict::new(Truth::True, "Accepted", "the spec can be served"),
    }
}

fn ready(applied: &Applied) -> Verdict {
    let Applied { wanted, active, ready, slots, .. } = applied;
    if applied.invalid.is_some() {
        return Verdict::pending("the spec is not accepted");
    }
    if let Some(refused) = &applied.refused {
        let hint =
            "where Pod Security forbids host ports, label the namespace pod-security.kubernetes.io/enforce=privileged";
        return Verdict::new(
            Truth::False,
            "PodsForbidden",
            format!("the API server refuses the pods: {refused}; {hint}"),
        );
    }
    if active < wanted && slots <= active {
        let message = format!(
            "exposure.portRange (for relays turn.relayPortRange too) has slots for {slots} pods, and {wanted} are wanted: widen it"
        );
        return Verdict::new(Truth::False, "PortRangeFull", message);
    }
    match &applied.trouble {
        Some(Trouble::Secret(problem)) => return Verdict::new(Truth::False, "NoAuthSecret", problem.clone()),
        Some(Trouble::Service(problem)) => return Verdict::new(Truth::False, "NoService", problem.clone()),
        None => {}
    }
    if ready < wanted {
        let why = applied.waiting.as_ref().map(|why| format!("; {why}")).unwrap_or_default();
        return Verdict::new(Truth::False, "PodsNotReady", format!("{ready} of {wanted} pods are ready{why}"));
    }
    Verdict::new(Truth::True, "PodsReady", format!("{ready} of {wanted} pods are ready"))
}

fn progressing(applied: &Applied, role: Role) -> Verdict {
    let Applied { wanted, active, draining, outdated, .. } = applied;
    if applied.invalid.is_some() {
        return Verdict::pending("the spec is not accepted");
    }
    if *outdated > 0 {
        let message =
            format!("{outdated} pods are of an older revision and are replaced one at a time, each drained first");
        return Verdict::new(Truth::True, "Replacing", message);
    }
    if *draining > 0 {
        let when = match role {
            Role::Media => "their rooms are empty",
            Role::Turn => "their allocations have ended",
        };
        return Verdict::new(Truth::True, "Draining", format!("{draining} pods leave when {when}"));
    }
    if active != wanted {
        return Verdict::new(Truth::True, "Scaling", format!("{active} of {wanted} pods are there"));
    }
    Verdict::new(Truth::False, "Settled", "no pod comes or goes")
}

fn exposure(applied: &Applied) -> Verdict {
    match &applied.no_address {
        Some(problem @ NoAddress::Node { .. }) => return Verdict::new(Truth::False, "NoAddress", problem.to_string()),
        Some(problem @ NoAddress::Balancer { .. }) => {
            return Verdict::new(Truth::False, "AwaitingLoadBalancer", problem.to_string());
        }
        None => {}
    }
    match applied.source {
        None => Verdict::pending("no pod is on a node yet"),
        Some(source) => {
            let word = match source {
                AddressSource::NodeExternalIP => "the nodes' ExternalIP",
                AddressSource::NodeInternalIP => "the nodes' InternalIP",
                AddressSource::LoadBalancer => "the address of the pool's Service",
                AddressSource::Static => "exposure.address.addresses",
            };
            Verdict::new(Truth::True, "AddressKnown", format!("clients are told {word}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pool() -> RelayPool {
        serde_json::from_value(json!({
            "apiVersion": "rtc.plenum.dev/v1alpha1", "kind": "RelayPool",
            "metadata": { "name": "eu", "namespace": "a", "generation": 3 },
            "spec": { "role": "Media", "region": "eu-west", "replicas": 2 },
        }))
        .unwrap()
    }

    fn applied() -> Applied {
        Applied {
            invalid: None,
            wanted: 2,
            active: 2,
            ready: 2,
            draining: 0,
            outdated: 0,
            slots: 100,
            total: 200,
            used: 50,
            refused: None,
            waiting: None,
            source: Some(AddressSource::NodeInternalIP),
            no_address: None,
            trouble: None,
        }
    }

    fn reason_of(applied: &Applied, kind: &str) -> String {
        let status = status(&pool(), &RelayPoolStatus::default(), applied, Timestamp::UNIX_EPOCH);
        conditions::find(&status.conditions, kind).unwrap().reason.clone()
    }

    #[test]
    fn a_settled_pool_is_ready_and_its_status_does_not_change_again() {
        let first = status(&pool(), &RelayPoolStatus::default(), &applied(), Timestamp::UNIX_EPOCH);
        assert!(conditions::is_true(&first.conditions, READY));
        assert_eq!(
            (first.utilization_percent, first.selector.as_str()),
            (25, "rtc.plenum.dev/pool=eu,rtc.plenum.dev/state=active")
        );
        let later = status(&pool(), &first, &applied(), Timestamp::from_second(100).unwrap());
        assert_eq!(first, later);
        assert!(conditions::POOL.iter().all(|kind| conditions::find(&first.conditions, kind).is_some()));
    }

    #[test]
    fn a_relay_pool_counts_allocations() {
        let mut relays = pool();
        relays.spec.role = Role::Turn;
        let status = status(&relays, &RelayPoolStatus::default(), &applied(), Timestamp::UNIX_EPOCH);
        assert_eq!(status.capacity.total, CapacityCount { participants: None, allocations: Some(200) });
        assert_eq!(status.utilization_percent, 25);
    }

    #[test]
    fn use_alone_is_written_at_most_once_in_ten_seconds() {
        let (pace, now) = (Pace::default(), Instant::now());
        assert!(pace.may(&pool(), now));
        pace.wrote(&pool(), now);
        assert!(!pace.may(&pool(), now + LOOK_EVERY / 2));
        assert!(pace.may(&pool(), now + LOOK_EVERY));
        let old = status(&pool(), &RelayPoolStatus::default(), &applied(), Timestamp::UNIX_EPOCH);
        let busier = status(&pool(), &old, &Applied { used: 99, ..applied() }, Timestamp::UNIX_EPOCH);
        assert_ne!(old, busier);
        assert_eq!(without_use(&old), without_use(&busier));
    }

    #[test]
    fn refused_pods_and_full_port_ranges_say_so() {
        assert_eq!(reason_of(&Applied { refused: Some("no".into()), ..applied() }, READY), "PodsForbidden");
        assert_eq!(reason_of(&Applied { active: 1, slots: 1, ready: 1, ..applied() }, READY), "PortRangeFull");
        assert_eq!(reason_of(&Applied { ready: 1, ..applied() }, READY), "PodsNotReady");
        let nowhere = NoAddress::Node { node: "n".into(), wanted: "ExternalIP" };
        assert_eq!(reason_of(&Applied { no_address: Some(nowhere), ..applied() }, EXPOSURE_READY), "NoAddress");
        let awaited = NoAddress::Balancer { service: "s".into() };
        assert_eq!(
            reason_of(&Applied { no_address: Some(awaited), ..applied() }, EXPOSURE_READY),
            "AwaitingLoadBalancer"
        );
        let secret = Trouble::Secret("no".into());
        assert_eq!(reason_of(&Applied { ready: 0, trouble: Some(secret), ..applied() }, READY), "NoAuthSecret");
        assert_eq!(reason_of(&Applied { draining: 1, ..applied() }, PROGRESSING), "Draining");
    }
}
