//! The TURN node: the relay process. Workers on threads of their own, and a tokio runtime for everything else.
//!
//! It relays for those whom the leader's secrets admit, to the peers that the leader names, by the servers of
//! `plenum-turn-core`. It has no account at the Kubernetes API and asks nobody for anything.

mod certificates;
mod control;
mod metrics;
mod node;
pub mod settings;
mod worker;

pub use certificates::CertificateError;
use certificates::Certificates;
use node::Node;
use plenum_protocol::ids::BootId;
use plenum_runtime::mtls::{self, Identity, IdentityError};
use plenum_runtime::probes::{self, Metrics, Readiness};
use plenum_runtime::shutdown::Shutdown;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use settings::Settings;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use worker::{Fleet, WorkerEvent};
pub use worker::{StartError, WorkerFailed};

/// Why a node could not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The control certificate cannot be used.
    #[error("reading the control certificate in {dir}")]
    Identity {
        /// `PLENUM_CONTROL_CERT_DIR`.
        dir: String,
        /// Why.
        #[source]
        source: IdentityError,
    },
    /// A listener's certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A worker could not be started.
    #[error("starting the relay workers")]
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
pub struct TurnNode {
    node: Arc<Node>,
    identity: Arc<Identity>,
    cert_dir: PathBuf,
    certificates: Certificates,
    listeners: Vec<(String, SocketAddr)>,
    control: TcpListener,
    probes: TcpListener,
    readiness: Readiness,
    metrics: Metrics,
    events: mpsc::Receiver<WorkerEvent>,
    failures: mpsc::Receiver<WorkerFailed>,
}

impl TurnNode {
    /// Binds everything and starts the workers. Call inside a tokio runtime.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn bind(settings: &Settings) -> Result<Self, NodeError> {
        plenum_runtime::crypto::install();
        raise_descriptor_limit();
        let cert_dir = settings.control_cert_dir.clone();
        let identity = Identity::from_dir(&cert_dir)
            .map_err(|source| NodeError::Identity { dir: cert_dir.display().to_string(), source })?;
        let control = listen("control", settings.control).await?;
        let probes = listen("metrics", settings.metrics).await?;
        let certificates = Certificates::read(&settings.listeners)?;
        let (failed, failures) = mpsc::channel(usize::from(settings::MAX_WORKERS));
        let Fleet { workers, listeners, events } = Fleet::start(settings, &certificates, &failed)?;
        let boot_id = BootId::from_bits("", rand::random());
        tracing::info!(
            pod = settings.pod_name,
            namespace = settings.pod_namespace,
            uid = settings.pod_uid,
            node = settings.node_name,
            %boot_id,
            "TURN node"
        );
        let readiness = Readiness::new();
        let node = Arc::new(Node::new(boot_id, settings.addresses.clone(), workers, readiness.clone()));
        let metrics = Arc::new(Mutex::new(metrics::registry(&node, settings)));
        let identity = Arc::new(identity);
        Ok(Self {
            node,
            identity,
            cert_dir,
            certificates,
            listeners,
            control,
            probes,
            readiness,
            metrics,
            events,
            failures,
        })
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

    /// Name and address of each listener, once per address of the pod.
    #[must_use]
    pub fn listeners(&self) -> &[(String, SocketAddr)] {
        &self.listeners
    }

    /// Runs until a worker breaks, or until `shutdown` was asked for and the last allocation ended.
    ///
    /// # Errors
    /// The worker that broke.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), NodeError> {
        let Self {
            node,
            identity,
            cert_dir,
            certificates,
            listeners: _,
            control,
            probes,
            readiness,
            metrics,
            mut events,
            mut failures,
        } = self;
        let stop = Shutdown::new();
        let mut tasks = JoinSet::new();
        let router = control::router(Arc::clone(&node));
        tasks.spawn(mtls::serve(control, Arc::clone(&identity), router, stop.clone()));
        tasks.spawn(probes::serve_on(probes, readiness, metrics, shutdown.clone()));
        let following = stop.clone();
        tasks.spawn(async move { identity.follow_dir(&cert_dir, following).await });
        tasks.spawn(certificates.follow(stop.clone()));
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
            tracing::info!("draining: allocations go on until they end");
            node.terminate();
            node.empty().await;
        };
        let outcome = tokio::select! {
            failure = failures.recv() => failure.map_or(Ok(()), |failure| Err(NodeError::Worker(failure))),
            () = over => Ok(()),
        };
        stop.trigger();
        tasks.shutdown().await;
        outcome
    }
}

async fn listen(what: &'static str, address: SocketAddr) -> Result<TcpListener, NodeError> {
    TcpListener::bind(address).await.map_err(|source| NodeError::Listen { what, address, source })
}

/// A relay socket per allocation and a socket per stream: as many descriptors as the host lets the process have.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => tracing::debug!(descriptors = limit.maximum, "descriptor limit raised"),
        // It serves as many as there are; more are told 508.
        Err(error) => tracing::warn!(%error, descriptors = limit.current, "the descriptor limit stays low"),
    }
}
