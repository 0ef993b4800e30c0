//! What is so before anything is done: pods counted, addresses and reasons of waiting noted.

use super::Applied;
use crate::context::Context;
use crate::pods;
use crate::pools::observe::Observed;
use crate::pools::validate::ValidPool;
use k8s_openapi::api::core::v1::Pod;
use plenum_api::pool::ExposureType;

pub(super) fn survey(context: &Context, observed: &Observed, valid: &ValidPool) -> Applied {
    let mut applied = Applied { wanted: valid.wish.replicas, slots: usize::from(valid.wish.slots), ..Applied::empty() };
    for pod in observed.planned.iter().filter(|pod| !pod.terminating && !pod.finished) {
        if pod.draining_since.is_some() {
            applied.draining += 1;
            continue;
        }
        applied.active += 1;
        applied.outdated += usize::from(pod.revision != valid.wish.revision);
    }
    for pod in observed.pods.iter().filter(|pod| !pods::is_terminating(&pod.pod)) {
        if pod.is_ready() && !pods::is_draining(&pod.pod) {
            applied.ready += 1;
            applied.total += valid.per_pod;
            applied.used += pod.load.used;
        } else if !pods::is_draining(&pod.pod) {
            applied.waiting = applied.waiting.or_else(|| why_waiting(&pod.pod, &certificates(valid)));
        }
    }
    note_addresses(context, observed, &mut applied);
    applied
}

/// A balancer's address is that of the whole pool.
fn note_addresses(context: &Context, observed: &Observed, applied: &mut Applied) {
    let balancer = observed.pool.spec.exposure.kind == ExposureType::LoadBalancer;
    let pods = observed.pods.iter().filter(|pod| !pods::is_terminating(&pod.pod));
    let found = pods.filter_map(|pod| context.outside(&pod.pod, &observed.pool));
    let balancer = balancer.then(|| context.balancer(&observed.pool));
    for outside in balancer.into_iter().chain(found) {
        match outside {
            Ok(outside) => applied.source = Some(outside.source),
            Err(error) => applied.no_address = Some(error),
        }
    }
}

/// Pods wait for ever for a Secret that does not exist, and do not say so.
fn certificates(valid: &ValidPool) -> String {
    let listeners = valid.turn().map(|turn| turn.listeners.as_slice()).unwrap_or_default();
    let names: Vec<&str> =
        listeners.iter().filter_map(|listener| Some(listener.tls_secret_ref.as_ref()?.name.as_str())).collect();
    if names.is_empty() { String::new() } else { format!("(it needs Secret {} for TLS)", names.join(", ")) }
}

/// The scheduler's or the kubelet's word on a pod that does not run.
fn why_waiting(pod: &Pod, certificates: &str) -> Option<String> {
    let name = pod.metadata.name.as_deref()?;
    let status = pod.status.as_ref()?;
    let scheduled = status.conditions.iter().flatten().find(|c| c.type_ == "PodScheduled" && c.status == "False");
    if let Some(message) = scheduled.and_then(|condition| condition.message.as_ref()) {
        return Some(format!("pod {name} is not scheduled: {message}"));
    }
    let containers = status.container_statuses.iter().flatten();
    let waiting = containers.filter_map(|container| container.state.as_ref()?.waiting.as_ref()).next()?;
    let (reason, message) = (waiting.reason.as_deref().unwrap_or("Waiting"), waiting.message.as_deref().unwrap_or(""));
    let hint = if reason == "ContainerCreating" { certificates } else { "" };
    Some(format!("pod {name} waits: {reason} {message}{hint}").trim_end().to_owned())
}
