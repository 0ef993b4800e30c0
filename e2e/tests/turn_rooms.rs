//! Rooms whose people are relayed: all of them by policy, or those whose networks let nothing else through.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use plenum_api::Room;
use plenum_api::conditions;
use plenum_api::room::{Basis, FlowName};
use plenum_e2e::call::{Call, MEDIA};
use plenum_e2e::cluster::Firewall;
use plenum_e2e::page::{Page, Pair};
use plenum_e2e::relays::{endpoints, listen_for_tls, make_pool, relayed_room, turn_spec};
use plenum_e2e::scene::Scene;
use plenum_e2e::wait::{Look, until};
use plenum_protocol::flow::{FlowReport, Leg, LegRole};
use plenum_protocol::turn::RelayTransport;
use std::collections::BTreeMap;
use std::time::Duration;

/// `status.flow` is written at most every ten seconds after the first time.
const STATUS: Duration = Duration::from_secs(25);
/// Enough media for shares of a hundredth.
const ENOUGH_BYTES: u64 = 400_000;
const COUNTED: Duration = Duration::from_secs(60);
/// What may be under way in the direction that carries no media, in bytes.
const UNDER_WAY: u64 = 1_500;

pub(crate) async fn a_room_that_always_relays_counts_the_same_bytes_everywhere(scene: &Scene<'_>) -> Result<()> {
    scene.suite.shared_pools().await?;
    let relays = make_pool(scene, "turn", turn_spec("eu-west", 1, 13_100)).await?;
    let mut call = Call::prepare(scene, "always", relayed_room(scene, "Always")).await?;
    let planned = call.state().await?.status.and_then(|status| status.flow);
    ensure!(
        planned.as_ref().is_some_and(|flow| flow.name == FlowName::MediaServerRelayed && flow.basis == Basis::Planned),
        "before anybody came the flow is {planned:?}"
    );
    call.enter_all(&[("eu-west", 0), ("eu-west", 1)]).await?;
    call.flows(40, MEDIA).await?;
    for page in &call.pages {
        let pairs = page.stats().await?.pairs;
        ensure!(pairs.len() == 2 && pairs.iter().all(Pair::is_relayed), "{}: {pairs:?}", page.name());
    }
    let room = flow_observed(scene, &call, FlowName::MediaServerRelayed, (0, 4)).await?;
    ensure!(
        room.condition(conditions::RELAY_READY).is_some_and(|c| c.status == "True" && c.reason == "RelaysReady"),
        "{:?}",
        room.condition(conditions::RELAY_READY)
    );
    same_bytes(&call, &relays).await?;
    shown(scene, &call, &relays, "UDP").await?;
    call.end().await
}

/// The Room says which flow it is in, and how many legs are (direct, relayed).
async fn flow_observed(scene: &Scene<'_>, call: &Call<'_>, name: FlowName, legs: (i32, i32)) -> Result<Room> {
    let what = format!("flow {name:?}, Observed, {legs:?} legs");
    scene
        .suite
        .kube
        .wait(&scene.namespace, &call.room, &what, STATUS, |room: &Room| {
            room.status.as_ref().and_then(|status| status.flow.as_ref()).is_some_and(|flow| {
                let counts = (flow.legs.direct, flow.legs.relayed);
                flow.name == name && flow.basis == Basis::Observed && counts == legs
            })
        })
        .await
}

/// `getStats`, the relay and the media node count the same bytes, within a hundredth, for every leg.
async fn same_bytes(call: &Call<'_>, relays: &[Pod]) -> Result<()> {
    until("everybody counts the same bytes", COUNTED, async || {
        let mut pairs = BTreeMap::new();
        for page in &call.pages {
            pairs.extend(page.pairs().await?);
        }
        let report = call.flow().await?;
        ensure!(report.legs.len() == pairs.len(), "{} legs, {} pairs", report.legs.len(), pairs.len());
        let wrong: Vec<String> = report.legs.iter().filter_map(|leg| miscounted(leg, &pairs, relays).err()).collect();
        Ok(Look::when(wrong.is_empty(), (), || wrong.join("; ")))
    })
    .await
}

fn miscounted(leg: &Leg, pairs: &BTreeMap<String, Pair>, relays: &[Pod]) -> Result<(), String> {
    let shown = || format!("{leg:?} {:?}", pairs.get(leg.session.as_str()));
    let (Some(relay), Some(pair)) = (&leg.relay, pairs.get(leg.session.as_str())) else {
        return Err(format!("no relay, or no pair: {}", shown()));
    };
    if !relays.iter().any(|pod| pod.name_any() == relay.pod) || relay.region != "eu-west" || relay.pool != "turn" {
        return Err(format!("another relay: {}", shown()));
    }
    let media = match leg.role {
        LegRole::Publisher => [pair.bytes_sent, relay.sent_bytes, leg.bytes.received],
        LegRole::Subscriber => [pair.bytes_received, relay.received_bytes, leg.bytes.sent],
        LegRole::Peer => return Err(format!("a leg between peers: {}", shown())),
    };
    let quiet = match leg.role {
        LegRole::Publisher => [relay.received_bytes, leg.bytes.sent],
        LegRole::Subscriber | LegRole::Peer => [relay.sent_bytes, leg.bytes.received],
    };
    let spread = |counts: &[u64]| {
        let most = counts.iter().copied().max().unwrap_or_default();
        (most - counts.iter().copied().min().unwrap_or_default(), most)
    };
    let (apart, most) = spread(&media);
    let (apart_quiet, most_quiet) = spread(&quiet);
    let right = most >= ENOUGH_BYTES && apart <= most / 100 && apart_quiet <= most_quiet / 100 + UNDER_WAY;
    if right { Ok(()) } else { Err(format!("media {media:?}, other way {quiet:?}: {}", shown())) }
}

