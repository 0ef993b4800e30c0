//! Relays die, leave and change their secret under calls: whoever is not on them notices nothing, the others are back soon.

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use plenum_api::{RelayPool, names};
use plenum_e2e::call::{Call, MEDIA, READY};
use plenum_e2e::page::{Page, Pair};
use plenum_e2e::process::{kill, pid_in_pod};
use plenum_e2e::relays::{self, credential, make_pool, node_address, relayed_room, turn_spec};
use plenum_e2e::scene::Scene;
use plenum_e2e::turn_client::TurnClient;
use plenum_e2e::wait::{Look, until};
use plenum_protocol::ice::IceServersRequest;
use plenum_protocol::turn::{Scope, password};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Death of a relay to frames by another one.
const BACK: Duration = Duration::from_secs(5);
/// The same when it was everybody's relay: three browsers on two cores gather, check and decode anew at once.
const ALL_BACK: Duration = Duration::from_secs(8);
/// A pod is restarted, or replaced, and known to gateways.
const POD_BACK: Duration = Duration::from_secs(60);
/// How long pictures may stand still when a relay is left, in seconds.
const BLINK: f64 = 1.0;
/// A leaving relay finds that what it has is not used, and its pod goes.
const LEFT: Duration = Duration::from_secs(100);
/// The operator notices a changed Secret, and the relays have it.
const ROTATED: Duration = Duration::from_secs(15);

/// What a page's legs hang on, and how long its pictures were frozen.
#[derive(Debug, Clone)]
struct Ground {
    pairs: BTreeMap<String, Pair>,
    frozen: f64,
}

impl Ground {
    async fn of(page: &Page) -> Result<Self> {
        let stats = page.stats().await?;
        let frozen = stats.inbound.iter().map(|inbound| inbound.freeze_seconds).sum();
        Ok(Self { pairs: stats.pairs.into_iter().map(|pair| (pair.session.clone(), pair)).collect(), frozen })
    }

    fn sessions(&self) -> BTreeSet<&String> {
        self.pairs.keys().collect()
    }

    /// Ends of the own legs: of relayed ones, the relay's address and port.
    fn ends(&self) -> BTreeSet<(Option<String>, Option<u16>)> {
        self.pairs.values().map(|pair| (pair.local_address.clone(), pair.local_port)).collect()
    }
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
    let here = make_pool(scene, "turn-eu", turn_spec("eu-west", 1, 13_300)).await?;
    let there = make_pool(scene, "turn-us", turn_spec("us-east", 1, 13_300)).await?;
    let (here, there) = (here.first().context("a ready pool has a pod")?, there.first().context("a pod")?);
    let mut call = Call::prepare(scene, "fragile", relayed_room(scene, "Always")).await?;
    call.enter_near("us-east", 0).await?;
    call.enter_near("eu-west", 0).await?;
    call.enter_near("eu-west", 1).await?;
    call.flows(30, MEDIA).await?;
    by_relay(&call, 0, there).await?;
    by_relay(&call, 1, here).await?;
    by_relay(&call, 2, here).await?;

    let [first, second, third] = legs_of(&call).await?;
    let process = pid_in_pod(&there.uid().unwrap_or_default(), names::APP_TURN_NODE)?;
    let start = Instant::now();
    kill(process);
    let page = call.pages.first().context("three are there")?;
    back_within(page, &first, start, BACK).await.context("the process was killed")?;
    by_relay(&call, 0, here).await?;
    // Its frames at the others were gone as long; theirs at each other never were.
    call.flows(10, MEDIA).await?;
    for (page, before) in call.pages.iter().skip(1).zip([&second, &third]) {
        let after = Ground::of(page).await?;
        ensure!(after.sessions() == before.sessions(), "{}: {before:?}, then {after:?}", page.name());
        ensure!(after.ends() == before.ends(), "{} was moved too: {before:?}, then {after:?}", page.name());
    }
    rejoined_nobody(&call).await?;
    pod_deleted(scene, &call, here).await?;
    call.end().await
}

