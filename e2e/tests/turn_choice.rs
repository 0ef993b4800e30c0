//! Which relay a client is sent to, when none is wanted, and what a Room says that finds none.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use plenum_api::{RelayPool, Room, conditions};
use plenum_e2e::call::{Call, MEDIA, READY};
use plenum_e2e::kube::{has_condition, is_true};
use plenum_e2e::page::Pair;
use plenum_e2e::relays::{self, apply_pool, ice_servers, make_pool, node_address, pool_names, relayed_room, turn_spec};
use plenum_e2e::scene::Scene;
use plenum_e2e::turn_client::{Credential, TurnClient};
use plenum_e2e::wait::{Look, until};
use plenum_protocol::ice::{IceServer, IceServers, IceTransportPolicy};
use plenum_protocol::turn::{Scope, Username};
use reqwest::{Method, header};
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::try_join;

/// A pool's pods come or go, and the Rooms and gateways learn of it.
const SOON: Duration = Duration::from_secs(60);

/// The one relay of an answer.
fn relay_of(servers: &IceServers) -> Result<&IceServer> {
    let relays: Vec<_> = servers.ice_servers.iter().filter(|server| server.username.is_some()).collect();
    let [one] = relays.as_slice() else { anyhow::bail!("not one relay: {servers:?}") };
    Ok(one)
}

pub(crate) async fn a_client_gets_a_relay_near_itself(scene: &Scene<'_>) -> Result<()> {
    scene.suite.shared_pools().await?;
    let (here, there) = try_join!(
        make_pool(scene, "turn-eu", turn_spec("eu-west", 1, 13_200)),
        make_pool(scene, "turn-us", turn_spec("us-east", 1, 13_200)),
    )?;
    let mut call = Call::prepare(scene, "far", relayed_room(scene, "Always")).await?;
    for (region, pods) in [("eu-west", &here), ("us-east", &there)] {
        let pod = pods.first().context("a ready pool has a pod")?;
        let servers = near(scene, region, pod).await?;
        for_this_room(&servers, pod, 13_200)?;
        let others = ice_servers(scene, "far", Some(region), &[pod.name_any()]).await?;
        let other = relay_of(&others)?.relay.clone().context("a relay has a place")?;
        ensure!(other.pod != pod.name_any(), "asked to avoid {}, got {other:?}", pod.name_any());
    }
    links_name_a_relay(scene).await?;

    call.enter_near("eu-west", 0).await?;
    call.enter_near("us-east", 0).await?;
    call.flows(30, MEDIA).await?;
    for (page, region) in call.pages.iter().zip(["eu-west", "us-east"]) {
        let own = page.pairs().await?;
        let report = call.flow().await?;
        for leg in report.legs.iter().filter(|leg| own.contains_key(leg.session.as_str())) {
            ensure!(leg.relay.as_ref().is_some_and(|relay| relay.region == region), "{}: {leg:?}", page.name());
        }
    }
    call.end().await
}

/// Asks until the gateway knows the pod: it learns of it by a watch.
async fn near(scene: &Scene<'_>, region: &str, pod: &Pod) -> Result<IceServers> {
    until(&format!("the relay of {region} is {}", pod.name_any()), READY, async || {
        let servers = ice_servers(scene, "far", Some(region), &[]).await?;
        let place = relay_of(&servers).ok().and_then(|relay| relay.relay.clone());
        let right = place.as_ref().is_some_and(|place| place.pod == pod.name_any() && place.region == region);
        let shown = format!("{place:?}");
        Ok(Look::when(right, servers, || shown))
    })
    .await
}

