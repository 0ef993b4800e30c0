//! Who this process is on the control APIs: certificate, key and authority, swappable while everything runs.

use crate::ca::IssuedPem;
use crate::shutdown::Shutdown;
use crate::{crypto, secret_files};
use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig, version::TLS13};
use std::path::Path;
use std::sync::Arc;

/// Why an identity cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file could not be read.
    #[error("reading {file}")]
    File {
        /// Which one.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Text that is not PEM, or holds nothing of the wanted kind.
    #[error("reading {what}: {reason}")]
    Pem {
        /// Certificate, key or authority.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Certificate and key do not fit, or rustls cannot use them.
    #[error("using the certificate")]
    Certificate(#[source] rustls::Error),
    /// The authority cannot be used.
    #[error("using the authority")]
    Authority(#[source] VerifierBuilderError),
}

/// Certificate, key and authority. Share it by `Arc`; servers and clients see a replacement with their next connection.
pub struct Identity {
    material: ArcSwap<Material>,
}

/// What one set of PEM texts gives.
struct Material {
    pem: IssuedPem,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Identity {
    /// From PEM texts. `ca` may hold several certificates.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn from_pem(cert: &str, key: &str, ca: &str) -> Result<Self, IdentityError> {
        let pem = IssuedPem { cert: cert.to_owned(), key: key.to_owned(), ca: ca.to_owned() };
        Self::from_issued(&pem)
    }

    /// From what an authority issued.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn from_issued(pem: &IssuedPem) -> Result<Self, IdentityError> {
        Ok(Self { material: ArcSwap::from_pointee(Material::new(pem)?) })
    }

    /// From `tls.crt`, `tls.key` and `ca.crt` in a directory (a mounted Secret).
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn from_dir(dir: &Path) -> Result<Self, IdentityError> {
        Self::from_issued(&read_dir(dir)?)
    }

    /// Uses another certificate from the next connection on. Returns whether anything changed.
    ///
    /// # Errors
    /// See [`IdentityError`]; the old one then stays.
    pub fn replace(&self, pem: &IssuedPem) -> Result<bool, IdentityError> {
        if self.material.load().pem == *pem {
            return Ok(false);
        }
        self.material.store(Arc::new(Material::new(pem)?));
        Ok(true)
    }

    /// Reads the directory again and uses what is new. Returns whether anything changed.
    ///
    /// # Errors
    /// See [`IdentityError`]; the old identity then stays.
    pub fn reload(&self, dir: &Path) -> Result<bool, IdentityError> {
        self.replace(&read_dir(dir)?)
    }

    /// Reads the directory again and again until `shutdown`. Files that do not fit together (half-way through a change)
    /// are logged and read again.
    pub async fn follow_dir(self: Arc<Self>, dir: impl AsRef<Path>, shutdown: Shutdown) {
        secret_files::follow("the control certificate", dir.as_ref(), shutdown, |dir| self.reload(dir)).await;
    }

    pub(crate) fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.material.load().server)
    }

    pub(crate) fn client_config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.material.load().client)
    }
}

impl Material {
    fn new(pem: &IssuedPem) -> Result<Self, IdentityError> {
        let roots = Arc::new(roots(&pem.ca)?);
        let provider = crypto::provider();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(IdentityError::Authority)?;
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(IdentityError::Certificate)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain(&pem.cert)?, key(&pem.key)?)
            .map_err(IdentityError::Certificate)?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(IdentityError::Certificate)?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain(&pem.cert)?, key(&pem.key)?)
            .map_err(IdentityError::Certificate)?;
        client.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { pem: pem.clone(), server: Arc::new(server), client: Arc::new(client) })
    }
}

fn chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    certificates("the certificate", pem)
}

fn certificates(what: &'static str, pem: &str) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let parsed = parsed.map_err(|error| IdentityError::Pem { what, reason: error.to_string() })?;
    if parsed.is_empty() {
        return Err(IdentityError::Pem { what, reason: "no certificate in it".to_owned() });
    }
    Ok(parsed)
}

fn key(pem: &str) -> Result<PrivateKeyDer<'static>, IdentityError> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|error| IdentityError::Pem { what: "the key", reason: error.to_string() })
}

fn roots(pem: &str) -> Result<RootCertStore, IdentityError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("the authority", pem)? {
        roots.add(certificate).map_err(IdentityError::Certificate)?;
    }
    Ok(roots)
}

fn read_dir(dir: &Path) -> Result<IssuedPem, IdentityError> {
    let read = |name: &str| {
        let file = dir.join(name);
        std::fs::read_to_string(&file)
            .map_err(|source| IdentityError::File { file: file.display().to_string(), source })
    };
    Ok(IssuedPem { cert: read("tls.crt")?, key: read("tls.key")?, ca: read("ca.crt")? })
}
