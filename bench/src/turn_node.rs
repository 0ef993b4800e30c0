//! A TURN node as a process, configured by its control API as the operator would.

use crate::process::Server;
use anyhow::{Context as _, bail};
use plenum_protocol::control::{OPERATOR_SAN, node_san};
use plenum_protocol::ids::Term;
use plenum_protocol::relay::{
    PeerEndpoint, RelayConfig, RelayPeers, RelayQuotas, RelaySecret, RelaySyncReport, RelaySyncRequest,
};
use plenum_runtime::ca::Authority;
use plenum_runtime::client::{ControlClient, Target};
use plenum_runtime::mtls::Identity;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;

/// Realm and secret of every server that is measured.
pub(crate) const REALM: &str = "plenum-bench";
pub(crate) const SECRET: &str = "a secret for an hour";
/// Relay ports of every server that is measured.
pub(crate) const RELAY_PORTS: (u16, u16) = (20_000, 31_999);
const NAMESPACE: &str = "bench";
const DEADLINE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);
/// What nobody reaches here: quotas are not what is measured, but they are counted.
const PLENTY: u32 = 100_000;
const PLENTY_KBPS: u32 = 100_000_000;

/// How it is to run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Its own address, which everything is on.
    pub(crate) address: Ipv4Addr,
    /// Where clients come in, over UDP.
    pub(crate) listener: u16,
    /// Control API.
    pub(crate) control: u16,
    /// Probes and metrics.
    pub(crate) metrics: u16,
    /// Workers.
    pub(crate) workers: u16,
}

impl Plan {
    /// One worker on `address`, on ports that are free there now.
    pub(crate) fn at(address: Ipv4Addr) -> anyhow::Result<Self> {
        let [listener, control, metrics] = free_ports(address)?;
        Ok(Self { address, listener, control, metrics, workers: 1 })
    }

    /// The environment of a TURN pod.
    pub(crate) fn environment(&self, certificates: &Path) -> Vec<(&'static str, String)> {
        let listener = format!(r#"[{{"name":"udp","protocol":"UDP","port":{}}}]"#, self.listener);
        vec![
            ("PLENUM_POD_NAME", "turn-0".into()),
            ("PLENUM_POD_NAMESPACE", NAMESPACE.into()),
            ("PLENUM_POD_UID", "turn-0".into()),
            ("PLENUM_NODE_NAME", "here".into()),
            ("PLENUM_POD_IP", self.address.to_string()),
            ("PLENUM_WORKERS", self.workers.to_string()),
            ("PLENUM_LISTENERS", listener),
            ("PLENUM_RELAY_PORT_MIN", RELAY_PORTS.0.to_string()),
            ("PLENUM_RELAY_PORT_MAX", RELAY_PORTS.1.to_string()),
            ("PLENUM_CONTROL_PORT", self.control.to_string()),
            ("PLENUM_METRICS_PORT", self.metrics.to_string()),
            ("PLENUM_CONTROL_CERT_DIR", certificates.display().to_string()),
            ("PLENUM_LOG", "error".into()),
        ]
    }
}

/// Different ports that nobody has now, neither over TCP nor over UDP.
pub(crate) fn free_ports<const COUNT: usize>(address: Ipv4Addr) -> anyhow::Result<[u16; COUNT]> {
    let mut held = Vec::with_capacity(COUNT);
    let mut ports = [0; COUNT];
    for port in &mut ports {
        let looking = || format!("looking for a free port of {address}");
        loop {
            let tcp = TcpListener::bind((address, 0)).with_context(looking)?;
            *port = tcp.local_addr().with_context(looking)?.port();
            if let Ok(udp) = UdpSocket::bind((address, *port)) {
                held.push((tcp, udp));
                break;
            }
        }
    }
    Ok(ports)
}

/// The control authority of one run, and what it issued.
pub(crate) struct Control {
    client: ControlClient,
    /// Holds `tls.crt`, `tls.key` and `ca.crt` of the node.
    directory: TempDir,
}

impl Control {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let now = SystemTime::now();
        let authority = Authority::generate(now).context("making a control authority")?;
        let directory = tempfile::tempdir().context("making a directory for certificates")?;
        let node = authority.issue(&node_san(NAMESPACE), now)?;
        for (name, text) in [("tls.crt", &node.cert), ("tls.key", &node.key), ("ca.crt", &node.ca)] {
            std::fs::write(directory.path().join(name), text).with_context(|| format!("writing {name}"))?;
        }
        let operator = Identity::from_issued(&authority.issue(OPERATOR_SAN, now)?)?;
        Ok(Self { client: ControlClient::new(Arc::new(operator)), directory })
    }

    /// The node's command with its environment.
    pub(crate) fn equip(&self, mut command: Command, plan: &Plan) -> Command {
        command.envs(plan.environment(self.directory.path()));
        command
    }

    /// Tells the node whom it may relay to, as soon as it is there.
    pub(crate) fn configure(&self, plan: &Plan, peers: Vec<PeerEndpoint>, server: &mut Server) -> anyhow::Result<()> {
        let target = Target::new(SocketAddr::from((plan.address, plan.control)), node_san(NAMESPACE));
        let request = RelaySyncRequest { term: Term(1), known: None, config: Some(config(plan.address, peers)) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting")?;
        let deadline = Instant::now() + DEADLINE;
        loop {
            let outcome: Result<RelaySyncReport, _> =
                runtime.block_on(self.client.post(&target, "/v1/sync", &request, DEADLINE));
            match outcome {
                Ok(report) if report.configured => return Ok(()),
                Ok(_) => bail!("the TURN node took the configuration and is not configured"),
                Err(error) if Instant::now() > deadline || error.code().is_some() => {
                    return Err(error).context("configuring the TURN node");
                }
                Err(_) => server.check()?,
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// What the operator would push. Named endpoints are admitted wherever they are, on loopback too.
fn config(address: Ipv4Addr, peers: Vec<PeerEndpoint>) -> RelayConfig {
    RelayConfig {
        outside_addresses: vec![IpAddr::V4(address)],
        realm: REALM.to_owned(),
        secrets: vec![RelaySecret(SECRET.to_owned())],
        peers: RelayPeers { media: peers, ..RelayPeers::default() },
        quotas: RelayQuotas {
            allocations: PLENTY,
            allocations_per_user: PLENTY,
            allocations_per_address: PLENTY,
            kbps_per_allocation: PLENTY_KBPS,
        },
        max_lifetime_seconds: 86_400,
        accepting: true,
    }
}