/// URLs of the pod's node, in order; a credential of scope `media`, which the relay takes.
fn for_this_room(servers: &IceServers, pod: &Pod, port: u16) -> Result<()> {
    let address = node_address(pod)?;
    let relay = relay_of(servers)?;
    let turn: Vec<&String> = relay.urls.iter().filter(|url| url.starts_with("turn")).collect();
    let wanted = [format!("turn:{address}:{port}?transport=udp"), format!("turn:{address}:{port}?transport=tcp")];
    ensure!(turn.iter().copied().eq(wanted.iter()), "the URLs are {:?}, not {wanted:?}", relay.urls);
    let stun = format!("stun:{address}:{port}");
    ensure!(servers.ice_servers.iter().any(|server| server.urls.contains(&stun)), "no {stun} in {servers:?}");
    ensure!(servers.ice_transport_policy == IceTransportPolicy::Relay, "an Always room says {servers:?}");
    let username = relay.username.as_deref().unwrap_or_default();
    let parsed = Username::parse(username).with_context(|| format!("reading {username}"))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("reading the clock")?.as_secs();
    let lives = parsed.expires > now + 60 && parsed.expires == servers.expires_at;
    ensure!(parsed.scope == Some(Scope::Media) && lives, "{username}, expires_at {}", servers.expires_at);
    Ok(())
}

/// WHIP and WHEP name the ICE servers in Link headers (RFC 9725 section 4.6), but not in a preflight's answer.
async fn links_name_a_relay(scene: &Scene<'_>) -> Result<()> {
    let door = scene.suite.door(0)?;
    let browser = scene.client("eu-west", 0).await?.browser(scene.suite.origins()).await?;
    browser.go(&format!("{}/assets/none", door.base())).await?;
    let page = plenum_e2e::plain_client::PlainClient::new(browser).await?;
    let token = scene.token("far", "plain").await?;
    let peer = page.publish(&door.room_url(&scene.namespace, "far", "whip"), &token).await?;
    let link = page.details(&peer).await?.link.unwrap_or_default();
    for part in ["<turn:", "transport=udp", "rel=\"ice-server\"", "username=\"", "credential=\"", "<stun:"] {
        ensure!(link.contains(part), "the Link header lacks {part}: {link}");
    }
    let gone = page.request(&peer, "DELETE", json!({}), None).await?;
    ensure!(gone.status == 200, "DELETE: {gone:?}");
    page.close().await?;
    let options = door.request(Method::OPTIONS, &format!("/v1/rooms/{}/far/whip", scene.namespace));
    let preflight = options
        .header(header::ORIGIN, "https://app.example")
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
        .send()
        .await
        .context("asking")?;
    ensure!(preflight.headers().get(header::LINK).is_none(), "a preflight's answer has a Link header");
    Ok(())
}

pub(crate) async fn a_room_without_relays_offers_stun_only(scene: &Scene<'_>) -> Result<()> {
    scene.suite.shared_pools().await?;
    make_pool(scene, "turn", turn_spec("eu-west", 1, 13_210)).await?;
    let mut call = Call::prepare(scene, "never", relayed_room(scene, "Never")).await?;
    let room = call.state().await?;
    ensure!(
        has_condition(&room, conditions::RELAY_READY, "True", "NotRequired"),
        "{:?}",
        room.condition(conditions::RELAY_READY)
    );
    let servers = until("STUN is offered", READY, async || {
        let servers = ice_servers(scene, "never", None, &[]).await?;
        let shown = format!("{servers:?}");
        Ok(Look::when(!servers.ice_servers.is_empty(), servers, || shown))
    })
    .await?;
    for server in &servers.ice_servers {
        let stun = server.urls.iter().all(|url| url.starts_with("stun:"));
        ensure!(stun && server.username.is_none() && server.credential.is_none(), "a Never room offers {server:?}");
    }
    ensure!(servers.ice_transport_policy == IceTransportPolicy::All, "a Never room says {servers:?}");
    call.enter_all(&[("eu-west", 0), ("eu-west", 1)]).await?;
    call.flows(20, MEDIA).await?;
    for page in &call.pages {
        let pairs = page.stats().await?.pairs;
        ensure!(!pairs.iter().any(Pair::is_relayed), "{}: {pairs:?}", page.name());
    }
    call.end().await
}

