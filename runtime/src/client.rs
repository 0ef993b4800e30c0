//! Calls to the control APIs of others: mutual TLS to `IP:port`, where the certificate must name the expected DNS name.
//!
//! Each call has a deadline and bounded bodies; connections are kept per target and used again.

use crate::mtls::Identity;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use plenum_protocol::problem::{Code, Problem};
use rustls::pki_types::ServerName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

mod pool;
mod websocket;

use pool::{Pool, Sender};
pub use tokio_tungstenite::tungstenite::Message;
pub use websocket::NodeSocket;

/// Largest response body that is read, in bytes: the whole state of a node with 10,000 rooms fits.
pub const MAX_RESPONSE: usize = 8 << 20;

/// Whom to call: where it is, and who it must be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// Address of the control API.
    pub addr: SocketAddr,
    /// DNS name that its certificate must carry.
    pub san: String,
}

impl Target {
    /// A target.
    #[must_use]
    pub fn new(addr: SocketAddr, san: impl Into<String>) -> Self {
        Self { addr, san: san.into() }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.san, self.addr)
    }
}

/// Why a call gave no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The other side answered, and refused.
    #[error("the call was refused")]
    Problem(#[source] Problem),
    /// The other side could not be reached, or is not who it must be, or broke off.
    #[error("the call failed")]
    Transport(#[from] TransportError),
    /// No whole answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

impl CallError {
    /// The code of a refusal.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Problem(problem) => Some(problem.code),
            Self::Transport(_) | Self::Timeout(_) => None,
        }
    }
}

/// What broke between here and there.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The expected DNS name is none.
    #[error("{0:?} is not a DNS name")]
    Name(String),
    /// No TCP connection.
    #[error("connecting to {1}")]
    Connect(#[source] std::io::Error, SocketAddr),
    /// TLS failed: the certificate is of another authority, names somebody else, or ours was refused.
    #[error("the TLS handshake with {1}")]
    Tls(#[source] std::io::Error, Target),
    /// HTTP broke off.
    #[error("speaking HTTP")]
    Http(#[from] hyper::Error),
    /// The path or a header is malformed.
    #[error("making the request")]
    Request(#[from] http::Error),
    /// The request body is not JSON.
    #[error("writing the request body")]
    Write(#[source] serde_json::Error),
    /// The response body is not what was expected.
    #[error("reading the response body")]
    Read(#[source] serde_json::Error),
    /// The response body broke off.
    #[error("the response body broke off: {0}")]
    Body(String),
    /// The response body is larger than [`MAX_RESPONSE`].
    #[error("the response body is larger than {MAX_RESPONSE} bytes")]
    TooLarge,
    /// The WebSocket handshake failed.
    #[error("the WebSocket handshake")]
    WebSocket(#[source] Box<tokio_tungstenite::tungstenite::Error>),
}

/// Makes calls as one identity. Clones share their connections.
#[derive(Clone)]
pub struct ControlClient {
    identity: Arc<Identity>,
    pool: Arc<Pool>,
}

impl ControlClient {
    /// Calls are made as `identity`, in whatever certificate it has at the time.
    #[must_use]
    pub fn new(identity: Arc<Identity>) -> Self {
        Self { identity, pool: Arc::new(Pool::default()) }
    }

    /// `GET`. An empty answer reads as `null` (so `()` fits).
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn get<T: DeserializeOwned>(&self, to: &Target, path: &str, timeout: Duration) -> Result<T, CallError> {
        self.call(to, Method::GET, path, None, timeout).await
    }

    /// `POST` with a JSON body.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn post<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        to: &Target,
        path: &str,
        body: &B,
        timeout: Duration,
    ) -> Result<T, CallError> {
        self.call(to, Method::POST, path, Some(json(body)?), timeout).await
    }

    /// `PATCH` with a JSON body.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn patch<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        to: &Target,
        path: &str,
        body: &B,
        timeout: Duration,
    ) -> Result<T, CallError> {
        self.call(to, Method::PATCH, path, Some(json(body)?), timeout).await
    }

    /// `DELETE`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn delete(&self, to: &Target, path: &str, timeout: Duration) -> Result<(), CallError> {
        self.exchange(to, Method::DELETE, path, None, timeout).await.map(drop)
    }

    /// A WebSocket to `path`; messages up to `plenum_protocol::room::MAX_MESSAGE`. `timeout` bounds the handshake only.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn websocket(&self, to: &Target, path: &str, timeout: Duration) -> Result<NodeSocket, CallError> {
        let opening = async {
            let stream = connect(&self.identity, to).await?;
            websocket::open(stream, to, path).await
        };
        tokio::time::timeout(timeout, opening).await.map_err(|_| CallError::Timeout(timeout))?
    }

    async fn call<T: DeserializeOwned>(
        &self,
        to: &Target,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        timeout: Duration,
    ) -> Result<T, CallError> {
        let answer = self.exchange(to, method, path, body, timeout).await?;
        let text: &[u8] = if answer.is_empty() { b"null" } else { &answer };
        Ok(serde_json::from_slice(text).map_err(TransportError::Read)?)
    }

    /// The body of a 2xx answer.
    async fn exchange(
        &self,
        to: &Target,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        timeout: Duration,
    ) -> Result<Bytes, CallError> {
        let request = request(to, method, path, body)?;
        let exchange = async {
            let (sender, response) = self.send(to, request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_RESPONSE).collect().await.map_err(body_error)?.to_bytes();
            self.pool.give_back(to, sender);
            if status.is_success() { Ok(body) } else { Err(CallError::Problem(problem_of(status, &body))) }
        };
        tokio::time::timeout(timeout, exchange).await.map_err(|_| CallError::Timeout(timeout))?
    }

    /// Over a kept connection if one still lives, else over a new one. A request that never left is sent again.
    async fn send(
        &self,
        to: &Target,
        mut request: Request<Full<Bytes>>,
    ) -> Result<(Sender, http::Response<Incoming>), TransportError> {
        let config = self.identity.client_config();
        while let Some(mut sender) = self.pool.take(to, &config) {
            if sender.http.ready().await.is_err() {
                continue;
            }
            match sender.http.try_send_request(request).await {
                Ok(response) => return Ok((sender, response)),
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(failed.into_error().into()),
                },
            }
        }
        let stream = connect_with(Arc::clone(&config), to).await?;
        let (mut http, connection) =
            hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = &error as &dyn std::error::Error, "a control connection ended");
            }
        });
        let response = http.send_request(request).await?;
        Ok((Sender { http, config }, response))
    }
}