/// Page and command line show transport, pod and region of the relay.
pub(crate) async fn shown(scene: &Scene<'_>, call: &Call<'_>, relays: &[Pod], transport: &str) -> Result<()> {
    let pods: Vec<String> = relays.iter().map(ResourceExt::name_any).collect();
    let wanted = |text: &str| {
        let has_pod = pods.iter().any(|pod| text.contains(pod));
        has_pod && text.contains(transport) && text.contains("eu-west")
    };
    let door = scene.suite.door(0)?;
    let words = ["flow", &call.room, "--namespace", &scene.namespace, "--gateway", door.base()];
    let (fine, text) = scene.suite.env.plenumctl(&words).await?;
    ensure!(fine && wanted(&text), "plenumctl flow does not show {transport}, {pods:?} and eu-west: {text}");
    let page = call.pages.last().context("somebody is there")?;
    until("the page shows the relay", MEDIA, async || {
        let text = page.text().await?;
        Ok(Look::when(wanted(&text), (), || text))
    })
    .await
}

pub(crate) async fn clients_whose_networks_block_udp_are_relayed_and_the_room_says_so(scene: &Scene<'_>) -> Result<()> {
    scene.suite.shared_pools().await?;
    let suite = scene.suite;
    let mut spec = turn_spec("eu-west", 1, 13_110);
    listen_for_tls(scene, &mut spec, 443).await?;
    let relays = make_pool(scene, "turn", spec).await?;

    let mut call = Call::prepare(scene, "walled", relayed_room(scene, "Fallback")).await?;
    let shut = scene.client("eu-west", 1).await?;
    call.enter("eu-west", 0).await?;
    for (firewall, transport) in
        [(Firewall::Tcp, RelayTransport::Tcp), (Firewall::Tcp443(endpoints(&suite.doors())?), RelayTransport::Tls)]
    {
        let walled = shut.firewall(&firewall).await?;
        call.enter("eu-west", 1).await?;
        call.flows(30, MEDIA).await.with_context(|| format!("{firewall:?}"))?;
        one_side_is_relayed(scene, &call, transport).await.with_context(|| format!("{firewall:?}"))?;
        shown(scene, &call, &relays, &transport.to_string()).await?;
        let gone = call.pages.pop().context("two are there")?;
        gone.leave().await?;
        gone.close().await?;
        drop(walled);
        call.pages.first().context("one is there")?.sees(0, MEDIA).await?;
    }
    call.end().await
}

/// The first page's legs are direct, the second one's go by a relay that it reaches by `transport`; the Room says why.
async fn one_side_is_relayed(scene: &Scene<'_>, call: &Call<'_>, transport: RelayTransport) -> Result<()> {
    let [open, walled]: [&Page; 2] = call.pages.iter().collect::<Vec<_>>().try_into().ok().context("two are there")?;
    let direct = open.stats().await?.pairs;
    ensure!(direct.len() == 2 && !direct.iter().any(Pair::is_relayed), "{}: {direct:?}", open.name());
    let relayed = walled.stats().await?.pairs;
    let wanted = transport.to_string().to_lowercase();
    let by = |pair: &Pair| pair.is_relayed() && pair.relay_protocol.as_ref() == Some(&wanted);
    ensure!(relayed.len() == 2 && relayed.iter().all(by), "{}: {relayed:?}", walled.name());

    let words = format!("1 of 2 clients is relayed over {transport}: its network blocks UDP");
    let room = flow_observed(scene, call, FlowName::MediaServerRelayedOneSide, (2, 2)).await?;
    let says = |room: &Room| room.condition(conditions::READY).is_some_and(|c| c.message.contains(&words));
    if !says(&room) {
        scene.suite.kube.wait(&scene.namespace, &call.room, &format!("Ready says {words:?}"), STATUS, says).await?;
    }
    until(&format!("an event says {words:?}"), STATUS, async || {
        let said = scene.suite.kube.events(&scene.namespace, &call.room, "LegsRelayed").await?;
        Ok(Look::when(said.iter().any(|text| text.contains(&words)), (), || format!("{said:?}")))
    })
    .await?;
    legs_say(&call.flow().await?, &relayed, transport)
}

/// The gateway's report has the relay of each of these pairs, and no other.
fn legs_say(report: &FlowReport, relayed: &[Pair], transport: RelayTransport) -> Result<()> {
    for leg in &report.legs {
        let expected = relayed.iter().any(|pair| pair.session == leg.session.as_str());
        ensure!(leg.relay.is_some() == expected, "leg {leg:?}");
        if let Some(relay) = &leg.relay {
            ensure!(relay.transport == Some(transport) && relay.region == "eu-west", "leg {leg:?}");
        }
    }
    Ok(())
}
