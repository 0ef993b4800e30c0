//! Relays die, leave and change their secret under calls: whoever is not on them notices nothing, the others are back soon.

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::try_join_all;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use plenum_api::{RelayPool, names};
use plenum_e2e::call::{Call, MEDIA, READY};
use plenum_e2e::page::{Page, PageStats, Pair};
use plenum_e2e::process::{kill, pid_in_pod};
use plenum_e2e::relays::{self, credential, ice_servers, make_pool, node_address, relayed_room, turn_spec};
use plenum_e2e::scene::Scene;
use plenum_e2e::turn_client::TurnClient;
use plenum_e2e::wait::{Look, until};
use plenum_protocol::turn::{Scope, password};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::try_join;

/// Death of a relay to frames by another one, also when it was everybody's.
const BACK: Duration = Duration::from_secs(5);
/// Frames that show that pictures move again.
const MOVES: u64 = 5;
/// A pod is restarted, or replaced, and known to gateways.
const POD_BACK: Duration = Duration::from_secs(60);
/// How long pictures may stand still when a relay is left, in seconds.
const BLINK: f64 = 1.0;
/// A leaving relay finds that what it has is not used, and its pod goes.
const LEFT: Duration = Duration::from_secs(100);
/// The operator notices a changed Secret, and the relays have it.
const ROTATED: Duration = Duration::from_secs(15);

/// When a relay died, by the clocks of this program and of the pages (milliseconds since 1970).
#[derive(Debug, Clone, Copy)]
struct Death {
    at: Instant,
    millis: f64,
}

impl Death {
    fn now() -> Result<Self> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).context("reading the clock")?;
        Ok(Self { at: Instant::now(), millis: since.as_secs_f64() * 1_000.0 })
    }
}

/// What a page's legs hang on, and how long its pictures were frozen.
#[derive(Debug, Clone)]
struct Ground {
    pairs: BTreeMap<String, Pair>,
    frozen: f64,
}

impl From<PageStats> for Ground {
    fn from(stats: PageStats) -> Self {
        let frozen = stats.inbound.iter().map(|inbound| inbound.freeze_seconds).sum();
        Self { pairs: stats.pairs.into_iter().map(|pair| (pair.session.clone(), pair)).collect(), frozen }
    }
}

impl Ground {
    async fn of(page: &Page) -> Result<Self> {
        page.stats().await.map(Self::from)
    }

    /// Of every page of a call, in their order.
    async fn all(call: &Call<'_>) -> Result<Vec<Self>> {
        try_join_all(call.pages.iter().map(Self::of)).await
    }

    fn sessions(&self) -> BTreeSet<&String> {
        self.pairs.keys().collect()
    }

    /// Ends of the own legs: of relayed ones, the relay's address and port.
    fn ends(&self) -> BTreeSet<(Option<String>, Option<u16>)> {
        self.pairs.values().map(|pair| (pair.local_address.clone(), pair.local_port)).collect()
    }
}

/// Every page goes on by the ends that it had, and nobody rejoined.
async fn moved_nobody(call: &Call<'_>, before: &[Ground]) -> Result<()> {
    for (page, before) in call.pages.iter().zip(before) {
        let after = Ground::of(page).await?;
        let kept = before.ends().is_subset(&after.ends());
        ensure!(kept, "{} was moved: {before:?}, then {after:?}", page.name());
    }
    rejoined_nobody(call).await
}

async fn rejoined_nobody(call: &Call<'_>) -> Result<()> {
    for page in &call.pages {
        let timings = page.timings().await?;
        ensure!(timings.rejoins.is_empty(), "{} had to rejoin: {:?}", page.name(), timings.rejoins);
    }
    Ok(())
}

