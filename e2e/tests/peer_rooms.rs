//! Two people and no media server: straight, both relayed, or one of them; and what the Room, the page and plenumctl say of it.

use crate::turn_rooms::shown;
use anyhow::{Context, Result, ensure};
use plenum_api::{Room, conditions};
use plenum_e2e::call::{Call, MEDIA, READY};
use plenum_e2e::cluster::Firewall;
use plenum_e2e::kube::{has_condition, is_true};
use plenum_e2e::page::{Page, Pair};
use plenum_e2e::peers::{pair_observed, peer_room};
use plenum_e2e::relays::{make_pool, turn_spec};
use plenum_e2e::scene::Scene;
use plenum_protocol::flow::CandidateType;
use plenum_protocol::ice::IceServersRequest;
use serde_json::json;
use std::time::Duration;

/// What a person bears, from the join to the first picture.
const FIRST_FRAME_MILLIS: f64 = 2_000.0;
/// `media.maxBitrateKbps` of a Room that does not say.
const VIDEO_BITS: f64 = 2_500_000.0;
const GONE: Duration = Duration::from_secs(5);

pub(crate) async fn two_browsers_speak_straight_within_and_across_regions(scene: &Scene<'_>) -> Result<()> {
    // A relay is there for the second room, and not used.
    make_pool(scene, "turn", turn_spec("eu-west", 1, 13_600)).await?;
    for (room, policy, other) in [("near", "Never", ("eu-west", 1)), ("far", "Fallback", ("us-east", 0))] {
        let mut call = Call::prepare(scene, room, peer_room(scene, policy)).await?;
        let state = call.state().await?;
        ensure!(
            has_condition(&state, conditions::SCHEDULED, "True", "NotNeeded"),
            "Scheduled: {:?}",
            state.condition(conditions::SCHEDULED)
        );
        if policy == "Fallback" {
            relays_say(scene, &call, "False", "RelayedAddressUnreachable").await?;
        }
        call.enter("eu-west", 0).await?;
        scene.alone().await?;
        call.enter(other.0, other.1).await?;
        call.flows(40, MEDIA).await?;
        for page in &call.pages {
            let pair = only_pair(page).await?;
            ensure!(!pair.is_relayed() && pair.remote_type.as_deref() != Some("relay"), "{}: {pair:?}", page.name());
            let limit = page.video_limit().await?;
            ensure!(limit == Some(VIDEO_BITS), "{} sends up to {limit:?} bit/s", page.name());
        }
        let second = call.pages.last().context("two are there")?;
        let millis = second.first_frame_millis().await?;
        eprintln!("{room}: join to first frame {millis:.0} ms");
        scene.share().await?;
        ensure!(millis <= FIRST_FRAME_MILLIS, "{room}: join to first frame took {millis:.0} ms");
        pair_observed(scene, &call, false).await?;
        for page in &call.pages {
            page.draws_pair(0).await?;
        }
        drawn_by_plenumctl(scene, &call, "PeerToPeer").await?;
        let gone = call.pages.pop().context("two are there")?;
        gone.leave().await?;
        call.pages.first().context("one is there")?.sees(0, GONE).await?;
        gone.close().await?;
        call.end().await?;
    }
    Ok(())
}

/// Whether one relayed side would do; the Room is Ready all the same.
async fn relays_say(scene: &Scene<'_>, call: &Call<'_>, status: &str, reason: &str) -> Result<()> {
    let right =
        |room: &Room| has_condition(room, conditions::RELAY_READY, status, reason) && is_true(room, conditions::READY);
    scene.suite.kube.wait(&scene.namespace, &call.room, reason, READY, right).await.map(drop)
}

async fn only_pair(page: &Page) -> Result<Pair> {
    let pairs = page.stats().await?.pairs;
    let [pair] = pairs.as_slice() else { anyhow::bail!("{}: {pairs:?}", page.name()) };
    Ok(pair.clone())
}

async fn drawn_by_plenumctl(scene: &Scene<'_>, call: &Call<'_>, flow: &str) -> Result<()> {
    let door = scene.suite.door(0)?;
    let words = ["flow", &call.room, "--namespace", &scene.namespace, "--gateway", door.base()];
    let (fine, text) = scene.suite.env.plenumctl(&words).await?;
    ensure!(fine && text.contains(flow) && text.contains('⟷'), "plenumctl flow does not draw {flow}: {text}");
    Ok(())
}

