//! The gateway that is the home of a call dies, or leaves: media does not notice, signaling is back soon.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt;
use kube::api::DeleteParams;
use plenum_api::names;
use plenum_e2e::call::{Call, MEDIA};
use plenum_e2e::door::Door;
use plenum_e2e::page::Page;
use plenum_e2e::peers::{home, peer_room};
use plenum_e2e::process::{kill, pid_in_pod};
use plenum_e2e::scene::Scene;
use plenum_e2e::wait::{Look, until};
use serde_json::json;
use std::time::{Duration, Instant};

/// Death of the home to signaling by another one.
const BACK: Duration = Duration::from_secs(3);
/// A path that is lost costs seconds; a busy machine may hold back a few pictures.
const BLINK_MILLIS: f64 = 700.0;
/// A gateway is there again, or its successor is.
const GATEWAY_BACK: Duration = Duration::from_secs(60);
const SETTLED: Duration = Duration::from_secs(20);
const ANY_GATEWAY: &str = "any-gateway";
const ANY_PORT: u16 = 30_081;
const JOIN_ANEW: &str =
    "const words = new URLSearchParams(location.hash.slice(1)); plenum.join(words.get('token'), words.get('name'))";

pub(crate) async fn a_homes_death_costs_signaling_three_seconds_and_media_nothing(scene: &Scene<'_>) -> Result<()> {
    scene.suite.find_doors(2).await?;
    let any = AnyGateway::open(scene).await?;
    let outcome = death_and_leave(scene, &any.door).await;
    any.close(scene).await?;
    outcome
}

async fn death_and_leave(scene: &Scene<'_>, any: &Door) -> Result<()> {
    let mut call = Call::prepare(scene, "homed", peer_room(scene, "Never")).await?;
    let (first, other) = home_and_other_door(scene, &call).await?;
    call.enter_by(&other, "eu-west", 0).await?;
    call.enter_by(any, "eu-west", 1).await?;
    call.flows(30, MEDIA).await?;
    at_home(&call, &first).await?;
    call.flows(30, MEDIA).await?;
    watch(&call).await?;

    let (kube, system) = (&scene.suite.kube, &scene.suite.env.namespace);
    let pod: Pod = kube.api(system).get(&first).await.context("reading the home's pod")?;
    let process = pid_in_pod(&pod.uid().unwrap_or_default(), names::APP_GATEWAY)?;
    let rejoins = rejoins_of(&call).await?;
    let death = Instant::now();
    kill(process);
    signaling_is_back(&call, &rejoins, death).await?;
    undisturbed(&call, "the home was killed").await?;
    kube.pods_ready(system, names::APP_GATEWAY, 2, GATEWAY_BACK).await?;

    // The same pod is there again, and so it is the home again; now it leaves in good order.
    until("the pod is the home again", SETTLED, async || {
        let now = home(&call).await.unwrap_or_default();
        Ok(Look::when(now == first, (), || now))
    })
    .await?;
    home_is_settled(&call).await?;
    until("everybody has met there", SETTLED, async || met_again(&call, &rejoins).await).await?;
    watch(&call).await?;
    let rejoins = rejoins_of(&call).await?;
    kube.api::<Pod>(system).delete(&first, &DeleteParams::default()).await.context("deleting the home")?;
    until("everybody has met again", SETTLED, async || met_again(&call, &rejoins).await).await?;
    for (page, before) in call.pages.iter().zip(rejoins) {
        // Its successor may be the home soon after, and they join once more.
        let all = page.timings().await?.rejoins;
        let since = all.get(before..).unwrap_or_default();
        let first = since.first().context("it has joined again")?;
        let took = since.iter().find_map(|rejoin| rejoin.joined).context("it has joined again")? - first.at;
        eprintln!("{}: {} took {took:.0} ms", page.name(), first.reason);
        ensure!(took <= BACK.as_secs_f64() * 1_000.0, "{} was away for {took:.0} ms", page.name());
    }
    undisturbed(&call, "the home has left").await?;
    kube.pods_ready(system, names::APP_GATEWAY, 2, GATEWAY_BACK).await?;
    call.end().await
}

/// A URL that stands for every gateway, as a balancer's does: who lost one comes to another.
struct AnyGateway {
    door: Door,
}

impl AnyGateway {
    async fn open(scene: &Scene<'_>) -> Result<Self> {
        let suite = scene.suite;
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": ANY_GATEWAY},
            "spec": {
                "type": "NodePort", "selector": {names::LABEL_APP: names::APP_GATEWAY},
                "ports": [{"name": "http", "port": 80, "targetPort": "public", "nodePort": ANY_PORT}],
            },
        });
        suite.kube.apply(&suite.env.namespace, service).await?;
        let door = suite.door(0)?;
        let (host, _) = door.base().rsplit_once(':').context("a gateway's URL has a port")?;
        let door = Door::new(&format!("{host}:{ANY_PORT}"))?;
        until("every gateway answers by one URL", SETTLED, async || {
            Ok(Look::when(door.answers().await, (), || door.base().to_owned()))
        })
        .await?;
        Ok(Self { door })
    }

    async fn close(self, scene: &Scene<'_>) -> Result<()> {
        let services = scene.suite.kube.api::<Service>(&scene.suite.env.namespace);
        services.delete(ANY_GATEWAY, &DeleteParams::default()).await.context("deleting a Service")?;
        Ok(())
    }
}