pub(crate) async fn a_room_says_why_it_has_no_relay_and_heals(scene: &Scene<'_>) -> Result<()> {
    scene.suite.shared_pools().await?;
    let (kube, namespace) = (&scene.suite.kube, scene.namespace.as_str());
    for policy in ["Fallback", "Always"] {
        kube.apply_room(namespace, &policy.to_lowercase(), relayed_room(scene, policy)).await?;
    }
    let relay_says = async |name: &str, reason: &str| {
        let status = if reason == "RelaysReady" { "True" } else { "False" };
        kube.wait(namespace, name, &format!("RelayReady={status}, {reason}"), SOON, |room: &Room| {
            has_condition(room, conditions::RELAY_READY, status, reason)
        })
        .await
    };
    // Without relays people can talk, unless they must be relayed.
    relay_says("fallback", "NoRelayPool").await?;
    kube.ready_room(namespace, "fallback", READY).await?;
    let always = relay_says("always", "NoRelayPool").await?;
    ensure!(!is_true(&always, conditions::READY), "Ready without a relay: {:?}", always.condition(conditions::READY));
    let (fine, why) = scene.suite.env.plenumctl(&["why", "always", "--namespace", namespace]).await?;
    ensure!(!fine && why.contains("TURN"), "plenumctl why does not say what is missing: {why}");

    apply_pool(scene, "turn", turn_spec("eu-west", 0, 13_220)).await?;
    let always = relay_says("always", "NoReadyRelay").await?;
    ensure!(pool_names(always.status.as_ref()) == ["turn"], "{:?}", always.status);
    ensure!(!is_true(&always, conditions::READY), "Ready without a ready relay");

    make_pool(scene, "turn", turn_spec("eu-west", 1, 13_220)).await?;
    for name in ["fallback", "always"] {
        relay_says(name, "RelaysReady").await?;
        kube.ready_room(namespace, name, READY).await?;
    }
    // Where relays may be is the same question as where media may be.
    let mut elsewhere = relayed_room(scene, "Fallback");
    elsewhere["placement"]["allowedRegions"] = json!(["us-east"]);
    kube.apply_room(namespace, "elsewhere", elsewhere).await?;
    let room = relay_says("elsewhere", "NoRelayPool").await?;
    ensure!(pool_names(room.status.as_ref()).is_empty(), "{:?}", room.status);
    not_permitted(scene).await
}

/// A pool of another namespace that admits only its own.
async fn not_permitted(scene: &Scene<'_>) -> Result<()> {
    let kube = &scene.suite.kube;
    let other = format!("{}-other", scene.namespace.chars().take(50).collect::<String>());
    kube.create_namespace(&other, json!({"plenum-e2e": "test"})).await?;
    let outcome = stranger(scene, &other).await;
    kube.delete_namespace(&other).await?;
    outcome
}

async fn stranger(scene: &Scene<'_>, other: &str) -> Result<()> {
    let kube = &scene.suite.kube;
    let pool = json!({
        "apiVersion": "rtc.plenum.dev/v1alpha1", "kind": "RelayPool",
        "metadata": {"name": "closed", "labels": {"closed-to": scene.namespace}}, "spec": turn_spec("eu-west", 0, 13_230),
    });
    kube.apply(other, pool).await?;
    let mut spec = relayed_room(scene, "Always");
    spec["relay"]["poolSelector"] = json!({"matchLabels": {"closed-to": scene.namespace}});
    kube.apply_room(&scene.namespace, "stranger", spec).await?;
    kube.wait(&scene.namespace, "stranger", "RelayReady=False, PoolNotPermitted", SOON, |room: &Room| {
        has_condition(room, conditions::RELAY_READY, "False", "PoolNotPermitted")
    })
    .await?;
    kube.delete::<Room>(&scene.namespace, "stranger", READY).await
}

