//! Another implementation of WebRTC, Pion, publishes and watches: by relays, by any transport, and directly.

use anyhow::{Context, Result, ensure};
use kube::ResourceExt;
use plenum_e2e::call::{Call, MEDIA, READY};
use plenum_e2e::foreign_client::{ForeignClient, Learning, Part, Report, Way};
use plenum_e2e::relays::{listen_for_tls, make_pool, node_address, relayed_room, turn_spec};
use plenum_e2e::scene::Scene;
use plenum_e2e::suite::room_spec;
use plenum_e2e::wait::{Look, until};
use plenum_protocol::flow::Leg;

const ROOM: &str = "foreign";
const PORT: u16 = 13_500;
const TLS_PORT: u16 = 13_501;
/// Frames that are compared.
const VOICE: u64 = 100;
const PICTURES: u64 = 50;
/// Checks, which the relay counts and the client does not, in bytes.
const CHECKS: u64 = 4_000;

/// Somebody at client `number` of eu-west.
async fn start(scene: &Scene<'_>, number: usize, part: Part, way: (Way, Learning)) -> Result<ForeignClient> {
    let client = scene.client("eu-west", number).await?;
    let token = scene.token(ROOM, client.name()).await?;
    let front = match part {
        Part::Publish => "whip",
        Part::Watch => "whep",
    };
    let url = scene.suite.door(number)?.room_url(&scene.namespace, ROOM, front);
    ForeignClient::start(scene.suite, &client, (part, way.0, way.1), (&url, &token)).await
}

/// One publishes, one watches, and every frame that arrives is the one that was sent.
async fn same_frames(publisher: &mut ForeignClient, watcher: &mut ForeignClient) -> Result<(Report, Report)> {
    watcher
        .reports("frames arrive", MEDIA, |report| report.audio.made >= VOICE && report.video.made >= PICTURES)
        .await?;
    publisher.fall_silent().await?;
    let rest = |report: &Report| (report.audio.frames, report.video.frames, report.pair.as_ref().map(|p| p.bytes_sent));
    let mut before = None;
    until("the publisher rests", MEDIA, async || {
        let now = rest(&publisher.report()?);
        let same = before.replace(now) == Some(now);
        Ok(Look::when(same, (), || format!("{now:?}")))
    })
    .await?;
    let sent = publisher.report()?;
    let received = watcher.report()?;
    for (kind, sent, received) in [("audio", sent.audio, received.audio), ("video", sent.video, received.video)] {
        ensure!(received.made == received.frames, "{kind}: {received:?} of {sent:?}: a frame was changed on its way");
        ensure!(received.frames <= sent.frames, "{kind}: {received:?} of {sent:?}: a frame came twice");
    }
    Ok((sent, received))
}

/// The client says that it is relayed at an address of the relay, and the relay counts the bytes that the client counts.
fn agrees(leg: &Leg, report: &Report, pod: &str, protocol: &str) -> Result<(), String> {
    let shown = || format!("{leg:?}, {report:?}");
    let (Some(relay), Some(pair)) = (&leg.relay, &report.pair) else { return Err(format!("no relay: {}", shown())) };
    let transport = relay.transport.map(|transport| transport.to_string().to_lowercase());
    let here = pair.local_type == "relay" && pair.relay_protocol == protocol && transport.as_deref() == Some(protocol);
    if !here || relay.pod != pod || leg.client.port != Some(pair.local_port) {
        return Err(format!("another way: {}", shown()));
    }
    let near = |relayed: u64, counted: u64| relayed.abs_diff(counted) <= counted / 100 + CHECKS;
    let same = near(relay.sent_bytes, pair.bytes_sent) && near(relay.received_bytes, pair.bytes_received);
    if same { Ok(()) } else { Err(format!("other bytes: {}", shown())) }
}