/// Lets the last page join until its own gateway is the home: with that it will lose both at once.
async fn at_home(call: &Call<'_>, home: &str) -> Result<()> {
    let page = call.pages.last().context("two are there")?;
    until(&format!("{} is at {home}", page.name()), SETTLED, async || {
        let (own, report) = (page.stats().await?.participant, call.flow().await?);
        let mut legs = report.legs.iter();
        let Some(leg) = legs.find(|leg| Some(leg.participant.as_str()) == own.as_deref()) else {
            return Ok(Look::NotYet(format!("{own:?} is not in {report:?}")));
        };
        if leg.gateway != home {
            page.ask::<()>(JOIN_ANEW).await?;
        }
        Ok(Look::when(leg.gateway == home, (), || leg.gateway.clone()))
    })
    .await
}

/// The room's home, and the URL of a gateway that is not.
async fn home_and_other_door(scene: &Scene<'_>, call: &Call<'_>) -> Result<(String, Door)> {
    home_is_settled(call).await?;
    let home = home(call).await?;
    for door in scene.suite.doors() {
        if gateway_of(&door, scene, call).await? != home {
            return Ok((home, door));
        }
    }
    anyhow::bail!("every gateway is {home}")
}

async fn gateway_of(door: &Door, scene: &Scene<'_>, call: &Call<'_>) -> Result<String> {
    let token = scene.token(&call.room, "observer").await?;
    Ok(door.flow(&scene.namespace, &call.room, &token).await?.gateway)
}

/// All gateways agree on the home.
async fn home_is_settled(call: &Call<'_>) -> Result<()> {
    let mut same = (String::new(), 0);
    until("the home is settled", SETTLED, async || {
        let now = match call.flow().await {
            Ok(report) => report.home.unwrap_or_default(),
            Err(error) => return Ok(Look::NotYet(format!("{error:#}"))),
        };
        same = if now == same.0 { (now, same.1 + 1) } else { (now, 0) };
        Ok(Look::when(same.1 >= 10 && !same.0.is_empty(), (), || format!("{same:?}")))
    })
    .await
}

/// Each page notes the pictures of the other, and knows its peer connection again.
async fn watch(call: &Call<'_>) -> Result<()> {
    for (page, other) in call.pages.iter().zip(call.pages.iter().rev()) {
        page.watch_frames(other.name()).await?;
        ensure!(page.mark_peers().await? == 1, "{} has not one peer connection", page.name());
    }
    Ok(())
}

async fn rejoins_of(call: &Call<'_>) -> Result<Vec<usize>> {
    let mut counts = Vec::new();
    for page in &call.pages {
        counts.push(page.timings().await?.rejoins.len());
    }
    Ok(counts)
}

/// Both have joined again and see each other.
async fn met_again(call: &Call<'_>, before: &[usize]) -> Result<Look<()>> {
    for (page, before) in call.pages.iter().zip(before) {
        let (stats, timings) = (page.stats().await?, page.timings().await?);
        if timings.rejoins.len() <= *before || stats.state != "joined" || stats.roster.len() != 1 {
            let seen = format!("{}: {}, {:?}, {:?}", page.name(), stats.state, stats.roster, timings.rejoins);
            return Ok(Look::NotYet(seen));
        }
    }
    Ok(Look::Done(()))
}

async fn signaling_is_back(call: &Call<'_>, before: &[usize], death: Instant) -> Result<()> {
    until("both are in the room again", BACK.saturating_sub(death.elapsed()), async || met_again(call, before).await)
        .await?;
    eprintln!("both in the room again {} ms after the home's death", death.elapsed().as_millis());
    let page: &Page = call.pages.first().context("two are there")?;
    page.renegotiates(MEDIA).await
}

/// The same peer connections carried the pictures all the time, and do.
async fn undisturbed(call: &Call<'_>, what: &str) -> Result<()> {
    call.flows(20, MEDIA).await?;
    for page in &call.pages {
        let frames = page.frames().await?;
        eprintln!("{}: {what}; longest time without a picture {:.0} ms", page.name(), frames.longest);
        ensure!(page.marked_peers().await? == 1, "{} made another peer connection: {what}", page.name());
        ensure!(frames.frames > 20 && frames.longest <= BLINK_MILLIS, "{}: {what}: {frames:?}", page.name());
    }
    Ok(())
}