async fn legs_of(call: &Call<'_>) -> Result<[Ground; 3]> {
    let mut found = Vec::new();
    for page in &call.pages {
        found.push(Ground::of(page).await?);
    }
    found.try_into().ok().context("three are there")
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

/// Every leg of the page has another end, the same session, and further frames.
async fn back_within(page: &Page, before: &Ground, start: Instant, limit: Duration) -> Result<()> {
    let mut base: BTreeMap<String, u64> = BTreeMap::new();
    until(&format!("{} is back", page.name()), limit.saturating_sub(start.elapsed()), async || {
        let stats = page.stats().await?;
        let after = Ground::of(page).await?;
        let moved = after.sessions() == before.sessions() && after.ends().is_disjoint(&before.ends());
        if !moved {
            return Ok(Look::NotYet(format!("before {:?}, now {:?}", before.ends(), after.ends())));
        }
        let mut further = 0;
        for inbound in &stats.inbound {
            let first = *base.entry(inbound.session.clone()).or_insert(inbound.frames_decoded);
            further += usize::from(inbound.frames_decoded >= first + 5);
        }
        let seen = || format!("{further} of {} pictures move", stats.inbound.len());
        Ok(Look::when(further == stats.inbound.len() && further > 0, (), seen))
    })
    .await?;
    eprintln!(
        "{}: frames by another relay {} ms after the first one's death",
        page.name(),
        start.elapsed().as_millis()
    );
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
    let before = legs_of(call).await?;
    let start = Instant::now();
    scene.suite.kube.delete_pod_at_once(&scene.namespace, &pod.name_any()).await?;
    for (page, before) in call.pages.iter().zip(&before) {
        back_within(page, before, start, ALL_BACK).await.context("the pod was deleted")?;
    }
    call.flows(10, MEDIA).await?;
    rejoined_nobody(call).await
}

pub(crate) async fn a_drained_relay_keeps_its_calls_until_they_end(scene: &Scene<'_>) -> Result<()> {
    scene.suite.shared_pools().await?;
    let pods = make_pool(scene, "turn", turn_spec("eu-west", 1, 13_310)).await?;
    let pod = pods.first().context("a ready pool has a pod")?.name_any();
    let mut call = Call::prepare(scene, "long", relayed_room(scene, "Always")).await?;
    call.enter("eu-west", 0).await?;
    call.enter("eu-west", 1).await?;
    call.flows(30, MEDIA).await?;
    let mut before = Vec::new();
    for page in &call.pages {
        before.push(Ground::of(page).await?);
    }

    let kube = &scene.suite.kube;
    scene.suite.env.kubectl(&["scale", "relaypool/turn", "--replicas=0", "-n", &scene.namespace]).await?;
    kube.wait(&scene.namespace, "turn", "one pod drains", READY, |pool: &RelayPool| {
        pool.status.as_ref().is_some_and(|status| status.draining_replicas == 1 && status.replicas == 0)
    })
    .await?;
    let token = scene.token("long", "late").await?;
    let wish = IceServersRequest {
        namespace: scene.namespace.clone(),
        room: "long".to_owned(),
        region: None,
        avoid: Vec::new(),
    };
    until("nobody is sent to the draining relay", READY, async || {
        let servers = scene.suite.door(0)?.ice_servers(&token, &wish).await?;
        let relays = servers.ice_servers.iter().filter(|server| server.username.is_some()).count();
        Ok(Look::when(relays == 0, (), || format!("{servers:?}")))
    })
    .await?;
    // A few seconds of media: longer than any consent or permission would stand without its relay.
    call.flows(100, MEDIA).await?;
    for (page, before) in call.pages.iter().zip(&before) {
        let after = Ground::of(page).await?;
        ensure!(after.ends() == before.ends(), "{} was moved: {before:?}, then {after:?}", page.name());
    }
    rejoined_nobody(&call).await?;
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
    let old = make_pool(scene, "turn-us", turn_spec("us-east", 1, 13_320)).await?;
    let new = make_pool(scene, "turn-eu", turn_spec("eu-west", 1, 13_320)).await?;
    let mut call = Call::prepare(scene, "moved", relayed_room(scene, "Always")).await?;
    call.enter_near("us-east", 0).await?;
    call.enter_near("eu-west", 0).await?;
    call.flows(30, MEDIA).await?;
    by_relay(&call, 0, old.first().context("a pod")?).await?;
    let mut before = Vec::new();
    for page in &call.pages {
        before.push(Ground::of(page).await?);
    }
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
    call.enter("eu-west", 0).await?;
    call.enter("eu-west", 1).await?;
    call.flows(30, MEDIA).await?;
    let mut before = Vec::new();
    for page in &call.pages {
        before.push(Ground::of(page).await?);
    }
    let old = relays::shared_secret(scene).await?;
    let new = format!("{:032x}", rand::random::<u128>()).into_bytes();
    keep(scene, Some(&new), Some(&old)).await?;
    new_joins_use(scene, "rotated", &new).await?;
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
    for (page, before) in call.pages.iter().zip(&before) {
        let after = Ground::of(page).await?;
        let kept = before.ends().is_subset(&after.ends());
        ensure!(kept, "{} was moved: {before:?}, then {after:?}", page.name());
    }
    rejoined_nobody(&call).await?;
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

async fn new_joins_use(scene: &Scene<'_>, room: &str, secret: &[u8]) -> Result<()> {
    let token = scene.token(room, "late").await?;
    let wish = IceServersRequest {
        namespace: scene.namespace.clone(),
        room: room.to_owned(),
        region: None,
        avoid: Vec::new(),
    };
    until("new joins use the new secret", ROTATED, async || {
        let servers = scene.suite.door(0)?.ice_servers(&token, &wish).await?;
        let relay =
            servers.ice_servers.iter().find_map(|server| server.username.clone().zip(server.credential.clone()));
        let (username, credential) = relay.context("there is no relay")?;
        Ok(Look::when(password(secret, &username) == credential, (), || "another secret".to_owned()))
    })
    .await
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
