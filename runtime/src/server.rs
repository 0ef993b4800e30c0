//! HTTP/1.1 servers with bounds: connections, handshake, headers, drain. Plain, TLS, and the base of mutual TLS.
//!
//! Request extensions: `ConnectInfo<SocketAddr>` always; what the acceptor learned (e.g. the peer's role) beside it.

use crate::shutdown::Shutdown;
use axum::Router;
use axum::extract::ConnectInfo;
use http::{Extensions, Request};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tower::ServiceExt as _;

mod tls;

pub(crate) use tls::handshake;
pub use tls::{PublicTls, PublicTlsError};

/// How long a failing accept (out of file descriptors, mostly) is left alone.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Most bytes of a request head.
const MAX_HEAD: usize = 64 << 10;

/// Bounds of a server. A WebSocket leaves them with its upgrade: who upgrades a connection bounds and ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most connections at once; more wait in the kernel's queue.
    pub connections: usize,
    /// Longest TLS handshake.
    pub handshake: Duration,
    /// Longest wait for the head of a request, on an idle connection too.
    pub header: Duration,
    /// How long requests may go on after the stop was asked for.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            handshake: Duration::from_secs(5),
            header: Duration::from_secs(30),
            drain: Duration::from_secs(10),
        }
    }
}

/// Why a new connection was not taken; logged at DEBUG, never the end of a server.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The client was gone already.
    #[error("setting up the connection")]
    Socket(#[source] std::io::Error),
    /// TLS failed: no certificate, one of another authority, or no TLS at all.
    #[error("the TLS handshake failed")]
    Handshake(#[source] std::io::Error),
    /// The handshake took too long.
    #[error("the TLS handshake took longer than {0:?}")]
    Slow(Duration),
    /// The certificate is of the authority but names nobody that we know.
    #[error("the client's certificate names no role")]
    NoRole,
}

/// Turns a TCP connection into what HTTP is spoken over.
pub(crate) trait Accept: Send + Sync + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    fn accept(&self, tcp: TcpStream) -> impl Future<Output = Result<(Self::Stream, Extensions), AcceptError>> + Send;
}

struct Plain;

impl Accept for Plain {
    type Stream = TcpStream;
    async fn accept(&self, tcp: TcpStream) -> Result<(TcpStream, Extensions), AcceptError> {
        tcp.set_nodelay(true).map_err(AcceptError::Socket)?;
        Ok((tcp, Extensions::new()))
    }
}

/// Serves plain HTTP until `shutdown`, then lets requests end for `limits.drain`.
pub async fn serve_plain(listener: TcpListener, router: Router, limits: Limits, shutdown: Shutdown) {
    serve(listener, Plain, router, limits, shutdown).await;
}

/// Serves HTTPS (TLS 1.2 and 1.3, no client certificates) until `shutdown`. `tls` may change its certificate meanwhile.
pub async fn serve_tls(listener: TcpListener, tls: Arc<PublicTls>, router: Router, limits: Limits, shutdown: Shutdown) {
    serve(listener, tls::PublicAcceptor { tls, deadline: limits.handshake }, router, limits, shutdown).await;
}

pub(crate) async fn serve<A: Accept>(
    listener: TcpListener,
    acceptor: A,
    router: Router,
    limits: Limits,
    shutdown: Shutdown,
) {
    let acceptor = Arc::new(acceptor);
    let slots = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    while let Some((tcp, peer, permit)) = next_connection(&listener, &slots, &shutdown).await {
        while connections.try_join_next().is_some() {}
        let (acceptor, router, shutdown) = (Arc::clone(&acceptor), router.clone(), shutdown.clone());
        connections.spawn(async move {
            match acceptor.accept(tcp).await {
                Ok((stream, learned)) => serve_connection(stream, peer, learned, (router, limits, shutdown)).await,
                Err(error) => tracing::debug!(error = &error as &dyn std::error::Error, "refused a connection"),
            }
            drop(permit);
        });
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain, ended).await.is_err() {
        tracing::warn!(connections = connections.len(), "closing connections that did not end in time");
        connections.shutdown().await;
    }
}

/// `None` once the stop was asked for. An accept that fails is logged and tried again.
async fn next_connection(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    shutdown: &Shutdown,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let accept = async {
        let permit = Arc::clone(slots).acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((tcp, peer)) => return Some((tcp, peer, permit)),
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = shutdown.requested() => None,
        accepted = accept => accepted,
    }
}

async fn serve_connection<S>(stream: S, peer: SocketAddr, learned: Extensions, shell: (Router, Limits, Shutdown))
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (router, limits, shutdown) = shell;
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(axum::body::Body::new);
        request.extensions_mut().extend(learned.clone());
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request)
    });
    let mut http1 = hyper::server::conn::http1::Builder::new();
    http1.timer(TokioTimer::new()).header_read_timeout(limits.header).max_buf_size(MAX_HEAD);
    let connection = http1.serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = shutdown.requested() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(error = &error as &dyn std::error::Error, "a connection ended early");
    }
}
