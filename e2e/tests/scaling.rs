//! Pools grow and shrink under calls: nobody who can stay is touched, and the emptiest pod goes.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use plenum_api::RelayPool;
use plenum_e2e::call::{Call, MEDIA};
use plenum_e2e::scene::Scene;
use plenum_e2e::suite::pool_spec;
use plenum_e2e::wait::{Look, until};
use serde_json::json;
use std::time::Duration;

const POOL_READY: Duration = Duration::from_secs(60);

async fn kubectl_scale(scene: &Scene<'_>, replicas: i32) -> Result<RelayPool> {
    let wish = format!("--replicas={replicas}");
    scene.suite.env.kubectl(&["scale", "relaypool/elastic", &wish, "-n", &scene.namespace]).await?;
    scene.suite.kube.ready_pool(&scene.namespace, "elastic", POOL_READY).await
}

async fn pods(scene: &Scene<'_>) -> Result<Vec<Pod>> {
    scene.suite.kube.pods(&scene.namespace, "rtc.plenum.dev/pool=elastic").await
}

pub(crate) async fn a_pool_is_scaled_up_and_down_under_calls(scene: &Scene<'_>) -> Result<()> {
    let kube = &scene.suite.kube;
    let pool = json!({
        "apiVersion": "rtc.plenum.dev/v1alpha1", "kind": "RelayPool",
        "metadata": {"name": "elastic", "labels": {"only-of": scene.namespace}}, "spec": pool_spec("eu-west", 1, 23_000),
    });
    kube.apply(&scene.namespace, pool).await?;
    kube.ready_pool(&scene.namespace, "elastic", POOL_READY).await?;
    let spec =
        json!({"topology": "MediaServer", "media": {"poolSelector": {"matchLabels": {"only-of": scene.namespace}}}});
    let mut call = Call::prepare(scene, "busy", spec.clone()).await?;
    call.enter_all(&[("eu-west", 0), ("eu-west", 1)]).await?;
    call.flows(20, MEDIA).await?;
    let (_, busy) = call.media_pod().await?;

    let grown = kubectl_scale(scene, 2).await?;
    ensure!(grown.status.as_ref().is_some_and(|status| status.replicas == 2), "scaled up to {:?}", grown.status);
    // The new pod takes the next Room: it is the emptier one.
    kube.apply_room(&scene.namespace, "next", spec).await?;
    let next = kube.ready_room(&scene.namespace, "next", Duration::from_secs(10)).await?;
    let fresh = next.media_assignment().context("a ready room has a media pod")?.pod.clone();
    ensure!(fresh != busy, "the next Room went to the busier pod");

    kubectl_scale(scene, 1).await?;
    until("the emptiest pod is gone", POOL_READY, async || {
        let left: Vec<_> = pods(scene).await?.iter().map(ResourceExt::name_any).collect();
        Ok(Look::when(left == [busy.clone()], (), || format!("{left:?}, wanted {busy}")))
    })
    .await?;
    let moved = kube.ready_room(&scene.namespace, "next", Duration::from_secs(10)).await?;
    ensure!(moved.media_assignment().is_some_and(|a| a.pod == busy), "the empty Room did not move: {:?}", moved.status);
    let (_, still) = call.media_pod().await?;
    ensure!(still == busy && call.state().await?.epoch() == 1, "the call was moved from {busy} to {still}");
    call.flows(20, MEDIA).await?;
    for page in &call.pages {
        let timings = page.timings().await?;
        ensure!(timings.rejoins.is_empty(), "{} had to rejoin: {:?}", page.name(), timings.rejoins);
    }
    call.end().await
}
