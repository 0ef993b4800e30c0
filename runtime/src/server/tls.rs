//! The certificate that clients see, swappable while the server runs.

use super::{Accept, AcceptError};
use crate::shutdown::Shutdown;
use crate::{crypto, secret_files};
use arc_swap::ArcSwap;
use http::Extensions;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PublicTlsError {
    /// A file could not be read.
    #[error("reading {file}")]
    File {
        /// Which one.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The text is not PEM with a certificate or a key.
    #[error("reading {what}: {reason}")]
    Pem {
        /// Certificate or key.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Certificate and key do not fit.
    #[error("using the certificate")]
    Certificate(#[source] rustls::Error),
}

/// Certificate and key of a public server.
pub struct PublicTls {
    used: ArcSwap<Used>,
    /// ALPN names, most wanted first.
    protocols: Vec<Vec<u8>>,
}

/// Texts of a chain, leaf first, and of its key, and what they give.
struct Used {
    cert: Vec<u8>,
    key: Vec<u8>,
    config: Arc<ServerConfig>,
}

/// ALPN name of HTTP/1.1.
const HTTP: &[u8] = b"http/1.1";

impl PublicTls {
    /// From `tls.crt` and `tls.key` in a directory (a mounted Secret of type `kubernetes.io/tls`).
    ///
    /// # Errors
    /// See [`PublicTlsError`].
    pub fn from_dir(dir: &Path) -> Result<Self, PublicTlsError> {
        Self::from_dir_for(dir, &[HTTP])
    }

    /// [`PublicTls::from_dir`] for another protocol than HTTP: `protocols` are its ALPN names. A client that offers
    /// only others is refused; one that offers none is not.
    ///
    /// # Errors
    /// See [`PublicTlsError`].
    pub fn from_dir_for(dir: &Path, protocols: &[&[u8]]) -> Result<Self, PublicTlsError> {
        let protocols: Vec<_> = protocols.iter().map(|name| name.to_vec()).collect();
        let (cert, key) = read_dir(dir)?;
        let config = config(&cert, &key, &protocols)?;
        Ok(Self { used: ArcSwap::from_pointee(Used { cert, key, config }), protocols })
    }

    /// What new connections are made with, for servers of their own.
    #[must_use]
    pub fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.used.load().config)
    }

    /// Reads the directory again and uses what is new for new connections. Returns whether anything changed.
    ///
    /// # Errors
    /// See [`PublicTlsError`]; the old certificate then stays.
    pub fn reload(&self, dir: &Path) -> Result<bool, PublicTlsError> {
        let (cert, key) = read_dir(dir)?;
        let used = self.used.load();
        if (&used.cert, &used.key) == (&cert, &key) {
            return Ok(false);
        }
        let config = config(&cert, &key, &self.protocols)?;
        self.used.store(Arc::new(Used { cert, key, config }));
        Ok(true)
    }

    /// Reads the directory again and again until `shutdown`. Files that do not fit together (half-way through a change)
    /// are logged and read again.
    pub async fn follow_dir(self: Arc<Self>, dir: impl AsRef<Path>, shutdown: Shutdown) {
        secret_files::follow("the public certificate", dir.as_ref(), shutdown, |dir| self.reload(dir)).await;
    }
}

pub(super) struct PublicAcceptor {
    pub(super) tls: Arc<PublicTls>,
    pub(super) deadline: Duration,
}

impl Accept for PublicAcceptor {
    type Stream = TlsStream<TcpStream>;
    async fn accept(&self, tcp: TcpStream) -> Result<(Self::Stream, Extensions), AcceptError> {
        let stream = handshake(self.tls.server_config(), tcp, self.deadline).await?;
        Ok((stream, Extensions::new()))
    }
}

/// A TLS handshake as server that ends in time.
pub(crate) async fn handshake(
    config: Arc<ServerConfig>,
    tcp: TcpStream,
    deadline: Duration,
) -> Result<TlsStream<TcpStream>, AcceptError> {
    tcp.set_nodelay(true).map_err(AcceptError::Socket)?;
    let accepting = TlsAcceptor::from(config).accept(tcp);
    let outcome = tokio::time::timeout(deadline, accepting).await.map_err(|_| AcceptError::Slow(deadline))?;
    outcome.map_err(AcceptError::Handshake)
}

fn config(cert: &[u8], key: &[u8], protocols: &[Vec<u8>]) -> Result<Arc<ServerConfig>, PublicTlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(cert).collect();
    let chain = chain.map_err(|error| PublicTlsError::Pem { what: "the certificate", reason: error.to_string() })?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| PublicTlsError::Pem { what: "the key", reason: error.to_string() })?;
    let builder = ServerConfig::builder_with_provider(crypto::provider())
        .with_safe_default_protocol_versions()
        .map_err(PublicTlsError::Certificate)?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).map_err(PublicTlsError::Certificate)?;
    config.alpn_protocols = protocols.to_vec();
    Ok(Arc::new(config))
}

fn read_dir(dir: &Path) -> Result<(Vec<u8>, Vec<u8>), PublicTlsError> {
    let read = |name: &str| {
        let file = dir.join(name);
        std::fs::read(&file).map_err(|source| PublicTlsError::File { file: file.display().to_string(), source })
    };
    Ok((read("tls.crt")?, read("tls.key")?))
}
