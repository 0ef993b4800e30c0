//! A relay is no way into the cluster: pods, services, nodes, the API server, metadata, loopback and the relay itself are
//! refused in every disguise, by listeners that stand there and hear nothing.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt;
use plenum_api::names;
use plenum_e2e::grants;
use plenum_e2e::netns::{ExtraAddress, udp_socket};
use plenum_e2e::process::pid_in_pod;
use plenum_e2e::relays::{self, credential, make_pool, node_address, pod_address, shared_secret, turn_spec};
use plenum_e2e::scene::Scene;
use plenum_e2e::suite::{SHARED_NAMESPACE, room_spec};
use plenum_e2e::turn_client::{Credential, TurnClient};
use plenum_e2e::wait::{Look, until};
use plenum_protocol::turn::Scope;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

/// Where the listeners are; no program of the cluster has this port.
const PORT: u16 = 15_999;
const TURN_PORT: u16 = 13_510;
/// What arrives, arrives within this time on one machine.
const ARRIVAL: Duration = Duration::from_secs(3);
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

/// A place that no relayed packet may reach, and somebody who listens there.
struct Forbidden {
    what: &'static str,
    address: SocketAddr,
    /// Unset: somebody else has the port, such as the relay itself.
    listener: Option<UdpSocket>,
}

impl Forbidden {
    fn heard(&self) -> Result<Option<SocketAddr>> {
        let Some(listener) = &self.listener else { return Ok(None) };
        match listener.recv_from(&mut [0; 64]) {
            Ok((_, from)) => Ok(Some(from)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error).with_context(|| format!("listening at {}", self.what)),
        }
    }
}

/// The addresses that say the same in other words.
fn disguises(address: Ipv4Addr) -> Vec<(&'static str, IpAddr)> {
    let [a, b, c, d] = address.octets();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let v6 = |s: [u16; 8]| IpAddr::V6(Ipv6Addr::from(s));
    vec![
        ("as it is", IpAddr::V4(address)),
        ("IPv4-mapped", v6([0, 0, 0, 0, 0, 0xffff, high, low])),
        ("IPv4-compatible", v6([0, 0, 0, 0, 0, 0, high, low])),
        ("NAT64", v6([0x64, 0xff9b, 0, 0, 0, 0, high, low])),
        ("local NAT64", v6([0x64, 0xff9b, 1, 0, 0, 0, high, low])),
        ("6to4", v6([0x2002, high, low, 0, 0, 0, 0, 1])),
        // RFC 4380 section 4: the server, then flags and port, then the client with its bits turned over.
        ("Teredo client", v6([0x2001, 0, 0xc000, 0x0201, 0, !PORT, !high, !low])),
        ("Teredo server", v6([0x2001, 0, high, low, 0, !PORT, 0x3fff, 0xfdfe])),
        ("ISATAP", v6([0x2001, 0xdb8, 0, 0, 0, 0x5efe, high, low])),
        ("link-local ISATAP", v6([0xfe80, 0, 0, 0, 0, 0x5efe, high, low])),
    ]
}

