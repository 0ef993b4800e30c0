//! Settings from flags and environment.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Gateway of Plenum: WHIP, WHEP and the room socket in front of the media nodes.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "plenum-gateway", version, args_conflicts_with_subcommands = true)]
pub struct Settings {
    /// Something else than to serve.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Public address: pages, WHIP, WHEP, sockets, tokens.
    #[arg(long, env = "PLENUM_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// Control endpoint (mTLS); by default port 7443 of the pod's address.
    #[arg(long, env = "PLENUM_CONTROL_LISTEN")]
    pub control_listen: Option<SocketAddr>,
    /// Probes and metrics; by default port 9090 of the pod's address.
    #[arg(long, env = "PLENUM_METRICS_LISTEN")]
    pub metrics_listen: Option<SocketAddr>,
    /// Name of this pod: shown in legs.
    #[arg(long, env = "PLENUM_POD_NAME", default_value = "plenum-gateway")]
    pub pod_name: String,
    /// Namespace of this pod: holds the Lease and the gateways' certificate.
    #[arg(long, env = "PLENUM_POD_NAMESPACE", default_value = "plenum-system")]
    pub pod_namespace: String,
    /// Address of this pod.
    #[arg(long, env = "PLENUM_POD_IP", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    pub pod_ip: IpAddr,
    /// Node of this pod: its region label is read once. Unset: the region is not known.
    #[arg(long, env = "PLENUM_NODE_NAME")]
    pub node_name: Option<String>,
    /// Service of the gateways, in the own namespace: who is ready in its EndpointSlices shares the peer-to-peer rooms.
    #[arg(long, env = "PLENUM_SERVICE", default_value = "plenum-gateway")]
    pub service: String,
    /// Directory with `tls.crt` and `tls.key`: serve HTTPS on the public address. Read again every 30 s.
    #[arg(long, env = "PLENUM_TLS_DIR")]
    pub tls_dir: Option<PathBuf>,
    /// Most public connections at once, before they become sockets.
    #[arg(long, env = "PLENUM_MAX_CONNECTIONS", default_value_t = 4096)]
    pub max_connections: usize,
    /// Most room sockets at once.
    #[arg(long, env = "PLENUM_MAX_SOCKETS", default_value_t = 20_000)]
    pub max_sockets: usize,
    /// Most room sockets of one source address.
    #[arg(long, env = "PLENUM_MAX_SOCKETS_PER_SOURCE", default_value_t = 2_000)]
    pub max_sockets_per_source: usize,
    /// Most room sockets of one room on this replica.
    #[arg(long, env = "PLENUM_MAX_SOCKETS_PER_ROOM", default_value_t = 10_000)]
    pub max_sockets_per_room: usize,
    /// Requests a second that one source address may make in the long run; four times as many in a burst.
    #[arg(long, env = "PLENUM_REQUESTS_PER_SECOND_PER_SOURCE", default_value_t = 250)]
    pub requests_per_second_per_source: u32,
    /// Tokens a second that one source address may mint in the long run; four times as many in a burst.
    #[arg(long, env = "PLENUM_TOKENS_PER_SECOND_PER_SOURCE", default_value_t = 25)]
    pub tokens_per_second_per_source: u32,
    /// Requests for ICE servers a second that one source address may make in the long run; four times as many in a burst.
    #[arg(long, env = "PLENUM_ICE_SERVERS_PER_SECOND_PER_SOURCE", default_value_t = 50)]
    pub ice_servers_per_second_per_source: u32,
    /// Seconds between SIGTERM and the end of new connections, so that balancers have looked away.
    #[arg(long, env = "PLENUM_DRAIN_DELAY_SECONDS", default_value_t = 3)]
    pub drain_delay_seconds: u64,
}

/// Something else than to serve.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Fetch a URL; succeeds when the answer is 2xx.
    Check {
        /// The URL.
        url: String,
    },
}

impl Settings {
    /// Where the control endpoint listens.
    #[must_use]
    pub fn control_address(&self) -> SocketAddr {
        self.control_listen.unwrap_or_else(|| SocketAddr::new(self.pod_ip, 7443))
    }

    /// Where probes and metrics listen.
    #[must_use]
    pub fn metrics_address(&self) -> SocketAddr {
        self.metrics_listen.unwrap_or_else(|| SocketAddr::new(self.pod_ip, 9090))
    }
}
