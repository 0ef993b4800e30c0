//! A node on loopback with its callers.

#[path = "../../../runtime/tests/support/pod.rs"]
pub(crate) mod pod;

use plenum_protocol::ids::Term;
use plenum_protocol::ports::PortRange;
use plenum_protocol::relay::{
    AllocationAnswer, AllocationQuery, PeerEndpoint, RelayConfig, RelayPeers, RelayQuotas, RelaySecret,
    RelaySyncReport, RelaySyncRequest,
};
use plenum_protocol::turn;
use plenum_runtime::client::{CallError, ControlClient, Target};
use plenum_runtime::shutdown::Shutdown;
use plenum_turn_node::settings::{Door, Listener, Settings};
use plenum_turn_node::{NodeError, TurnNode};
pub(crate) use pod::DEADLINE;
use pod::Loopback;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::SystemTime;
use tempfile::TempDir;
use tokio::task::JoinHandle;

pub(crate) const SECRET: &str = "a secret";
/// Where the tests' peers are.
pub(crate) const INSIDE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// What clients call it.
pub(crate) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
/// What clients are told of relays.
pub(crate) const TOLD: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

pub(crate) struct Harness {
    pub(crate) operator: ControlClient,
    pub(crate) gateway: ControlClient,
    pub(crate) target: Target,
    pub(crate) metrics: SocketAddr,
    pub(crate) listeners: Vec<(String, SocketAddr)>,
    pub(crate) settings: Settings,
    pub(crate) shutdown: Shutdown,
    pub(crate) running: JoinHandle<Result<(), NodeError>>,
    /// Of the TLS listener, to be trusted.
    pub(crate) certificate: CertificateDer<'static>,
    _dirs: [TempDir; 2],
}

/// `tls.crt` and `tls.key` for `localhost`, written into `dir`.
fn write_certificate(dir: &TempDir) -> CertificateDer<'static> {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(dir.path().join("tls.crt"), certificate.pem()).unwrap();
    std::fs::write(dir.path().join("tls.key"), key.serialize_pem()).unwrap();
    certificate.der().clone()
}

impl Harness {
    pub(crate) async fn start(workers: u16) -> Self {
        Self::start_at(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)], workers).await
    }

    /// With these addresses of its own.
    pub(crate) async fn start_at(addresses: Vec<IpAddr>, workers: u16) -> Self {
        let Loopback { pod, operator, gateway, dir } = Loopback::new("turn-0-abcde", workers);
        let dirs = [dir, tempfile::tempdir().unwrap()];
        let certificate = write_certificate(&dirs[1]);
        let listener = |name: &str, door| Listener { name: name.into(), door, port: 0 };
        let settings = Settings {
            pod,
            addresses,
            listeners: vec![
                listener("udp", Door::Udp),
                listener("tcp", Door::Tcp),
                listener("tls", Door::Tls { dir: dirs[1].path().to_owned() }),
            ],
            relay_ports: PortRange { min: 20_000, max: 29_999 },
        };
        let node = TurnNode::bind(&settings).await.unwrap();
        let shutdown = Shutdown::new();
        Self {
            operator,
            gateway,
            target: pod::target(node.shell()),
            metrics: node.shell().metrics_address().unwrap(),
            listeners: node.listeners().to_vec(),
            settings,
            running: tokio::spawn(node.run(shutdown.clone())),
            shutdown,
            certificate,
            _dirs: dirs,
        }
    }

    /// Configured to reach `peers`.
    pub(crate) async fn with_peers(workers: u16, peers: &[&UdpSocket]) -> Self {
        let harness = Self::start(workers).await;
        harness.sync(&RelaySyncRequest { config: Some(config(peers)), ..sync(1) }).await.unwrap();
        harness
    }

    pub(crate) fn listener(&self, name: &str) -> SocketAddr {
        self.listeners.iter().find(|(own, _)| own == name).unwrap().1
    }

    /// Returns when the workers have the configuration too, if there is one: a datagram that comes earlier is dropped,
    /// and these clients do not send it again.
    pub(crate) async fn sync(&self, request: &RelaySyncRequest) -> Result<RelaySyncReport, CallError> {
        self.operator.post(&self.target, "/v1/sync", request, DEADLINE).await
    }

    /// The first report of which `wanted` holds.
    pub(crate) async fn until(&self, wanted: impl Fn(&RelaySyncReport) -> bool) -> RelaySyncReport {
        let look = async {
            loop {
                let report = self.sync(&sync(1)).await.unwrap();
                if wanted(&report) {
                    return report;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, look).await.unwrap()
    }

    pub(crate) async fn query(&self, ports: Vec<u16>) -> Result<AllocationAnswer, CallError> {
        self.gateway
            .post(&self.target, "/v1/allocations", &AllocationQuery { ports, participants: Vec::new() }, DEADLINE)
            .await
    }

    /// `GET` on the probe port.
    pub(crate) async fn probe(&self, path: &str) -> String {
        pod::probe(self.metrics, path).await
    }

    /// The first scrape with all of these lines.
    pub(crate) async fn scrape(&self, lines: &[&str]) -> String {
        let mut text = String::new();
        let look = async {
            loop {
                text = self.probe("/metrics").await;
                if lines.iter().all(|line| text.contains(line)) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        if tokio::time::timeout(DEADLINE, look).await.is_err() {
            panic!("not all of {lines:?} in\n{text}");
        }
        text
    }
}

/// A peer inside, with a deadline for reads.
pub(crate) fn peer() -> UdpSocket {
    let socket = UdpSocket::bind((INSIDE, 0)).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

/// The address by which clients know a peer.
pub(crate) fn outside(peer: &UdpSocket) -> SocketAddr {
    SocketAddr::from((OUTSIDE, peer.local_addr().unwrap().port()))
}

pub(crate) fn sync(term: i64) -> RelaySyncRequest {
    RelaySyncRequest { term: Term(term), known: None, config: None }
}

pub(crate) fn config(peers: &[&UdpSocket]) -> RelayConfig {
    let endpoint = |peer: &&UdpSocket| {
        let port = peer.local_addr().unwrap().port();
        PeerEndpoint {
            outside: vec![IpAddr::V4(OUTSIDE)],
            inside: IpAddr::V4(INSIDE),
            ports: PortRange { min: port, max: port },
        }
    };
    RelayConfig {
        outside_addresses: vec![IpAddr::V4(TOLD)],
        realm: "plenum".into(),
        secrets: vec![RelaySecret(SECRET.into())],
        peers: RelayPeers { media: peers.iter().map(endpoint).collect(), ..RelayPeers::default() },
        quotas: RelayQuotas {
            allocations: 1_000,
            allocations_per_user: 100,
            allocations_per_address: 200,
            kbps_per_allocation: 100_000,
        },
        max_lifetime_seconds: 86_400,
        accepting: true,
    }
}

/// Username and password of a session of scope `media`.
pub(crate) fn credentials(session: &str) -> (String, String) {
    let expires = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + 600;
    let username = format!("{expires}:{session}:media");
    let password = turn::password(SECRET.as_bytes(), &username);
    (username, password)
}