pub(crate) async fn a_relays_death_costs_its_legs_less_than_five_seconds(scene: &Scene<'_>) -> Result<()> {
    scene.suite.shared_pools().await?;
    let (here, there) = try_join!(
        make_pool(scene, "turn-eu", turn_spec("eu-west", 1, 13_300)),
        make_pool(scene, "turn-us", turn_spec("us-east", 1, 13_300)),
    )?;
    let (here, there) = (here.first().context("a ready pool has a pod")?, there.first().context("a pod")?);
    let mut call = Call::prepare(scene, "fragile", relayed_room(scene, "Always")).await?;
    call.enter_near("us-east", 0).await?;
    call.enter_near("eu-west", 0).await?;
    call.enter_near("eu-west", 1).await?;
    call.flows(30, MEDIA).await?;
    by_relay(&call, 0, there).await?;
    by_relay(&call, 1, here).await?;
    by_relay(&call, 2, here).await?;

    scene.alone().await?;
    let before = Ground::all(&call).await?;
    let process = pid_in_pod(&there.uid().unwrap_or_default(), names::APP_TURN_NODE)?;
    let death = Death::now()?;
    kill(process);
    let page = call.pages.first().context("three are there")?;
    back_in_time(page, before.first().context("three are there")?, death).await.context("the process was killed")?;
    scene.share().await?;
    by_relay(&call, 0, here).await?;
    // Its frames at the others were gone as long; theirs at each other never were.
    call.flows(10, MEDIA).await?;
    for (page, before) in call.pages.iter().zip(&before).skip(1) {
        let after = Ground::of(page).await?;
        ensure!(after.sessions() == before.sessions(), "{}: {before:?}, then {after:?}", page.name());
        ensure!(after.ends() == before.ends(), "{} was moved too: {before:?}, then {after:?}", page.name());
    }
    rejoined_nobody(&call).await?;
    pod_deleted(scene, &call, here).await?;
    call.end().await
}

/// The page's legs go by this pod.
async fn by_relay(call: &Call<'_>, page: usize, pod: &Pod) -> Result<()> {
    let page = call.pages.get(page).context("no such page")?;
    until(&format!("{} goes by {}", page.name(), pod.name_any()), MEDIA, async || {
        let own = page.pairs().await?;
        let report = call.flow().await?;
        let legs: Vec<_> = report.legs.iter().filter(|leg| own.contains_key(leg.session.as_str())).collect();
        let right = legs.len() == own.len()
            && legs.iter().all(|leg| leg.relay.as_ref().is_some_and(|relay| relay.pod == pod.name_any()));
        Ok(Look::when(right, (), || format!("{legs:?}")))
    })
    .await
}

/// Every leg of the page has another end, the same session, and further frames, within [`BACK`] of the death.
async fn back_in_time(page: &Page, before: &Ground, death: Death) -> Result<()> {
    let mut base: BTreeMap<String, u64> = BTreeMap::new();
    let mut moved = None;
    until(&format!("{} is back", page.name()), BACK.saturating_sub(death.at.elapsed()), async || {
        let stats = page.stats().await?;
        let inbound = stats.inbound.clone();
        let after = Ground::from(stats);
        if after.sessions() != before.sessions() || !after.ends().is_disjoint(&before.ends()) {
            return Ok(Look::NotYet(format!("before {:?}, now {:?}", before.ends(), after.ends())));
        }
        moved.get_or_insert_with(|| death.at.elapsed().as_millis());
        let moves = inbound.iter().filter(|inbound| {
            let first = *base.entry(inbound.session.clone()).or_insert(inbound.frames_decoded);
            inbound.frames_decoded >= first + MOVES
        });
        let moves = moves.count();
        let seen = || format!("{moves} of {} pictures move", inbound.len());
        Ok(Look::when(moves == inbound.len() && moves > 0, (), seen))
    })
    .await?;
    let (name, moved, back) = (page.name(), moved.unwrap_or_default(), death.at.elapsed().as_millis());
    let restarts = page.timings().await?.ice_restarts;
    let begun = restarts.iter().filter(|restart| restart.at >= death.millis);
    let begun: Vec<_> =
        begun.map(|restart| format!("{:.0} ms ({})", restart.at - death.millis, restart.reason)).collect();
    eprintln!("{name}: restarts after {}; all moved after {moved} ms, frames after {back} ms", begun.join(", "));
    Ok(())
}