pub(crate) async fn a_relay_reaches_nothing_inside_the_cluster(scene: &Scene<'_>) -> Result<()> {
    scene.suite.shared_pools().await?;
    let guest = scene.client("us-east", 0).await?;
    let mut spec = turn_spec("eu-west", 1, TURN_PORT);
    spec["turn"]["peers"] = json!({"allow": [{"cidr": format!("{}/32", guest.address()?)}]});
    let pods = make_pool(scene, "turn", spec).await?;
    let relay = pods.first().context("a ready pool has a pod")?;
    let server = SocketAddr::new(node_address(relay)?, TURN_PORT);
    let secret = shared_secret(scene).await?;
    let (targets, _extra) = forbidden(scene, relay).await?;
    let nodes = node_addresses(scene).await?;
    let drops = async || {
        let metrics = grants::metrics(&scene.suite.kube, relay).await?;
        anyhow::Ok(metrics.sum("plenum_turn_drops_total", &[]))
    };

    for scope in [Some(Scope::Media), Some(Scope::Peers), None] {
        let credential = credential(&secret, "intruder", scope, 600)?;
        let before = drops().await?;
        let mut client = allocated(server, &credential).await?;
        for target in &targets {
            // Permissions have no ports: a credential gets one for every address of an endpoint that its scope names.
            let named = scope.is_some() && nodes.contains(&target.address.ip());
            try_all(&mut client, target, named).await.with_context(|| format!("{} as {scope:?}", target.what))?;
        }
        // By indication and by channel, to each target in each disguise.
        let tried: usize = targets.len() * disguises(METADATA).len() * 2;
        let wanted = before + f64::from(u32::try_from(tried)?);
        until(&format!("{tried} drops are counted"), ARRIVAL, async || {
            let counted = drops().await?;
            Ok(Look::when(counted >= wanted, (), || format!("{before} before, {counted} now")))
        })
        .await?;
        named_ports_only(scene, &mut client, scope).await?;
        client.refresh(0).await?.ok().context("an allocation cannot be ended")?;
    }
    // That listeners hear what does arrive, and that relays carry what is allowed.
    let allowed = SocketAddr::new(guest.address()?, PORT);
    let socket = udp_socket(guest.pid().await?, allowed)?;
    let friend = Forbidden { what: "the allowed guest", address: allowed, listener: Some(socket) };
    for (scope, hears) in [(Some(Scope::Media), false), (Some(Scope::Peers), true), (None, true)] {
        let mut client = allocated(server, &credential(&secret, "guest", scope, 600)?).await?;
        let answer = client.permit(friend.address).await?;
        ensure!(answer == if hears { Ok(()) } else { Err(403) }, "{scope:?}: permission for a guest: {answer:?}");
        client.send(friend.address, b"hello").await?;
        if hears {
            until("the guest hears it", ARRIVAL, async || {
                Ok(friend.heard()?.map_or_else(|| Look::NotYet("nothing".to_owned()), |_| Look::Done(())))
            })
            .await?;
        }
    }
    // Nothing of all that was under way still.
    for target in targets.iter().chain([&friend]) {
        let heard = target.heard()?;
        ensure!(heard.is_none(), "{} ({}) heard a relay: {heard:?}", target.what, target.address);
    }
    Ok(())
}

async fn allocated(server: SocketAddr, credential: &Credential) -> Result<TurnClient> {
    let socket = UdpSocket::bind((IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0)).context("making a socket")?;
    let mut client = TurnClient::new(socket, server, credential.clone())?;
    let answer = client.allocate(Vec::new()).await?;
    ensure!(answer.is_ok(), "{}: {answer:?}", credential.username);
    Ok(client)
}

/// Permission, channel, and data without either: refused, refused, and dropped.
async fn try_all(client: &mut TurnClient, target: &Forbidden, permitted: bool) -> Result<()> {
    let IpAddr::V4(address) = target.address.ip() else { anyhow::bail!("the targets are of IPv4") };
    for ((disguise, address), channel) in disguises(address).into_iter().zip(0x4000..) {
        let peer = SocketAddr::new(address, target.address.port());
        // 443: an IPv4 allocation has no IPv6 peers (RFC 8656 section 9.2).
        let refused =
            |answer: &Result<(), u16>| matches!(answer, Err(403)) || address.is_ipv6() && matches!(answer, Err(443));
        let answer = client.permit(peer).await?;
        let plain = permitted && address.is_ipv4() && answer.is_ok();
        ensure!(plain || refused(&answer), "{disguise}: permission for {peer}: {answer:?}");
        let answer = client.bind(channel, peer).await?;
        ensure!(refused(&answer), "{disguise}: a channel to {peer}: {answer:?}");
        client.send(peer, b"by indication").await?;
        client.send_by_channel(channel, b"by channel").await?;
    }
    let heard = target.heard()?;
    ensure!(heard.is_none(), "it heard {heard:?}");
    Ok(())
}

