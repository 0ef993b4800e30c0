//! A call between two grows: a media server takes over under it, by a patch or when a third person comes.

use anyhow::{Context, Result, ensure};
use plenum_api::Room;
use plenum_api::room::{FlowName, Topology};
use plenum_e2e::call::{Call, MEDIA};
use plenum_e2e::page::Page;
use plenum_e2e::peers::peer_room;
use plenum_e2e::relays::{make_pool, turn_spec};
use plenum_e2e::room_socket::RoomSocket;
use plenum_e2e::scene::Scene;
use plenum_e2e::wait::{Look, until};
use plenum_protocol::problem::Code;
use plenum_protocol::room::ServerMessage;
use serde_json::json;
use std::time::Duration;

/// Longest time without a picture while the media server takes over.
const GAP_MILLIS: f64 = 2_000.0;
/// A media server is found, its node told, and the third person there: less than one attempt to connect that fails.
const THIRD_MILLIS: f64 = 6_000.0;
/// Calls that are patched: both sides of each are measured.
const CALLS: usize = 3;
const STATUS: Duration = Duration::from_secs(25);

pub(crate) async fn a_call_goes_on_by_a_media_server_when_the_room_is_patched(scene: &Scene<'_>) -> Result<()> {
    scene.suite.shared_pools().await?;
    let mut gaps = Vec::new();
    for number in 0..CALLS {
        let mut call = Call::prepare(scene, &format!("grows-{number}"), peer_room(scene, "Never")).await?;
        call.enter_all(&[("eu-west", 0), ("eu-west", 1)]).await?;
        call.flows(30, MEDIA).await?;
        third_is_refused(scene, &call).await?;
        scene.alone().await?;
        watch(&call).await?;
        let patch = r#"{"spec":{"topology":"MediaServer"}}"#;
        let words = ["patch", "room", &call.room, "-n", &scene.namespace, "--type=merge", "-p", patch];
        scene.suite.env.kubectl(&words).await?;
        handed_over(&call).await?;
        scene.share().await?;
        by_media_server(&call).await?;
        gaps.extend(gaps_of(&call).await?);
        if number == 0 {
            flow_says(scene, &call, FlowName::MediaServer).await?;
        }
        call.end().await?;
    }
    within_bound(gaps)
}

/// Whoever comes third hears what to change, and the two are not disturbed.
async fn third_is_refused(scene: &Scene<'_>, call: &Call<'_>) -> Result<()> {
    let token = scene.token(&call.room, "third").await?;
    let (_socket, answer) = RoomSocket::join(&scene.suite.door(1)?, &scene.namespace, &call.room, &token).await?;
    let ServerMessage::Error { code: Code::Full, detail } = &answer else {
        anyhow::bail!("the third person gets {answer:?}");
    };
    ensure!(
        detail.contains("patch room") && detail.contains("capacity.upgrade"),
        "the refusal does not say what to do: {detail}"
    );
    call.flows(10, MEDIA).await?;
    for page in &call.pages {
        ensure!(page.timings().await?.rejoins.is_empty(), "{} was disturbed by a third person", page.name());
    }
    Ok(())
}

async fn watch(call: &Call<'_>) -> Result<()> {
    for (page, other) in call.pages.iter().zip(call.pages.iter().rev()) {
        page.watch_frames(other.name()).await?;
    }
    Ok(())
}

/// Both have seen each other by another session.
async fn handed_over(call: &Call<'_>) -> Result<()> {
    for page in call.pages.iter().take(2) {
        until(&format!("{} sees another session", page.name()), MEDIA, async || {
            let frames = page.frames().await?;
            Ok(Look::when(frames.handover.is_some(), (), || format!("{frames:?}")))
        })
        .await?;
    }
    Ok(())
}

/// Everybody's media goes by the media pod, and peer connections are closed.
async fn by_media_server(call: &Call<'_>) -> Result<()> {
    let others = call.pages.len() - 1;
    for page in &call.pages {
        until(&format!("{} has left its peer", page.name()), MEDIA, async || {
            let (peers, stats): (usize, _) =
                (page.ask("return plenum.sessions.filter(s => s === 'peer').length").await?, page.stats().await?);
            let right = peers == 0 && stats.state == "joined" && stats.inbound.len() == others;
            Ok(Look::when(right, (), || format!("{peers} peers, {stats:?}")))
        })
        .await?;
    }
    call.flows(20, MEDIA).await?;
    call.media_pod().await.map(drop)
}

