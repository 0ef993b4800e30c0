//! The media nodes' side of the bindings: each ready node runs exactly the Rooms that are bound to it.
//!
//! A node that runs more serves a stale grant: two pods might serve one Room. A node that runs fewer refuses people.

use crate::kube::Kube;
use crate::metrics::Metrics;
use crate::wait::{Look, until};
use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use plenum_api::{Room, names};
use std::time::Duration;

/// Reads until every ready media node runs the Rooms that are bound to it, and no other.
///
/// # Errors
/// The deadline passes; the message lists the nodes that differ.
pub async fn settle(kube: &Kube, within: Duration) -> Result<()> {
    until("every media node runs the Rooms that are bound to it", within, async || {
        let rooms = kube.all::<Room>().await?;
        let mut wrong = Vec::new();
        for pod in kube.all::<Pod>().await?.iter().filter(|pod| is_ready_media_node(pod)) {
            let bound = rooms.iter().filter(|room| is_bound_to(room, pod)).count();
            match granted(kube, pod).await {
                Ok(granted) if granted == bound => {}
                Ok(granted) => wrong.push(format!("{} runs {granted}, {bound} are bound to it", pod.name_any())),
                // It may have gone between the list and the question.
                Err(error) => wrong.push(format!("{}: {error:#}", pod.name_any())),
            }
        }
        Ok(Look::when(wrong.is_empty(), (), || wrong.join("; ")))
    })
    .await
}

fn is_bound_to(room: &Room, pod: &Pod) -> bool {
    let namespace = pod.namespace().unwrap_or_default();
    room.media_assignment().is_some_and(|a| a.pod == pod.name_any() && a.namespace == namespace)
}

fn is_ready_media_node(pod: &Pod) -> bool {
    let is_media = pod.labels().get(names::LABEL_APP).is_some_and(|app| app == names::APP_MEDIA_NODE);
    is_media && pod.metadata.deletion_timestamp.is_none() && is_ready(pod)
}

/// The pod's condition Ready.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|list| list.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"))
}

/// A scrape of a media pod.
///
/// # Errors
/// It has no metrics port, or does not answer.
pub async fn metrics(kube: &Kube, pod: &Pod) -> Result<Metrics> {
    let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let mut ports = containers.iter().flat_map(|container| container.ports.iter().flatten());
    let port =
        ports.find(|port| port.name.as_deref() == Some(names::PORT_METRICS)).context("the pod has no metrics port")?;
    let namespace = pod.namespace().unwrap_or_default();
    let text = kube.pod_get(&namespace, &pod.name_any(), u16::try_from(port.container_port)?, "metrics").await?;
    Ok(Metrics::parse(&text))
}

async fn granted(kube: &Kube, pod: &Pod) -> Result<usize> {
    let value = metrics(kube, pod).await?.one("plenum_media_rooms").context("the pod counts no rooms")?;
    // A gauge of whole numbers.
    format!("{value:.0}").parse().context("the pod's count of rooms is no number")
}