/// The other relay, by which all three go now, is deleted as if its node were lost. The first one is back by then.
async fn pod_deleted(scene: &Scene<'_>, call: &Call<'_>, pod: &Pod) -> Result<()> {
    relays::ready_pool(scene, "turn-us").await?;
    let system = &scene.suite.env.namespace;
    until("both relays are known", POD_BACK, async || {
        let known = relays::directory(&scene.suite.kube, system).await?.relays;
        let ours = known.iter().filter(|relay| relay.namespace == scene.namespace).count();
        Ok(Look::when(ours == 2, (), || format!("{ours} of 2")))
    })
    .await?;
    scene.alone().await?;
    let before = Ground::all(call).await?;
    let death = Death::now()?;
    scene.suite.kube.delete_pod_at_once(&scene.namespace, &pod.name_any()).await?;
    let pages = call.pages.iter().zip(&before);
    try_join_all(pages.map(|(page, before)| back_in_time(page, before, death))).await.context("the pod was deleted")?;
    scene.share().await?;
    call.flows(10, MEDIA).await?;
    rejoined_nobody(call).await
}

pub(crate) async fn a_drained_relay_keeps_its_calls_until_they_end(scene: &Scene<'_>) -> Result<()> {
    scene.suite.shared_pools().await?;
    let pods = make_pool(scene, "turn", turn_spec("eu-west", 1, 13_310)).await?;
    let pod = pods.first().context("a ready pool has a pod")?.name_any();
    let mut call = Call::prepare(scene, "long", relayed_room(scene, "Always")).await?;
    call.enter_all(&[("eu-west", 0), ("eu-west", 1)]).await?;
    call.flows(30, MEDIA).await?;
    let before = Ground::all(&call).await?;

    let kube = &scene.suite.kube;
    scene.suite.env.kubectl(&["scale", "relaypool/turn", "--replicas=0", "-n", &scene.namespace]).await?;
    kube.wait(&scene.namespace, "turn", "one pod drains", READY, |pool: &RelayPool| {
        pool.status.as_ref().is_some_and(|status| status.draining_replicas == 1 && status.replicas == 0)
    })
    .await?;
    until("nobody is sent to the draining relay", READY, async || {
        let relay = late_relay(scene, &call.room).await?;
        Ok(Look::when(relay.is_none(), (), || format!("{relay:?}")))
    })
    .await?;
    // A few seconds of media: longer than any consent or permission would stand without its relay.
    call.flows(100, MEDIA).await?;
    moved_nobody(&call, &before).await?;
    ensure!(relays::pods(scene, "turn").await?.iter().any(|left| left.name_any() == pod), "the pod left the call");
    // Whoever hangs up ends his allocations; those of a browser that is killed would stand for ten minutes.
    for page in &call.pages {
        page.leave().await?;
    }
    until("the pod is gone when nobody needs it", POD_BACK, async || {
        let left: Vec<_> = relays::pods(scene, "turn").await?.iter().map(ResourceExt::name_any).collect();
        Ok(Look::when(left.is_empty(), (), || format!("{left:?}")))
    })
    .await?;
    call.end().await
}

pub(crate) async fn a_relay_that_leaves_hands_its_legs_over_in_less_than_a_second(scene: &Scene<'_>) -> Result<()> {
    scene.suite.shared_pools().await?;
    let (old, new) = try_join!(
        make_pool(scene, "turn-us", turn_spec("us-east", 1, 13_320)),
        make_pool(scene, "turn-eu", turn_spec("eu-west", 1, 13_320)),
    )?;
    let mut call = Call::prepare(scene, "moved", relayed_room(scene, "Always")).await?;
    call.enter_near("us-east", 0).await?;
    call.enter_near("eu-west", 0).await?;
    call.flows(30, MEDIA).await?;
    by_relay(&call, 0, old.first().context("a pod")?).await?;
    scene.alone().await?;
    let before = Ground::all(&call).await?;
    scene.suite.env.kubectl(&["scale", "relaypool/turn-us", "--replicas=0", "-n", &scene.namespace]).await?;
    by_relay(&call, 0, new.first().context("a pod")?).await?;
    call.flows(20, MEDIA).await?;
    for (page, before) in call.pages.iter().zip(&before) {
        let after = Ground::of(page).await?;
        ensure!(after.sessions() == before.sessions(), "{}: {before:?}, then {after:?}", page.name());
        let frozen = after.frozen - before.frozen;
        eprintln!("{}: frozen for {:.0} ms while a relay left", page.name(), frozen * 1_000.0);
        ensure!(frozen < BLINK, "{} was frozen for {frozen} s", page.name());
    }
    rejoined_nobody(&call).await?;
    scene.share().await?;
    // Browsers keep the relayed addresses of a path that they left: the relay finds that nobody uses them.
    until("the empty pod is gone", LEFT, async || {
        let left: Vec<_> = relays::pods(scene, "turn-us").await?.iter().map(ResourceExt::name_any).collect();
        Ok(Look::when(left.is_empty(), (), || format!("{left:?}")))
    })
    .await?;
    call.end().await
}