/// The Room says so too: one leg of each person for what they send, and one for what they see of each other.
async fn flow_says(scene: &Scene<'_>, call: &Call<'_>, flow: FlowName) -> Result<()> {
    let people = i32::try_from(call.pages.len())?;
    let room: Room = scene
        .suite
        .kube
        .wait(&scene.namespace, &call.room, &format!("flow {flow:?}, Observed"), STATUS, |room: &Room| {
            let seen = room.status.as_ref().and_then(|status| status.flow.as_ref());
            seen.is_some_and(|seen| seen.name == flow && seen.legs.direct + seen.legs.relayed == people * people)
        })
        .await?;
    ensure!(room.topology() == Topology::MediaServer, "the room runs as {:?}", room.topology());
    Ok(())
}

/// Of so few, the 95th percentile is the longest.
fn within_bound(mut gaps: Vec<f64>) -> Result<()> {
    gaps.sort_by(f64::total_cmp);
    let p95 = gaps.last().context("nobody watched")?;
    eprintln!("longest time without a picture while a media server takes over: p95 {p95:.0} ms of {gaps:.0?}");
    ensure!(*p95 < GAP_MILLIS, "{gaps:?}");
    Ok(())
}

async fn gaps_of(call: &Call<'_>) -> Result<Vec<f64>> {
    let mut gaps = Vec::new();
    // The third page of a call watches nobody.
    for page in call.pages.iter().take(2) {
        let (frames, timings) = (page.frames().await?, page.timings().await?);
        eprintln!("{}: {frames:?}, {:?}", page.name(), timings.rejoins);
        gaps.push(frames.longest);
        ensure!(frames.handover.is_some(), "{} saw one session only", page.name());
        ensure!(timings.rejoins.len() == 1, "{}: {:?}", page.name(), timings.rejoins);
        ensure!(timings.rejoins.iter().all(|rejoin| rejoin.reason == "Upgraded"), "{:?}", timings.rejoins);
    }
    Ok(gaps)
}

pub(crate) async fn a_third_person_brings_the_media_server_where_the_room_says_so(scene: &Scene<'_>) -> Result<()> {
    grows_by_a_third(scene, "Never", FlowName::MediaServer).await
}

pub(crate) async fn a_relayed_pair_grows_and_stays_relayed(scene: &Scene<'_>) -> Result<()> {
    make_pool(scene, "turn", turn_spec("eu-west", 1, 13_640)).await?;
    grows_by_a_third(scene, "Always", FlowName::MediaServerRelayed).await
}

async fn grows_by_a_third(scene: &Scene<'_>, policy: &str, flow: FlowName) -> Result<()> {
    scene.suite.shared_pools().await?;
    let mut spec = peer_room(scene, policy);
    spec["capacity"] = json!({"upgrade": "MediaServer"});
    let mut call = Call::prepare(scene, "open", spec).await?;
    call.enter_all(&[("eu-west", 0), ("eu-west", 1)]).await?;
    call.flows(30, MEDIA).await?;
    scene.alone().await?;
    watch(&call).await?;
    call.enter("us-east", 0).await?;
    handed_over(&call).await?;
    scene.share().await?;
    by_media_server(&call).await?;
    let gaps = gaps_of(&call).await?;
    within_bound(gaps)?;
    flow_says(scene, &call, flow).await?;
    let third: &Page = call.pages.get(2).context("three are there")?;
    let millis = third.first_frame_millis().await?;
    eprintln!("the third person's first frame came {millis:.0} ms after the join");
    ensure!(millis < THIRD_MILLIS, "the third person's first frame came {millis:.0} ms after the join");
    let spec = call.state().await?.spec.topology;
    ensure!(spec == Topology::PeerToPeer, "somebody wrote into the spec: {spec:?}");
    call.end().await
}
