//! The media node: the SFU process. Media workers on threads of their own, and a tokio runtime for everything else.
//!
//! It runs the rooms that the leader granted and no others, tells their people of each other, and forwards their media
//! by the engines of `plenum-media-core`. It has no account at the Kubernetes API and asks nobody for anything.

mod control;
mod metrics;
mod node;
mod rooms;
pub mod settings;
mod worker;

use node::Node;
use plenum_media_core::{Certificate, CertificateError, Event};
use plenum_protocol::ids::BootId;
use plenum_runtime::mtls::{self, Identity, IdentityError};
use plenum_runtime::probes::{self, Metrics, Readiness};
use plenum_runtime::server::Limits;
use plenum_runtime::shutdown::Shutdown;
use settings::Settings;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use worker::{Shared, Worker};
pub use worker::{StartError, WorkerFailed};

/// Control connections at once: one per client's room socket, and the gateways' calls.
const MAX_CONNECTIONS: usize = 16_384;

/// Why a node could not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// No certificate for DTLS.
    #[error("making the DTLS certificate")]
    Certificate(#[from] CertificateError),
    /// The control certificate cannot be used.
    #[error("reading the control certificate in {dir}")]
    Identity {
        /// `PLENUM_CONTROL_CERT_DIR`.
        dir: String,
        /// Why.
        #[source]
        source: IdentityError,
    },
    /// A worker could not be started.
    #[error("starting the media workers")]
    Start(#[from] StartError),
    /// An address is taken or not of this host.
    #[error("listening for {what} at {address}")]
    Listen {
        /// Control or metrics.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A worker broke.
    #[error("the node cannot go on")]
    Worker(#[from] WorkerFailed),
}

/// A node whose sockets are bound.
pub struct MediaNode {
    node: Arc<Node>,
    identity: Arc<Identity>,
    cert_dir: PathBuf,
    control: TcpListener,
    probes: TcpListener,
    readiness: Readiness,
    metrics: Metrics,
    events: mpsc::Receiver<Event>,
    failures: mpsc::Receiver<WorkerFailed>,
}

impl MediaNode {
    /// Binds everything and starts the workers. Call inside a tokio runtime.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn bind(settings: &Settings) -> Result<Self, NodeError> {
        plenum_runtime::crypto::install();
        let cert_dir = settings.control_cert_dir.clone();
        let identity = Identity::from_dir(&cert_dir)
            .map_err(|source| NodeError::Identity { dir: cert_dir.display().to_string(), source })?;
        let control = listen("control", settings.control).await?;
        let probes = listen("metrics", settings.metrics).await?;
        let (sender, events) = worker::event_channel();
        let (failed, failures) = mpsc::channel(usize::from(settings::MAX_WORKERS));
        let shared = Shared { certificate: Certificate::generate()?, events: sender, failures: failed };
        let workers = (0..settings.workers)
            .map(|number| Worker::start(number, media_port(settings, number), shared.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        let boot_id = BootId::from_bits("", rand::random());
        tracing::info!(
            pod = settings.pod_name,
            namespace = settings.pod_namespace,
            uid = settings.pod_uid,
            node = settings.node_name,
            %boot_id,
            "media node"
        );
        let readiness = Readiness::new();
        let node = Arc::new(Node::new(boot_id, workers, readiness.clone()));
        let metrics = Arc::new(Mutex::new(metrics::registry(&node, settings)));
        let identity = Arc::new(identity);
        Ok(Self { node, identity, cert_dir, control, probes, readiness, metrics, events, failures })
    }

    /// Where the control API listens.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn control_address(&self) -> std::io::Result<SocketAddr> {
        self.control.local_addr()
    }

    /// Where probes and metrics listen.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn metrics_address(&self) -> std::io::Result<SocketAddr> {
        self.probes.local_addr()
    }

    /// UDP port of each worker.
    #[must_use]
    pub fn media_ports(&self) -> Vec<u16> {
        self.node.workers().iter().map(Worker::port).collect()
    }

    /// Runs until a worker breaks, or until `shutdown` was asked for and nobody is on the node any more.
    ///
    /// # Errors
    /// The worker that broke.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), NodeError> {
        let Self { node, identity, cert_dir, control, probes, readiness, metrics, mut events, mut failures } = self;
        let stop = Shutdown::new();
        let mut tasks = JoinSet::new();
        let limits = Limits { connections: MAX_CONNECTIONS, ..Limits::default() };
        let router = control::router(Arc::clone(&node));
        tasks.spawn(mtls::serve_with(control, Arc::clone(&identity), router, limits, stop.clone()));
        tasks.spawn(probes::serve_on(probes, readiness, metrics, shutdown.clone()));
        let following = stop.clone();
        tasks.spawn(async move { identity.follow_dir(&cert_dir, following).await });
        let pulse = Arc::clone(&node);
        tasks.spawn(async move { pulse.run_pulse().await });
        let pump = Arc::clone(&node);
        tasks.spawn(async move {
            while let Some(event) = events.recv().await {
                pump.handle_event(event);
            }
        });
        let over = async {
            shutdown.requested().await;
            tracing::info!("draining: rooms go on until they are empty or revoked");
            node.terminate();
            node.empty().await;
        };
        let outcome = tokio::select! {
            failure = failures.recv() => failure.map_or(Ok(()), |failure| Err(NodeError::Worker(failure))),
            () = over => Ok(()),
        };
        stop.trigger();
        node.remove_all();
        tasks.shutdown().await;
        outcome
    }
}

async fn listen(what: &'static str, address: SocketAddr) -> Result<TcpListener, NodeError> {
    TcpListener::bind(address).await.map_err(|source| NodeError::Listen { what, address, source })
}

/// The port of a worker; 0 stays 0: any.
fn media_port(settings: &Settings, worker: u16) -> u16 {
    match settings.media_port_base {
        0 => 0,
        base => base.saturating_add(worker),
    }
}