/// A media pod of a Room of this test: its named port is the only one, and only for scope `media`.
async fn named_ports_only(scene: &Scene<'_>, client: &mut TurnClient, scope: Option<Scope>) -> Result<()> {
    let kube = &scene.suite.kube;
    kube.apply_room(&scene.namespace, "named", room_spec("eu-west")).await?;
    let room = kube.ready_room(&scene.namespace, "named", Duration::from_secs(10)).await?;
    let assignment = room.media_assignment().context("a ready room has a media pod")?;
    let named = assignment
        .endpoints
        .iter()
        .find(|endpoint| endpoint.purpose == plenum_api::room::EndpointPurpose::Media)
        .context("a media pod has an endpoint")?;
    let outside: IpAddr = named.address.parse().context("reading an endpoint")?;
    let port = u16::try_from(named.port).context("reading an endpoint")?;
    let pod: Pod = kube.api(&assignment.namespace).get(&assignment.pod).await.context("reading the media pod")?;
    let node = scene.suite.env.cluster().context("this test needs the embedded cluster")?;
    let node = node.pid_of_node(assignment.node.as_deref().unwrap_or_default()).await?;
    let media = pid_in_pod(&pod.uid().unwrap_or_default(), names::APP_MEDIA_NODE)?;
    // The outside address is the node's; behind it, the same port is the pod's.
    let other = port + 57;
    let wrong = [
        Forbidden {
            what: "another port of the node",
            address: SocketAddr::new(outside, other),
            listener: Some(udp_socket(node, SocketAddr::new(outside, other))?),
        },
        Forbidden {
            what: "another port of the media pod",
            address: SocketAddr::new(pod_address(&pod)?, other),
            listener: Some(udp_socket(media, SocketAddr::new(pod_address(&pod)?, other))?),
        },
    ];
    let may = scope == Some(Scope::Media);
    let answer = client.permit(SocketAddr::new(outside, port)).await?;
    // A permission has no port: the node may also have relays, which scope `peers` reaches.
    let fits = match scope {
        Some(Scope::Media) => answer == Ok(()),
        Some(Scope::Peers) => matches!(answer, Ok(()) | Err(403)),
        None => answer == Err(403),
    };
    ensure!(fits, "permission for a media endpoint as {scope:?}: {answer:?}");
    let answer = client.bind(0x4f00, SocketAddr::new(outside, port)).await?;
    ensure!(answer == if may { Ok(()) } else { Err(403) }, "a channel to a media endpoint as {scope:?}: {answer:?}");
    // Clients never name the inside, not even of a named endpoint.
    let inside = SocketAddr::new(pod_address(&pod)?, port);
    let answer = client.bind(0x4f01, inside).await?;
    ensure!(answer == Err(403), "a channel to the inside of a media endpoint as {scope:?}: {answer:?}");
    for (number, target) in [0x4f02, 0x4f03].into_iter().zip(&wrong) {
        let answer = client.bind(number, target.address).await?;
        ensure!(answer == Err(403), "a channel to {} as {scope:?}: {answer:?}", target.what);
        client.send(target.address, b"by indication").await?;
        client.send_by_channel(number, b"by channel").await?;
    }
    // Requests are answered in order: when this answer is here, all that went before was judged.
    client.refresh(600).await?.ok().context("an allocation cannot be renewed")?;
    for target in &wrong {
        let heard = target.heard()?;
        ensure!(heard.is_none(), "{} heard {heard:?} as {scope:?}", target.what);
    }
    Ok(())
}