pub(crate) async fn pion_publishes_and_watches_by_relays_alone(scene: &Scene<'_>) -> Result<()> {
    scene.suite.shared_pools().await?;
    let mut spec = turn_spec("eu-west", 1, PORT);
    listen_for_tls(scene, &mut spec, TLS_PORT).await?;
    let pods = make_pool(scene, "turn", spec).await?;
    let relay = pods.first().context("a ready pool has a pod")?;
    let mut call = Call::prepare(scene, ROOM, relayed_room(scene, "Always")).await?;
    for (out, back) in [
        (("udp", Learning::Post), ("tls", Learning::Link)),
        (("tcp", Learning::Link), ("udp", Learning::Post)),
        (("tls", Learning::Post), ("tcp", Learning::Link)),
    ] {
        let mut publisher = start(scene, 0, Part::Publish, (Way::Relay(out.0), out.1)).await?;
        publisher.reports("it sends", MEDIA, |report| report.video.frames > 0).await?;
        let mut watcher = start(scene, 1, Part::Watch, (Way::Relay(back.0), back.1)).await?;
        let (sent, received) = same_frames(&mut publisher, &mut watcher).await?;
        let clients = [(&publisher, out.0), (&watcher, back.0)];
        until("relay and clients count the same bytes", MEDIA, async || {
            let legs = call.flow().await?.legs;
            let mut wrong = Vec::new();
            for (client, protocol) in clients {
                let report = client.report()?;
                let leg =
                    legs.iter().find(|leg| leg.session.as_str() == report.session).context("no leg is its own")?;
                wrong.extend(agrees(leg, &report, &relay.name_any(), protocol).err());
            }
            Ok(Look::when(wrong.is_empty(), (), || wrong.join("; ")))
        })
        .await?;
        let address = node_address(relay)?.to_string();
        for pair in [&sent.pair, &received.pair].into_iter().flatten() {
            ensure!(pair.local_address == address, "relayed at {}, not at {address}", pair.local_address);
        }
        eprintln!("{} to {}: {:?} of {:?} frames", out.0, back.0, received.video.made, sent.video.frames);
        watcher.end().await?;
        publisher.end().await?;
        until("the room is empty", MEDIA, async || {
            let legs = call.flow().await?.legs;
            Ok(Look::when(legs.is_empty(), (), || format!("{legs:?}")))
        })
        .await?;
    }

    // What a browser sends arrives as well.
    call.enter("eu-west", 0).await?;
    until("the browser sends", MEDIA, async || {
        let sent = call.pages.first().context("one is there")?.stats().await?.outbound;
        let flows = sent.len() == 2 && sent.iter().all(|track| track.packets_sent > 10);
        Ok(Look::when(flows, (), || format!("{sent:?}")))
    })
    .await?;
    let mut watcher = start(scene, 1, Part::Watch, (Way::Relay("udp"), Learning::Link)).await?;
    let seen = |report: &Report| report.audio.frames >= VOICE && report.video.frames >= PICTURES;
    watcher.reports("a browser's frames arrive", MEDIA, seen).await?;
    watcher.end().await?;
    call.end().await
}

pub(crate) async fn pion_publishes_and_watches_directly(scene: &Scene<'_>) -> Result<()> {
    scene.suite.shared_pools().await?;
    scene.suite.kube.apply_room(&scene.namespace, ROOM, room_spec("eu-west")).await?;
    scene.suite.kube.ready_room(&scene.namespace, ROOM, READY).await?;
    let way = (Way::Direct, Learning::Post);
    let mut publisher = start(scene, 0, Part::Publish, way).await?;
    publisher.reports("it sends", MEDIA, |report| report.video.frames > 0).await?;
    let mut watcher = start(scene, 1, Part::Watch, way).await?;
    let (sent, received) = same_frames(&mut publisher, &mut watcher).await?;
    for (number, report) in [sent, received].into_iter().enumerate() {
        let own = scene.client("eu-west", number).await?.address()?.to_string();
        let pair = report.pair.context("a client has no pair")?;
        ensure!(pair.local_type == "host" && pair.local_address == own, "{pair:?} is not direct from {own}");
    }
    watcher.end().await?;
    publisher.end().await
}
