//! TURN pools of a test, their credentials, and what the cluster says of its relays.

use crate::door::Door;
use crate::kube::Kube;
use crate::scene::Scene;
use crate::suite::SHARED_LABEL;
use crate::turn_client::Credential;
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Node, Pod, Secret};
use kube::{Api, ResourceExt};
use plenum_api::room::RoomStatus;
use plenum_api::{RelayPool, names};
use plenum_protocol::ice::{IceServers, IceServersRequest};
use plenum_protocol::relay::RelayDirectory;
use plenum_protocol::turn::{Scope, Username, password};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A pool's pods are made and configured.
const POOL_READY: Duration = Duration::from_secs(60);

/// Spec of a TURN pool that listens on `port` of its nodes, for UDP and TCP.
#[must_use]
pub fn turn_spec(region: &str, replicas: i32, port: u16) -> Value {
    json!({
        "role": "TURN", "region": region, "replicas": replicas,
        "turn": {"listeners": [
            {"name": "udp", "protocol": "UDP", "port": port}, {"name": "tcp", "protocol": "TCP", "port": port},
        ]},
    })
}

/// Lets a pool of [`turn_spec`] listen on `port` for TLS as well, with a certificate for the nodes of its region that
/// browsers of the tests trust.
///
/// # Errors
/// The API server refuses, or the region has no node.
pub async fn listen_for_tls(scene: &Scene<'_>, spec: &mut Value, port: u16) -> Result<()> {
    let region = spec["region"].as_str().context("the pool has no region")?;
    let issued = scene.suite.authority.issue(&node_addresses(&scene.suite.kube, region).await?)?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": "relay-tls"},
        "stringData": {"tls.crt": issued.certificate, "tls.key": issued.key},
    });
    scene.suite.kube.apply(&scene.namespace, secret).await?;
    let listener = json!({"name": "tls", "protocol": "TLS", "port": port, "tlsSecretRef": {"name": "relay-tls"}});
    spec["turn"]["listeners"].as_array_mut().context("listeners are a list")?.push(listener);
    Ok(())
}

/// Spec of a Room in eu-west whose clients have the relays of this test.
#[must_use]
pub fn relayed_room(scene: &Scene<'_>, policy: &str) -> Value {
    json!({
        "topology": "MediaServer",
        "media": {"poolSelector": {"matchLabels": {SHARED_LABEL.0: SHARED_LABEL.1}}},
        "placement": {"expected": [{"region": "eu-west", "participants": 3}]},
        "relay": {"policy": policy, "poolSelector": {"matchLabels": {"only-of": scene.namespace}}},
    })
}

/// Applies a pool for the Rooms of this test.
///
/// # Errors
/// The API server refuses.
pub async fn apply_pool(scene: &Scene<'_>, name: &str, spec: Value) -> Result<()> {
    let pool = json!({
        "apiVersion": "rtc.plenum.dev/v1alpha1", "kind": "RelayPool",
        "metadata": {"name": name, "labels": {"only-of": scene.namespace}}, "spec": spec,
    });
    scene.suite.kube.apply(&scene.namespace, pool).await.map(drop)
}

/// Applies a pool for the Rooms of this test, waits until it serves, and returns its pods.
///
/// # Errors
/// It does not become ready.
pub async fn make_pool(scene: &Scene<'_>, name: &str, spec: Value) -> Result<Vec<Pod>> {
    apply_pool(scene, name, spec).await?;
    ready_pool(scene, name).await
}

/// Waits until a pool serves, and returns its pods.
///
/// # Errors
/// It does not become ready.
pub async fn ready_pool(scene: &Scene<'_>, name: &str) -> Result<Vec<Pod>> {
    scene.suite.kube.ready_pool(&scene.namespace, name, POOL_READY).await?;
    pods(scene, name).await
}

/// Pods of a pool of this test.
///
/// # Errors
/// The API server refuses.
pub async fn pods(scene: &Scene<'_>, pool: &str) -> Result<Vec<Pod>> {
    scene.suite.kube.pods(&scene.namespace, &format!("{}={pool}", names::LABEL_POOL)).await
}

/// The address of its node: what clients of a pool with host ports go to.
///
/// # Errors
/// It has none yet.
pub fn node_address(pod: &Pod) -> Result<IpAddr> {
    let address = pod.status.as_ref().and_then(|status| status.host_ip.as_deref());
    address.with_context(|| format!("{} has no node", pod.name_any()))?.parse().context("reading a node's address")
}

