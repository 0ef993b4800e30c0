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
use plenum_runtime::node::{EventOutlet, Failures, NodeShell, ShellError, WorkerFailed, until_over};
use plenum_runtime::server::Limits;
use plenum_runtime::shutdown::Shutdown;
use settings::Settings;
use std::sync::Arc;
use tokio::sync::mpsc;
pub use worker::StartError;
use worker::{Shared, Worker};

/// Control connections at once: one per client's room socket, and the gateways' calls.
const MAX_CONNECTIONS: usize = 16_384;

/// Why a node could not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// No certificate for DTLS.
    #[error("making the DTLS certificate")]
    Certificate(#[from] CertificateError),
    /// Its servers cannot be there.
    #[error(transparent)]
    Shell(#[from] ShellError),
    /// A worker could not be started.
    #[error("starting the media workers")]
    Start(#[from] StartError),
    /// A worker broke.
    #[error("the node cannot go on")]
    Worker(#[from] WorkerFailed),
}

/// A node whose sockets are bound.
pub struct MediaNode {
    shell: NodeShell,
    settings: Settings,
    node: Arc<Node>,
    events: mpsc::Receiver<Event>,
    failures: mpsc::Receiver<WorkerFailed>,
}

impl MediaNode {
    /// Binds everything and starts the workers. Call inside a tokio runtime.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn bind(settings: &Settings) -> Result<Self, NodeError> {
        let shell = NodeShell::bind(&settings.pod).await?;
        let (sender, events) = EventOutlet::channel();
        let (failed, failures) = Failures::channel();
        let shared = Shared { certificate: Certificate::generate()?, events: sender, failures: failed };
        let workers = (0..settings.pod.workers)
            .map(|number| Worker::start(number, settings.media_port(number), shared.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        let boot_id = BootId::from_bits("", rand::random());
        settings.pod.log_start("media node", &boot_id);
        let node = Arc::new(Node::new(boot_id, workers, shell.readiness()));
        Ok(Self { shell, settings: settings.clone(), node, events, failures })
    }

    /// Its servers.
    #[must_use]
    pub fn shell(&self) -> &NodeShell {
        &self.shell
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
        let Self { shell, settings, node, mut events, failures } = self;
        let limits = Limits { connections: MAX_CONNECTIONS, ..Limits::default() };
        let metrics = metrics::registry(&node, &settings.pod);
        let mut tasks = shell.serve(control::router(Arc::clone(&node)), limits, metrics, shutdown.clone());
        let pulse = Arc::clone(&node);
        tasks.spawn(async move { pulse.run_pulse().await });
        let pump = Arc::clone(&node);
        tasks.spawn(async move {
            while let Some(event) = events.recv().await {
                pump.handle_event(event);
            }
        });
        let drained = async {
            tracing::info!("draining: rooms go on until they are empty or revoked");
            node.terminate();
            node.empty().await;
        };
        let outcome = until_over(failures, &shutdown, drained).await;
        node.remove_all();
        tasks.shutdown().await;
        Ok(outcome?)
    }
}