pub(crate) async fn a_balancers_address_leads_clients_to_relays(scene: &Scene<'_>) -> Result<()> {
    scene.suite.shared_pools().await?;
    let kube = &scene.suite.kube;
    let mut spec = turn_spec("eu-west", 1, 13_240);
    spec["exposure"] = json!({"type": "LoadBalancer"});
    apply_pool(scene, "balanced", spec).await?;
    kube.wait(&scene.namespace, "balanced", "ExposureReady=False", SOON, |pool: &RelayPool| {
        exposure(pool).is_some_and(|(status, _)| status == "False")
    })
    .await?;
    let pod = running_pod(scene).await?;
    // The embedded cluster has no cloud: this is what its controller would write. A node takes the balancer's address for
    // a pod of its own (`externalTrafficPolicy: Local`), so the address is that of the pod's node.
    let address = node_address(&pod)?;
    let service = service_of(scene).await?;
    let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": address}]}}});
    let api = kube.api::<Service>(&scene.namespace);
    api.patch_status(&service, &PatchParams::default(), &Patch::Merge(&status)).await.context("giving an address")?;
    relays::ready_pool(scene, "balanced").await?;
    let pool = relays::pool(scene, "balanced").await?;
    ensure!(exposure(&pool).is_some_and(|(status, _)| status == "True"), "{:?}", pool.status);

    let mut call = Call::prepare(scene, "balanced", relayed_room(scene, "Always")).await?;
    let servers = ice_servers(scene, "balanced", None, &[]).await?;
    let relay = relay_of(&servers)?;
    let url = format!("turn:{address}:13240?transport=udp");
    ensure!(relay.urls.contains(&url), "{url} is not among {:?}", relay.urls);
    allocates(relay, SocketAddr::new(address, 13_240)).await?;
    call.enter_all(&[("eu-west", 0), ("us-east", 0)]).await?;
    call.flows(30, MEDIA).await?;
    call.end().await
}

fn exposure(pool: &RelayPool) -> Option<(&str, &str)> {
    let status = pool.status.as_ref()?;
    let condition = status.conditions.iter().find(|condition| condition.type_ == conditions::EXPOSURE_READY)?;
    Some((&condition.status, &condition.reason))
}

async fn running_pod(scene: &Scene<'_>) -> Result<Pod> {
    until("the pool's pod runs", SOON, async || {
        let pods = relays::pods(scene, "balanced").await?;
        let runs = |pod: &&Pod| {
            pod.status.as_ref().is_some_and(|s| s.phase.as_deref() == Some("Running") && s.pod_ip.is_some())
        };
        Ok(match pods.iter().find(runs) {
            Some(pod) => Look::Done(pod.clone()),
            None => Look::NotYet(format!("{} pods", pods.len())),
        })
    })
    .await
}

/// The one balancer of the pool.
async fn service_of(scene: &Scene<'_>) -> Result<String> {
    let services = scene.suite.kube.api::<Service>(&scene.namespace).list(&ListParams::default()).await?.items;
    let balancers: Vec<_> = services
        .iter()
        .filter(|service| service.spec.as_ref().is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer")))
        .map(ResourceExt::name_any)
        .collect();
    let [one] = balancers.as_slice() else { anyhow::bail!("not one balancer: {balancers:?}") };
    Ok(one.clone())
}

/// A client on this machine gets an allocation with the gateway's credential.
async fn allocates(relay: &IceServer, server: SocketAddr) -> Result<()> {
    let (username, password) = (relay.username.clone(), relay.credential.clone());
    let credential =
        Credential { username: username.context("no username")?, password: password.context("no credential")? };
    let socket = UdpSocket::bind((IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0)).context("making a socket")?;
    let mut client = TurnClient::new(socket, server, credential)?;
    let relayed = client.allocate(Vec::new()).await?;
    ensure!(relayed.is_ok(), "the relay answers {relayed:?}");
    client.refresh(0).await.map(drop)
}
