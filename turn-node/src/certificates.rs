//! The certificates of TLS listeners: read from mounted Secrets, and again when they change.

use crate::settings::{Door, Listener};
use plenum_runtime::server::{PublicTls, PublicTlsError};
use plenum_runtime::shutdown::Shutdown;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::task::JoinSet;

/// ALPN names of TURN and STUN (RFC 7443). A client that offers others is refused; one that offers none is not.
const PROTOCOLS: [&[u8]; 2] = [b"stun.turn", b"stun.nat-discovery"];

/// Why a listener has no certificate.
#[derive(Debug, thiserror::Error)]
#[error("reading the certificate of listener {listener} in {dir}")]
pub struct CertificateError {
    /// Name of the listener.
    listener: String,
    /// Its `tlsDir`.
    dir: String,
    #[source]
    source: PublicTlsError,
}

struct Certificate {
    listener: String,
    dir: PathBuf,
    tls: Arc<PublicTls>,
}

/// The certificates of a node, by listener.
pub(crate) struct Certificates(Vec<Certificate>);

impl Certificates {
    /// Reads those of all TLS listeners.
    pub(crate) fn read(listeners: &[Listener]) -> Result<Self, CertificateError> {
        let mut all = Vec::new();
        for Listener { name, door, port: _ } in listeners {
            let Door::Tls { dir } = door else { continue };
            let tls = PublicTls::from_dir_for(dir, &PROTOCOLS).map_err(|source| CertificateError {
                listener: name.clone(),
                dir: dir.display().to_string(),
                source,
            })?;
            all.push(Certificate { listener: name.clone(), dir: dir.clone(), tls: Arc::new(tls) });
        }
        Ok(Self(all))
    }

    /// That of a listener.
    pub(crate) fn of(&self, listener: &str) -> Option<Arc<PublicTls>> {
        self.0.iter().find(|certificate| certificate.listener == listener).map(|found| Arc::clone(&found.tls))
    }

    /// Follows the files of all, for as long as the tasks are kept.
    pub(crate) fn follow(self, tasks: &mut JoinSet<()>) {
        for Certificate { listener: _, dir, tls } in self.0 {
            tasks.spawn(tls.follow_dir(dir, Shutdown::new()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};
    use std::path::Path;

    /// A certificate for `localhost`, written where a Secret would be.
    fn write(dir: &Path) -> CertificateDer<'static> {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(dir.join("tls.crt"), certificate.pem()).unwrap();
        std::fs::write(dir.join("tls.key"), key.serialize_pem()).unwrap();
        certificate.der().clone()
    }

    /// Whether a client that trusts `certificate` alone shakes hands with a new connection.
    fn is_served(tls: &PublicTls, certificate: &CertificateDer<'static>) -> bool {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut server = ServerConnection::new(tls.server_config()).unwrap();
        while client.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            wire.clear();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut wire.as_slice()).unwrap();
            if client.process_new_packets().is_err() {
                return false;
            }
        }
        true
    }

    #[test]
    fn a_renewed_certificate_is_served_and_a_broken_one_is_not() {
        plenum_runtime::crypto::install();
        let dir = tempfile::tempdir().unwrap();
        let first = write(dir.path());
        let door = Door::Tls { dir: dir.path().to_owned() };
        let certificates = Certificates::read(&[Listener { name: "tls".into(), door, port: 0 }]).unwrap();
        let tls = certificates.of("tls").unwrap();
        assert!(is_served(&tls, &first) && certificates.of("udp").is_none());
        let second = write(dir.path());
        assert!(!is_served(&tls, &second));
        assert!(tls.reload(dir.path()).unwrap());
        assert!(is_served(&tls, &second) && !is_served(&tls, &first));
        std::fs::write(dir.path().join("tls.key"), "half").unwrap();
        assert!(tls.reload(dir.path()).is_err());
        assert!(is_served(&tls, &second));
    }

    #[test]
    fn a_missing_certificate_names_its_listener() {
        let door = Door::Tls { dir: "/nowhere".into() };
        let listener = Listener { name: "tls".into(), door, port: 0 };
        let error = Certificates::read(&[listener]).map(drop).unwrap_err().to_string();
        assert_eq!(error, "reading the certificate of listener tls in /nowhere");
    }
}