async fn connect(identity: &Identity, to: &Target) -> Result<TlsStream<TcpStream>, TransportError> {
    connect_with(identity.client_config(), to).await
}

async fn connect_with(config: Arc<rustls::ClientConfig>, to: &Target) -> Result<TlsStream<TcpStream>, TransportError> {
    let name = ServerName::try_from(to.san.clone()).map_err(|_| TransportError::Name(to.san.clone()))?;
    let tcp = TcpStream::connect(to.addr).await.map_err(|error| TransportError::Connect(error, to.addr))?;
    tcp.set_nodelay(true).map_err(|error| TransportError::Connect(error, to.addr))?;
    TlsConnector::from(config).connect(name, tcp).await.map_err(|error| TransportError::Tls(error, to.clone()))
}

fn request(
    to: &Target,
    method: Method,
    path: &str,
    body: Option<Bytes>,
) -> Result<Request<Full<Bytes>>, TransportError> {
    let mut builder = Request::builder().method(method).uri(path).header(HOST, &to.san);
    if body.is_some() {
        builder = builder.header(CONTENT_TYPE, "application/json");
    }
    Ok(builder.body(Full::new(body.unwrap_or_default()))?)
}

fn json<B: Serialize>(body: &B) -> Result<Bytes, TransportError> {
    serde_json::to_vec(body).map(Bytes::from).map_err(TransportError::Write)
}

fn body_error(error: Box<dyn std::error::Error + Send + Sync>) -> TransportError {
    if error.is::<LengthLimitError>() { TransportError::TooLarge } else { TransportError::Body(error.to_string()) }
}

/// The problem document of a refusal, or one made from the status when the body is none.
fn problem_of(status: StatusCode, body: &[u8]) -> Problem {
    serde_json::from_slice(body).unwrap_or_else(|_| {
        let detail = format!("the answer was HTTP {status} without a problem document");
        Problem { status: status.as_u16(), ..Problem::new(Code::Other, detail) }
    })
}
