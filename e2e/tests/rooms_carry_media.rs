//! People in a room see and hear each other, and the page shows which way their media goes.

use anyhow::{Context, Result, ensure};
use plenum_api::Room;
use plenum_api::room::{Basis, FlowName};
use plenum_e2e::call::{Call, MEDIA};
use plenum_e2e::kube::Kube;
use plenum_e2e::scene::Scene;
use plenum_e2e::suite::room_spec;
use plenum_protocol::flow::{self, LegState};
use std::collections::BTreeSet;
use std::time::Duration;

/// What a person bears, from the join to the first picture.
const FIRST_FRAME_MILLIS: f64 = 2_000.0;
/// `status.flow` is written at most every ten seconds after the first time.
const STATUS: Duration = Duration::from_secs(25);

pub(crate) async fn two_browsers_in_one_region_see_and_hear_each_other(scene: &Scene<'_>) -> Result<()> {
    scene.suite.shared_pools().await?;
    let mut call = Call::prepare(scene, "pair", room_spec("eu-west")).await?;
    call.enter("eu-west", 0).await?;
    scene.alone().await?;
    call.enter("eu-west", 1).await?;
    call.flows(40, MEDIA).await?;
    first_frames_in_time(&call).await?;
    scene.share().await?;
    flow_is_observed(scene, &call, 4).await?;
    for page in &call.pages {
        page.draws_what_stats_say(4, MEDIA).await?;
    }
    two_gateways_serve(&call).await?;
    plenumctl_draws_it(scene, &call).await?;

    let gone = call.pages.pop().context("there are two pages")?;
    gone.leave().await?;
    call.pages.first().context("there are two pages")?.sees(0, Duration::from_secs(5)).await?;
    gone.close().await?;
    call.end().await
}

pub(crate) async fn three_browsers_in_two_regions_see_and_hear_each_other(scene: &Scene<'_>) -> Result<()> {
    scene.suite.shared_pools().await?;
    let mut call = Call::prepare(scene, "trio", room_spec("eu-west")).await?;
    call.enter("eu-west", 0).await?;
    scene.alone().await?;
    call.enter("eu-west", 1).await?;
    call.enter("us-east", 0).await?;
    call.flows(40, MEDIA).await?;
    first_frames_in_time(&call).await?;
    scene.share().await?;
    flow_is_observed(scene, &call, 9).await?;
    // A tab that is closed without a word is gone too.
    let gone = call.pages.pop().context("there are three pages")?;
    gone.close().await?;
    for page in &call.pages {
        page.sees(1, Duration::from_secs(40)).await?;
    }
    call.flows(20, MEDIA).await?;
    call.end().await
}

async fn first_frames_in_time(call: &Call<'_>) -> Result<()> {
    // The first page waits for the second: only those that find somebody can be measured.
    let mut times = Vec::new();
    for page in call.pages.iter().skip(1) {
        times.push(page.first_frame_millis().await?);
    }
    times.sort_by(f64::total_cmp);
    let p50 = times.get(times.len() / 2).copied().context("nobody was measured")?;
    eprintln!("join to first frame: p50 {p50:.0} ms of {times:.0?}");
    if p50 > FIRST_FRAME_MILLIS {
        call.save().await;
    }
    ensure!(p50 <= FIRST_FRAME_MILLIS, "join to first frame took {times:?} ms");
    Ok(())
}

/// The Room's status, the gateway's report and the pages agree.
async fn flow_is_observed(scene: &Scene<'_>, call: &Call<'_>, legs: i32) -> Result<()> {
    let kube: &Kube = &scene.suite.kube;
    kube.wait(&scene.namespace, &call.room, "flow MediaServer, Observed", STATUS, |room: &Room| {
        room.status.as_ref().and_then(|status| status.flow.as_ref()).is_some_and(|flow| {
            flow.name == FlowName::MediaServer && flow.basis == Basis::Observed && flow.legs.direct == legs
        })
    })
    .await?;
    let token = scene.token(&call.room, "observer").await?;
    let report = scene.suite.door(0)?.flow(&scene.namespace, &call.room, &token).await?;
    ensure!(
        report.flow == flow::FlowName::MediaServer && report.basis == flow::Basis::Observed,
        "the gateway says {report:?}"
    );
    ensure!(report.counts.direct == legs, "the gateway counts {:?}, not {legs} legs", report.counts);
    let connected = report.legs.iter().filter(|leg| leg.state == LegState::Connected).count();
    ensure!(i32::try_from(connected).ok() == Some(legs), "the gateway lists {:?}", report.legs);
    let media = report.media.context("the gateway does not say where the media is")?;
    let (_, pod) = call.media_pod().await?;
    ensure!(media.pod == pod, "the gateway says pod {}, the Room says {pod}", media.pod);
    Ok(())
}

/// Any replica serves any client: two of them served this call.
async fn two_gateways_serve(call: &Call<'_>) -> Result<()> {
    let mut gateways = BTreeSet::new();
    for page in &call.pages {
        gateways.extend(page.drawn_legs().await?.into_iter().map(|leg| leg.gateway));
    }
    eprintln!("gateways: {gateways:?}");
    ensure!(gateways.len() >= 2, "one gateway served every leg: {gateways:?}");
    Ok(())
}

async fn plenumctl_draws_it(scene: &Scene<'_>, call: &Call<'_>) -> Result<()> {
    // The public URL is that of one node, which need not have a gateway.
    let door = scene.suite.door(0)?;
    let words = ["flow", &call.room, "--namespace", &scene.namespace, "--gateway", door.base()];
    let (fine, text) = scene.suite.env.plenumctl(&words).await?;
    ensure!(fine, "plenumctl flow: {text}");
    let (_, pod) = call.media_pod().await?;
    ensure!(text.contains(&pod) && text.contains("MediaServer"), "plenumctl flow does not show {pod}: {text}");
    Ok(())
}
