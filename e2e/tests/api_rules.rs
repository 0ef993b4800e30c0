//! The resources' rules, against the real API server: each takes what it should, and refuses with words that help.

use anyhow::{Context, Result, ensure};
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Resource, ResourceExt};
use plenum_api::cases::{Case, Kind, all};
use plenum_api::{RelayPool, Room, names};
use plenum_e2e::scene::Scene;
use plenum_e2e::suite::{pool_spec, room_spec};
use plenum_e2e::wait::{Look, until};
use serde_json::{Value, json};
use std::time::Duration;

/// Nothing is kept: the rules are asked, not the operator.
const DRY: PostParams = PostParams { dry_run: true, field_manager: None };

fn api(scene: &Scene<'_>, kind: Kind) -> Api<DynamicObject> {
    let (name, plural) = match kind {
        Kind::Room => ("Room", Room::plural(&()).into_owned()),
        Kind::RelayPool => ("RelayPool", RelayPool::plural(&()).into_owned()),
    };
    let gvk = GroupVersionKind::gvk(names::GROUP, names::VERSION, name);
    let resource = ApiResource::from_gvk_with_plural(&gvk, &plural);
    Api::namespaced_with(scene.suite.kube.client(), &scene.namespace, &resource)
}

fn object(value: &Value) -> Result<DynamicObject> {
    serde_json::from_value(value.clone()).context("a case is an object")
}

/// Applies a case without keeping it, and returns the refusal, if any.
async fn verdict(scene: &Scene<'_>, case: &Case) -> Result<Option<String>> {
    let outcome = match &case.before {
        None => api(scene, case.kind).create(&DRY, &object(&case.object)?).await,
        Some(before) => change(scene, case, before).await?,
    };
    match outcome {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) => Ok(Some(status.message.clone())),
        Err(error) => Err(error).context("asking the API server"),
    }
}

/// Makes what was before, and asks for the change. The operator writes its status meanwhile: then it is asked again.
async fn change(scene: &Scene<'_>, case: &Case, before: &Value) -> Result<kube::Result<DynamicObject>> {
    let (kube, api) = (&scene.suite.kube, api(scene, case.kind));
    let before = api.create(&PostParams::default(), &object(before)?).await.context("creating what was before")?;
    let name = before.name_any();
    let outcome = until("the change meets no other change", Duration::from_secs(10), async || {
        let mut after = object(&case.object)?;
        after.metadata.resource_version = api.get(&name).await.context("reading what was before")?.resource_version();
        Ok(match api.replace(&name, &DRY, &after).await {
            Err(kube::Error::Api(status)) if status.code == 409 => Look::NotYet(status.message.clone()),
            outcome => Look::Done(outcome),
        })
    })
    .await?;
    match case.kind {
        Kind::Room => kube.delete::<Room>(&scene.namespace, &name, Duration::from_secs(10)).await?,
        Kind::RelayPool => kube.delete::<RelayPool>(&scene.namespace, &name, Duration::from_secs(30)).await?,
    }
    Ok(outcome)
}

pub(crate) async fn each_rule_takes_and_refuses_what_it_says(scene: &Scene<'_>) -> Result<()> {
    let cases = all();
    ensure!(cases.len() >= 20, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        match (verdict(scene, case).await.with_context(|| case.name.to_owned())?, case.refused) {
            (None, None) => {}
            (Some(message), Some(part)) if message.contains(part) => {}
            (got, wanted) => wrong.push(format!("{}: wanted refusal {wanted:?}, got {got:?}", case.name)),
        }
    }
    eprintln!("{} cases", cases.len());
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

pub(crate) async fn every_example_is_taken(scene: &Scene<'_>) -> Result<()> {
    let env = &scene.suite.env;
    let files = std::fs::read_dir(env.repository.join("examples")).context("listing the examples")?;
    let mut count = 0;
    for file in files {
        let path = file.context("listing the examples")?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let path = path.display().to_string();
            env.kubectl(&["apply", "--dry-run=server", "-n", &scene.namespace, "-f", &path]).await?;
            count += 1;
        }
    }
    ensure!(count > 0, "there are no examples");
    Ok(())
}

pub(crate) async fn kubectl_explains_and_shows_columns(scene: &Scene<'_>) -> Result<()> {
    let env = &scene.suite.env;
    let kube = &scene.suite.kube;
    for (field, word) in [
        ("room.spec", "topology"),
        ("room.spec.placement.allowedRegions", "The only regions that media and relays may be in"),
        ("room.status.assignments", "The pods that serve the room"),
        ("relaypool.spec.exposure.portRange", "Host ports"),
        ("relaypool.spec.allowedRooms", "Which Rooms may use the pool"),
    ] {
        let text = env.kubectl(&["explain", field]).await?;
        let joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
        ensure!(joined.contains(word), "kubectl explain {field} does not say {word:?}: {text}");
    }
    let namespace = scene.namespace.as_str();
    kube.apply_pool(namespace, "columns", pool_spec("eu-west", 0, 21_000)).await?;
    kube.apply_room(namespace, "columns", room_spec("eu-west")).await?;
    let rooms = env.kubectl(&["get", "rooms", "-n", namespace]).await?;
    for column in ["NAME", "FLOW", "REGION", "MEDIA", "READY", "REASON", "PARTICIPANTS", "AGE"] {
        ensure!(rooms.contains(column), "kubectl get rooms has no column {column}: {rooms}");
    }
    // Short name and category.
    let pools = env.kubectl(&["get", "rlp", "-n", namespace]).await?;
    for column in ["ROLE", "REGION", "DESIRED", "READY", "DRAINING", "UTILIZATION", "REASON", "AGE"] {
        ensure!(pools.contains(column), "kubectl get rlp has no column {column}: {pools}");
    }
    let both = env.kubectl(&["get", "plenum", "-n", namespace, "-o", "name"]).await?;
    ensure!(both.contains("room") && both.contains("relaypool"), "category plenum shows {both}");
    // Scale subresource, by the tool that people use.
    env.kubectl(&["scale", "relaypool/columns", "--replicas=1", "-n", namespace]).await?;
    let pool: RelayPool = kube.api(namespace).get("columns").await.context("reading the pool")?;
    ensure!(pool.spec.replicas == 1, "kubectl scale set {} replicas", pool.spec.replicas);
    let scale = env
        .kubectl(&[
            "get",
            "--raw",
            &format!("/apis/{}/{}/namespaces/{namespace}/relaypools/columns/scale", names::GROUP, names::VERSION),
        ])
        .await?;
    let scale: Value = serde_json::from_str(&scale).context("parsing the scale")?;
    ensure!(scale.pointer("/spec/replicas") == Some(&json!(1)), "the scale subresource says {scale}");
    Ok(())
}
