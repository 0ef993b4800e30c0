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
use plenum_runtime::node::{Failures, NodeShell, ShellError, WorkerFailed, until_over};
use plenum_runtime::server::Limits;
use plenum_runtime::shutdown::Shutdown;
use plenum_turn_core::Event;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use settings::Settings;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::mpsc;
use worker::Fleet;
pub use worker::StartError;

/// Why a node could not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Its servers cannot be there.
    #[error(transparent)]
    Shell(#[from] ShellError),
    /// A listener's certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A worker could not be started.
    #[error("starting the relay workers")]
    Start(#[from] StartError),
    /// A worker broke.
    #[error("the node cannot go on")]
    Worker(#[from] WorkerFailed),
}

/// A node whose sockets are bound.
pub struct TurnNode {
    shell: NodeShell,
    settings: Settings,
    node: Arc<Node>,
    certificates: Certificates,
    listeners: Vec<(String, SocketAddr)>,
    events: mpsc::Receiver<Event>,
    failures: mpsc::Receiver<WorkerFailed>,
}

impl TurnNode {
    /// Binds everything and starts the workers. Call inside a tokio runtime.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn bind(settings: &Settings) -> Result<Self, NodeError> {
        raise_descriptor_limit();
        let shell = NodeShell::bind(&settings.pod).await?;
        let certificates = Certificates::read(&settings.listeners)?;
        let (failed, failures) = Failures::channel();
        let Fleet { workers, listeners, events } = Fleet::start(settings, &certificates, &failed)?;
        let boot_id = BootId::from_bits("", rand::random());
        settings.pod.log_start("TURN node", &boot_id);
        let node = Arc::new(Node::new(boot_id, settings.addresses.clone(), workers, shell.readiness()));
        Ok(Self { shell, settings: settings.clone(), node, certificates, listeners, events, failures })
    }

    /// Its servers.
    #[must_use]
    pub fn shell(&self) -> &NodeShell {
        &self.shell
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
        let Self { shell, settings, node, certificates, listeners: _, mut events, failures } = self;
        let metrics = metrics::registry(&node, &settings.pod);
        let calls = control::router(Arc::clone(&node));
        let mut tasks = shell.serve(calls, Limits::default(), metrics, shutdown.clone());
        certificates.follow(&mut tasks);
        let pulse = Arc::clone(&node);
        tasks.spawn(async move { pulse.run_pulse().await });
        let pump = Arc::clone(&node);
        tasks.spawn(async move {
            while let Some(event) = events.recv().await {
                pump.handle_event(event);
            }
        });
        let drained = async {
            tracing::info!("draining: allocations go on until they end");
            node.terminate();
            node.empty().await;
        };
        let outcome = until_over(failures, &shutdown, drained).await;
        tasks.shutdown().await;
        Ok(outcome?)
    }
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