/// The pod's own address.
///
/// # Errors
/// It has none yet.
pub fn pod_address(pod: &Pod) -> Result<IpAddr> {
    let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref());
    address.with_context(|| format!("{} has no address", pod.name_any()))?.parse().context("reading a pod's address")
}

/// Internal addresses of the nodes in a region.
///
/// # Errors
/// The API server refuses.
pub async fn node_addresses(kube: &Kube, region: &str) -> Result<Vec<IpAddr>> {
    let mut found = Vec::new();
    for node in kube.all::<Node>().await? {
        if node.labels().get(names::TOPOLOGY_REGION).is_some_and(|label| label == region) {
            let addresses = node.status.and_then(|status| status.addresses).unwrap_or_default();
            found.extend(
                addresses.iter().filter(|a| a.type_ == "InternalIP").filter_map(|a| a.address.parse::<IpAddr>().ok()),
            );
        }
    }
    ensure!(!found.is_empty(), "no node is in {region}");
    Ok(found)
}

/// What a Secret says under a key.
///
/// # Errors
/// It is not there, or has no such key.
pub async fn secret_value(kube: &Kube, namespace: &str, name: &str, key: &str) -> Result<Vec<u8>> {
    let api: Api<Secret> = kube.api(namespace);
    let secret = api.get(name).await.with_context(|| format!("reading Secret {namespace}/{name}"))?;
    let value = secret.data.as_ref().and_then(|data| data.get(key));
    Ok(value.with_context(|| format!("Secret {namespace}/{name} has no {key}"))?.0.clone())
}

/// The shared secret of this test's pools, which the operator made.
///
/// # Errors
/// It is not there.
pub async fn shared_secret(scene: &Scene<'_>) -> Result<Vec<u8>> {
    secret_value(&scene.suite.kube, &scene.namespace, names::SECRET_TURN_AUTH, names::KEY_CURRENT).await
}

/// A credential that expires `seconds` from now (or ago, when negative).
///
/// # Errors
/// The clock is before 1970.
pub fn credential(secret: &[u8], session: &str, scope: Option<Scope>, seconds: i64) -> Result<Credential> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("reading the clock")?.as_secs();
    let expires = now.checked_add_signed(seconds).context("a time before 1970")?;
    let username = Username { expires, session, scope }.to_string();
    Ok(Credential { password: password(secret, &username), username })
}

/// All ready relays, as gateways know them.
///
/// # Errors
/// The Secret is not there, or not what the protocol says.
pub async fn directory(kube: &Kube, system: &str) -> Result<RelayDirectory> {
    let text = secret_value(kube, system, names::SECRET_RELAYS, names::KEY_RELAYS).await?;
    serde_json::from_slice(&text).context("reading the directory of relays")
}

/// What a gateway tells somebody who asks for ICE servers of a room.
///
/// # Errors
/// It refuses.
pub async fn ice_servers(scene: &Scene<'_>, room: &str, region: Option<&str>, avoid: &[String]) -> Result<IceServers> {
    let wish = IceServersRequest {
        namespace: scene.namespace.clone(),
        room: room.to_owned(),
        region: region.map(str::to_owned),
        avoid: avoid.to_vec(),
        participant: None,
        mode: None,
    };
    scene.suite.door(0)?.ice_servers(&scene.token(room, "asker").await?, &wish).await
}

/// Names of the pools in the Room's status.
#[must_use]
pub fn pool_names(status: Option<&RoomStatus>) -> Vec<String> {
    status.map(|status| status.relay_pools.iter().map(|pool| pool.name.clone()).collect()).unwrap_or_default()
}

/// The pool as it is.
///
/// # Errors
/// It is not there.
pub async fn pool(scene: &Scene<'_>, name: &str) -> Result<RelayPool> {
    scene.suite.kube.api(&scene.namespace).get(name).await.with_context(|| format!("reading RelayPool {name}"))
}

/// The gateways' endpoints, for a firewall's exceptions.
///
/// # Errors
/// A gateway's URL names no address.
pub fn endpoints(doors: &[Door]) -> Result<Vec<std::net::SocketAddr>> {
    let endpoint = |door: &Door| {
        let (_, rest) = door.base().split_once("//").context("a URL has a scheme")?;
        rest.parse().with_context(|| format!("{rest} is no address and port"))
    };
    doors.iter().map(endpoint).collect()
}
