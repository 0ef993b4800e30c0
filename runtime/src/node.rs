//! What the programs of the nodes, media and TURN, have in common: the settings of their pod, the two servers, the way
//! to the worker threads and back, their counts, and whom they obey.
//!
//! Knows nothing of media and relays: workers are threads of somebody else's, reached by a function.

mod changes;
mod fence;
mod load;
pub mod metrics;
mod outlet;
mod settings;
mod worker;

pub use changes::{Changes, REMEMBERED};
pub use fence::Fence;
pub use load::Load;
pub use outlet::EventOutlet;
pub use settings::{Environment, MAX_WORKERS, Pod, SettingsError};
pub use worker::{AskError, Failures, WorkerFailed, WorkerHandle, answer};

use crate::http::{JsonBody, ProblemResponse};
use crate::mtls::{self, Identity, IdentityError};
use crate::probes::{self, Readiness};
use crate::server::Limits;
use crate::shutdown::Shutdown;
use crate::{crypto, http};
use axum::Router;
use axum::routing::get;
use plenum_protocol::ids::BootId;
use plenum_protocol::problem::{Code, Problem};
use plenum_protocol::reach::Ping;
use prometheus_client::registry::Registry;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Most outside addresses of a node.
const MAX_ADDRESSES: usize = 8;

/// Why a node has no servers.
#[derive(Debug, thiserror::Error)]
pub enum ShellError {
    /// The control certificate cannot be used.
    #[error("reading the control certificate in {dir}")]
    Identity {
        /// `PLENUM_CONTROL_CERT_DIR`.
        dir: String,
        /// Why.
        #[source]
        source: IdentityError,
    },
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
}

/// The servers of a node, bound: the control API and the probes.
pub struct NodeShell {
    identity: Arc<Identity>,
    cert_dir: PathBuf,
    control: TcpListener,
    probes: TcpListener,
    readiness: Readiness,
}

impl NodeShell {
    /// Reads the certificate and binds both ports. Call inside a tokio runtime.
    ///
    /// # Errors
    /// See [`ShellError`].
    pub async fn bind(pod: &Pod) -> Result<Self, ShellError> {
        crypto::install();
        let cert_dir = pod.control_cert_dir.clone();
        let identity = Identity::from_dir(&cert_dir)
            .map_err(|source| ShellError::Identity { dir: cert_dir.display().to_string(), source })?;
        let control = listen("control", pod.control).await?;
        let probes = listen("metrics", pod.metrics).await?;
        Ok(Self { identity: Arc::new(identity), cert_dir, control, probes, readiness: Readiness::new() })
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

    /// What `/readyz` says; not ready at first.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Serves `calls` within `limits`, probes and `metrics`, and follows the certificate's files, for as long as the
    /// tasks are kept. From `shutdown` on the node is not ready.
    #[must_use]
    pub fn serve(self, calls: Router, limits: Limits, metrics: Registry, shutdown: Shutdown) -> JoinSet<()> {
        let Self { identity, cert_dir, control, probes, readiness } = self;
        let mut tasks = JoinSet::new();
        // A node that drains still hears the leader and the gateways: only the end of the tasks ends these.
        tasks.spawn(mtls::serve_with(control, Arc::clone(&identity), calls, limits, Shutdown::new()));
        tasks.spawn(probes::serve_on(probes, readiness, Arc::new(Mutex::new(metrics)), shutdown));
        tasks.spawn(identity.follow_dir(cert_dir, Shutdown::new()));
        tasks
    }
}

async fn listen(what: &'static str, address: SocketAddr) -> Result<TcpListener, ShellError> {
    TcpListener::bind(address).await.map_err(|source| ShellError::Listen { what, address, source })
}

/// Waits until a worker breaks, or until `shutdown` was asked for and `drained` has come.
///
/// # Errors
/// The worker that broke.
pub async fn until_over(
    mut failures: mpsc::Receiver<WorkerFailed>,
    shutdown: &Shutdown,
    drained: impl Future<Output = ()>,
) -> Result<(), WorkerFailed> {
    let over = async {
        shutdown.requested().await;
        drained.await;
    };
    tokio::select! {
        Some(failure) = failures.recv() => Err(failure),
        () = over => Ok(()),
    }
}

/// The control API: `calls`, and what every node answers beside them: `/v1/ping`, and a problem document for the rest.
pub fn control_router<S: Clone + Send + Sync + 'static>(calls: Router<S>, boot_id: BootId) -> Router<S> {
    let ping = Ping { boot_id };
    calls
        .route("/v1/ping", get(move || std::future::ready(JsonBody(ping.clone()))))
        .fallback(|| async { ProblemResponse::new(Code::NotFound, "no such call") })
        .method_not_allowed_fallback(|| async { ProblemResponse::new(Code::NotFound, "no such call with this method") })
}

/// Whether a node can be told so many outside addresses.
///
/// # Errors
/// `bad-request`.
pub fn check_outside_addresses(count: usize) -> Result<(), Problem> {
    if (1..=MAX_ADDRESSES).contains(&count) {
        return Ok(());
    }
    Err(http::bad_request(format!("outsideAddresses must hold 1 to {MAX_ADDRESSES} addresses")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_node_is_over_when_a_worker_breaks_or_when_it_is_drained() {
        let (failures, heard) = Failures::channel();
        let shutdown = Shutdown::new();
        failures.tell("media-1", "panicked".to_owned());
        let failed = WorkerFailed { worker: "media-1".to_owned(), reason: "panicked".to_owned() };
        assert_eq!(until_over(heard, &shutdown, async {}).await, Err(failed));
        let (_failures, heard) = Failures::channel();
        shutdown.trigger();
        assert_eq!(until_over(heard, &shutdown, async {}).await, Ok(()));
    }

    #[test]
    fn a_node_has_one_to_eight_outside_addresses() {
        let detail = |count| check_outside_addresses(count).map_err(|problem| problem.detail);
        assert_eq!((detail(1), detail(8)), (Ok(()), Ok(())));
        let wanted = "outsideAddresses must hold 1 to 8 addresses".to_owned();
        assert_eq!((detail(0), detail(9)), (Err(wanted.clone()), Err(wanted)));
    }
}
