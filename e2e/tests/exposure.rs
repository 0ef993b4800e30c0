//! How clients reach media pods: their own network with host ports in every other test, the node's network here.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use plenum_api::room::EndpointPurpose;
use plenum_e2e::call::{Call, MEDIA};
use plenum_e2e::scene::Scene;
use plenum_e2e::suite::pool_spec;
use serde_json::json;
use std::time::Duration;

const POOL_READY: Duration = Duration::from_secs(60);
const FIRST_PORT: i32 = 25_000;
const WORKERS: i32 = 2;

pub(crate) async fn a_host_network_pool_with_two_workers_carries_media(scene: &Scene<'_>) -> Result<()> {
    let kube = &scene.suite.kube;
    let mut spec = pool_spec("us-east", 1, FIRST_PORT);
    spec["workers"] = json!(WORKERS);
    spec["exposure"]["type"] = json!("HostNetwork");
    spec["exposure"]["address"] = json!({"source": "NodeInternalIP"});
    let pool = json!({
        "apiVersion": "rtc.plenum.dev/v1alpha1", "kind": "RelayPool",
        "metadata": {"name": "bare", "labels": {"only-of": scene.namespace}}, "spec": spec,
    });
    kube.apply(&scene.namespace, pool).await?;
    kube.ready_pool(&scene.namespace, "bare", POOL_READY).await?;
    let spec =
        json!({"topology": "MediaServer", "media": {"poolSelector": {"matchLabels": {"only-of": scene.namespace}}}});
    let mut call = Call::prepare(scene, "bare", spec).await?;
    let room = call.state().await?;
    let assignment = room.media_assignment().context("a ready room has a media pod")?;
    let pod: Pod = kube.api(&scene.namespace).get(&assignment.pod).await.context("reading the media pod")?;
    ensure!(pod.spec.as_ref().and_then(|spec| spec.host_network) == Some(true), "the pod has a network of its own");
    let control =
        assignment.endpoints.iter().find(|e| e.purpose == EndpointPurpose::Control).context("no control endpoint")?;
    ensure!(control.port == FIRST_PORT + WORKERS, "the control port of slot 0 is {}", control.port);

    call.enter_all(&[("us-east", 0), ("eu-west", 0)]).await?;
    call.flows(30, MEDIA).await?;
    for page in &call.pages {
        for pair in page.stats().await?.pairs {
            let port = i32::from(pair.remote_port.unwrap_or_default());
            ensure!((FIRST_PORT..FIRST_PORT + WORKERS).contains(&port), "media goes to port {port}");
        }
    }
    call.end().await
}
