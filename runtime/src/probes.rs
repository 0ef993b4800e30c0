//! `/livez`, `/readyz` and `/metrics`, plain HTTP on an internal address. Never fails because something remote is down.

use crate::server::{self, Limits};
use crate::shutdown::Shutdown;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use prometheus_client::registry::Registry;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;

/// Media type of the metrics.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Few ask, so few are let in.
const LIMITS: Limits = Limits {
    connections: 64,
    handshake: Duration::from_secs(5),
    header: Duration::from_secs(15),
    drain: Duration::from_secs(1),
};

/// Whether the process can do its work now. Clones share the answer; not ready at first.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Not ready yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes the answer.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Relaxed);
    }

    /// The answer.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Metrics of a process; the lock is held while they are written as text and while one is registered.
pub type Metrics = Arc<Mutex<Registry>>;

/// Binds `addr` and serves; see [`serve_on`].
///
/// # Errors
/// The address cannot be bound.
pub async fn serve(
    addr: SocketAddr,
    readiness: Readiness,
    metrics: Metrics,
    shutdown: Shutdown,
) -> Result<(), std::io::Error> {
    let listener = TcpListener::bind(addr).await?;
    serve_on(listener, readiness, metrics, shutdown).await;
    Ok(())
}

/// Serves the probes for as long as the future is kept: a process that drains is still alive. From `shutdown` on
/// `/readyz` says 503.
pub async fn serve_on(listener: TcpListener, readiness: Readiness, metrics: Metrics, shutdown: Shutdown) {
    let state = Probes { readiness, metrics, shutdown };
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(render))
        .with_state(state);
    server::serve_plain(listener, router, LIMITS, Shutdown::new()).await;
}

#[derive(Clone)]
struct Probes {
    readiness: Readiness,
    metrics: Metrics,
    shutdown: Shutdown,
}

async fn readyz(State(probes): State<Probes>) -> (StatusCode, &'static str) {
    if probes.shutdown.is_requested() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
    } else if probes.readiness.is_ready() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn render(State(probes): State<Probes>) -> Response {
    let mut text = String::new();
    let outcome = {
        let registry = probes.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        prometheus_client::encoding::text::encode(&mut text, &registry)
    };
    match outcome {
        Ok(()) => ([(CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