pub(crate) async fn a_pair_is_relayed_where_the_room_says_always(scene: &Scene<'_>) -> Result<()> {
    let relays = make_pool(scene, "turn", turn_spec("eu-west", 1, 13_610)).await?;
    let mut call = Call::prepare(scene, "always", peer_room(scene, "Always")).await?;
    only_peers(scene, "always").await?;
    call.enter_all(&[("eu-west", 0), ("eu-west", 1)]).await?;
    call.flows(40, MEDIA).await?;
    both_relayed(scene, &call).await?;
    shown(scene, &call, &relays, "UDP").await?;
    call.end().await
}

/// Credentials of the room reach peers, and no media pods.
async fn only_peers(scene: &Scene<'_>, room: &str) -> Result<()> {
    let wish = IceServersRequest {
        namespace: scene.namespace.clone(),
        room: room.to_owned(),
        region: None,
        avoid: Vec::new(),
        participant: None,
        mode: None,
    };
    let servers = scene.suite.door(0)?.ice_servers(&scene.token(room, "asker").await?, &wish).await?;
    let username = servers.ice_servers.iter().find_map(|server| server.username.clone()).context("no relay")?;
    ensure!(username.ends_with(":peers"), "the credential's scope is another one: {username}");
    Ok(())
}

async fn both_relayed(scene: &Scene<'_>, call: &Call<'_>) -> Result<()> {
    for page in &call.pages {
        let pair = only_pair(page).await?;
        ensure!(pair.is_relayed(), "{}: {pair:?}", page.name());
    }
    let report = pair_observed(scene, call, true).await?;
    for leg in &report.legs {
        let relay = leg.relay.as_ref().with_context(|| format!("no relay in {leg:?}"))?;
        ensure!(relay.pool == "turn" && relay.region == "eu-west", "another relay: {leg:?}");
    }
    for page in &call.pages {
        page.draws_pair(2).await?;
    }
    drawn_by_plenumctl(scene, call, "PeerToPeerRelayed").await
}

pub(crate) async fn two_clients_that_reach_only_servers_are_relayed(scene: &Scene<'_>) -> Result<()> {
    make_pool(scene, "turn", turn_spec("eu-west", 2, 13_620)).await?;
    let mut walls = Vec::new();
    for number in [0, 1] {
        walls.push(scene.client("eu-west", number).await?.firewall(&Firewall::Servers).await?);
    }
    let mut call = Call::prepare(scene, "walled", peer_room(scene, "Fallback")).await?;
    call.enter_all(&[("eu-west", 0), ("eu-west", 1)]).await?;
    call.flows(40, MEDIA).await?;
    both_relayed(scene, &call).await?;
    call.end().await?;
    drop(walls);
    Ok(())
}

pub(crate) async fn one_side_is_relayed_by_a_pool_on_the_network_of_its_nodes(scene: &Scene<'_>) -> Result<()> {
    let open = scene.client("eu-west", 0).await?;
    let mut spec = turn_spec("eu-west", 1, 13_630);
    spec["exposure"] = json!({
        "type": "HostNetwork", "address": {"source": "NodeInternalIP"}, "portRange": {"min": 25_200, "max": 25_209},
    });
    // The clients of the tests have addresses that are not public.
    spec["turn"]["peers"] = json!({"allow": [{"cidr": format!("{}/32", open.address()?)}]});
    make_pool(scene, "turn", spec).await?;
    let wall = scene.client("us-east", 0).await?.firewall(&Firewall::Servers).await?;
    let mut call = Call::prepare(scene, "half", peer_room(scene, "Fallback")).await?;
    relays_say(scene, &call, "True", "RelaysReady").await?;
    call.enter_all(&[("eu-west", 0), ("us-east", 0)]).await?;
    call.flows(40, MEDIA).await?;
    let [direct, walled]: [&Page; 2] =
        call.pages.iter().collect::<Vec<_>>().try_into().ok().context("two are there")?;
    let pair = only_pair(walled).await?;
    ensure!(pair.is_relayed() && pair.remote_type.as_deref() != Some("relay"), "{}: {pair:?}", walled.name());
    let pair = only_pair(direct).await?;
    ensure!(!pair.is_relayed() && pair.remote_type.as_deref() == Some("relay"), "{}: {pair:?}", direct.name());
    let report = pair_observed(scene, &call, true).await?;
    let own: Vec<_> = report.legs.iter().filter(|leg| leg.relay.is_some()).collect();
    ensure!(own.len() == 1, "not one side has a relay of its own: {:?}", report.legs);
    for leg in &report.legs {
        let sees = leg.relay.is_some() || leg.node.candidate_type == Some(CandidateType::Relay);
        ensure!(sees, "a leg knows of no relay: {leg:?}");
    }
    for page in &call.pages {
        page.draws_pair(1).await?;
    }
    call.end().await?;
    drop(wall);
    Ok(())
}