/// Every kind of place, with a listener at each; and what must stay as long as they are used.
async fn forbidden(scene: &Scene<'_>, relay: &Pod) -> Result<(Vec<Forbidden>, ExtraAddress)> {
    let suite = scene.suite;
    let cluster = suite.env.cluster().context("this test needs the embedded cluster")?;
    let (own, relay_pid) = (pod_address(relay)?, pid_in_pod(&relay.uid().unwrap_or_default(), names::APP_TURN_NODE)?);
    let node_name = relay.spec.as_ref().and_then(|spec| spec.node_name.clone()).context("the relay has a node")?;
    let node = cluster.pid_of_node(&node_name).await?;
    let (control_pid, control) = cluster.control_plane().await?;
    let media = suite.kube.pods(SHARED_NAMESPACE, &format!("{}={}", names::LABEL_APP, names::APP_MEDIA_NODE)).await?;
    let media = media.iter().find(|pod| grants::is_ready(pod)).context("a media pod is ready")?;
    let media_pid = pid_in_pod(&media.uid().unwrap_or_default(), names::APP_MEDIA_NODE)?;
    let extra = ExtraAddress::add(node, &format!("{METADATA}/32"))?;
    let at = |what, pid, ip: IpAddr, port| -> Result<Forbidden> {
        let address = SocketAddr::new(ip, port);
        Ok(Forbidden { what, address, listener: Some(udp_socket(pid, address)?) })
    };
    let unheard = |what, ip: IpAddr, port| Forbidden { what, address: SocketAddr::new(ip, port), listener: None };
    let node_ip = node_address(relay)?;
    let targets = vec![
        at("a pod", media_pid, pod_address(media)?, PORT)?,
        service(scene, media).await?,
        at("the relay's node", node, node_ip, PORT)?,
        at("another node", cluster.pid_of_node("us-east-a").await?, node_of(scene, "us-east-a").await?, PORT)?,
        at("the API server's address", control_pid, control, PORT)?,
        unheard("the API server", control, 6_443),
        at("the metadata server", node, IpAddr::V4(METADATA), PORT)?,
        at("the relay's loopback", relay_pid, IpAddr::V4(Ipv4Addr::LOCALHOST), PORT)?,
        at("the relay's unspecified address", relay_pid, IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT + 1)?,
        at("the relay itself", relay_pid, own, PORT)?,
        unheard("the relay's own listener", own, TURN_PORT),
        unheard("the relay's listener from outside", node_ip, TURN_PORT),
        unheard("the relay's control API", own, 7_443),
        unheard("the relay's first relay port", own, 49_152),
    ];
    Ok((targets, extra))
}

/// Where named endpoints lie: their ports are host ports, and they come and go with the pods of other tests.
async fn node_addresses(scene: &Scene<'_>) -> Result<BTreeSet<IpAddr>> {
    let mut found = BTreeSet::new();
    for region in ["eu-west", "us-east"] {
        found.extend(relays::node_addresses(&scene.suite.kube, region).await?);
    }
    Ok(found)
}

/// A Service whose one endpoint is a listener in the media pod.
async fn service(scene: &Scene<'_>, media: &Pod) -> Result<Forbidden> {
    let (kube, port) = (&scene.suite.kube, PORT + 2);
    let ip = pod_address(media)?;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "hidden"},
        "spec": {"ports": [{"name": "udp", "protocol": "UDP", "port": port, "targetPort": port}]},
    });
    kube.apply(&scene.namespace, service).await?;
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "hidden", "labels": {"kubernetes.io/service-name": "hidden"}},
        "ports": [{"name": "udp", "protocol": "UDP", "port": port}],
        "endpoints": [{"addresses": [ip], "conditions": {"ready": true}}],
    });
    kube.apply(&scene.namespace, slice).await?;
    let found: Service = kube.api(&scene.namespace).get("hidden").await.context("reading the Service")?;
    let address = found.spec.and_then(|spec| spec.cluster_ip).context("the Service has an address")?;
    let pid = pid_in_pod(&media.uid().unwrap_or_default(), names::APP_MEDIA_NODE)?;
    Ok(Forbidden {
        what: "a service",
        address: SocketAddr::new(address.parse().context("reading the Service's address")?, port),
        listener: Some(udp_socket(pid, SocketAddr::new(ip, port))?),
    })
}

async fn node_of(scene: &Scene<'_>, name: &str) -> Result<IpAddr> {
    let nodes = scene.suite.kube.all::<k8s_openapi::api::core::v1::Node>().await?;
    let node = nodes.into_iter().find(|node| node.name_any() == name).context("there is no such node")?;
    let addresses = node.status.and_then(|status| status.addresses).unwrap_or_default();
    let internal = addresses.iter().find(|a| a.type_ == "InternalIP").context("the node has no address")?;
    internal.address.parse().context("reading a node's address")
}