pub(crate) async fn a_rotated_turn_secret_drops_nobody(scene: &Scene<'_>) -> Result<()> {
    scene.suite.shared_pools().await?;
    let pods = make_pool(scene, "turn", turn_spec("eu-west", 1, 13_330)).await?;
    let server = SocketAddr::new(node_address(pods.first().context("a ready pool has a pod")?)?, 13_330);
    let mut call = Call::prepare(scene, "rotated", relayed_room(scene, "Always")).await?;
    call.enter_all(&[("eu-west", 0), ("eu-west", 1)]).await?;
    call.flows(30, MEDIA).await?;
    let before = Ground::all(&call).await?;
    let old = relays::shared_secret(scene).await?;
    let new = format!("{:032x}", rand::random::<u128>()).into_bytes();
    keep(scene, Some(&new), Some(&old)).await?;
    until("new joins use the new secret", ROTATED, async || {
        let (username, credential) = late_relay(scene, &call.room).await?.context("there is no relay")?;
        Ok(Look::when(password(&new, &username) == credential, (), || "another secret".to_owned()))
    })
    .await?;
    for secret in [&old, &new] {
        admits(server, secret, true).await?;
    }
    // Who joins now talks with those who joined before.
    call.enter("us-east", 0).await?;
    call.flows(30, MEDIA).await?;

    keep(scene, Some(&new), None).await?;
    admits(server, &old, false).await.context("the old secret is gone")?;
    admits(server, &new, true).await?;
    call.flows(60, MEDIA).await?;
    moved_nobody(&call, &before).await?;
    call.end().await
}

/// Writes the pool's Secret; `None` removes a key.
async fn keep(scene: &Scene<'_>, current: Option<&[u8]>, previous: Option<&[u8]>) -> Result<()> {
    let encoded = |secret: Option<&[u8]>| secret.map(|secret| STANDARD.encode(secret));
    let data = json!({"data": {names::KEY_CURRENT: encoded(current), names::KEY_PREVIOUS: encoded(previous)}});
    let api = scene.suite.kube.api::<Secret>(&scene.namespace);
    let patch = Patch::Merge(&data);
    api.patch(names::SECRET_TURN_AUTH, &PatchParams::default(), &patch).await.context("rotating").map(drop)
}

/// Username and password at the relay that somebody who joins now is sent to.
async fn late_relay(scene: &Scene<'_>, room: &str) -> Result<Option<(String, String)>> {
    let servers = ice_servers(scene, room, None, &[]).await?.ice_servers;
    Ok(servers.into_iter().find_map(|server| server.username.zip(server.credential)))
}

/// The relay takes, or refuses, credentials of this secret.
async fn admits(server: SocketAddr, secret: &[u8], wanted: bool) -> Result<()> {
    until(&format!("admitted is {wanted}"), ROTATED, async || {
        let socket = UdpSocket::bind((IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0)).context("making a socket")?;
        let mut client = TurnClient::new(socket, server, credential(secret, "probe", Some(Scope::Media), 600)?)?;
        let answer = client.allocate(Vec::new()).await?;
        if answer.is_ok() {
            client.refresh(0).await?.ok().context("an allocation cannot be ended")?;
        } else {
            ensure!(answer == Err(401), "refused with {answer:?}");
        }
        Ok(Look::when(answer.is_ok() == wanted, (), || format!("{answer:?}")))
    })
    .await
}
