//! What an engine is made with, and the keys by which its owner speaks of rooms and sessions.

use aws_lc_rs::digest;
use rtc_crypto::RTCCryptoProvider;
use rtc_dtls::crypto::Certificate as DtlsCertificate;
use std::fmt;
use std::sync::Arc;

/// A room of this engine. Chosen by the owner; unique within the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomKey(pub u64);

/// A session of this engine. Chosen by the owner; unique within the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey(pub u64);

/// Bounds of one room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomLimits {
    /// What one publisher may send, kbit/s: announced in SDP and REMB, and enforced. 0 means unbounded.
    pub max_bitrate_kbps: u32,
    /// Most sessions at once.
    pub max_sessions: u32,
    /// Connectivity checks that do not come from a relay of the cluster are dropped.
    pub relay_only: bool,
}

/// Bounds of one engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most rooms.
    pub max_rooms: usize,
    /// Most sessions over all rooms.
    pub max_sessions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_rooms: 10_000, max_sessions: 20_000 }
    }
}

/// What an engine needs to start. Not `Debug`: it holds the seed.
#[derive(Clone)]
pub struct EngineConfig {
    /// Number of the worker, named in logs.
    pub worker: u16,
    /// First four characters of every local ICE username fragment: letters and digits, unique per engine.
    pub ufrag_tag: [u8; 4],
    /// Seed of everything random that the engine makes: credentials, SSRCs, first sequence numbers.
    pub seed: [u8; 32],
    /// Identity towards clients; one per process, shared by its engines.
    pub certificate: Certificate,
    /// Bounds.
    pub limits: Limits,
}

/// A self-signed ECDSA P-256 certificate for DTLS, with its fingerprint.
#[derive(Clone)]
pub struct Certificate {
    pub(crate) dtls: DtlsCertificate,
    pub(crate) provider: Arc<dyn RTCCryptoProvider>,
    fingerprint: Arc<str>,
}

impl Certificate {
    /// Makes a new key and certificate.
    ///
    /// # Errors
    /// [`CertificateError`] when the crypto library cannot.
    pub fn generate() -> Result<Self, CertificateError> {
        let provider = rtc_crypto::default_provider().map_err(|_| CertificateError::NoProvider)?;
        let dtls = DtlsCertificate::generate_self_signed(vec!["plenum".to_owned()], provider.crypto())
            .map_err(|error| CertificateError::Generate(error.to_string()))?;
        let der = dtls.certificate.first().ok_or(CertificateError::Empty)?;
        let fingerprint = fingerprint_text(der).into();
        Ok(Self { dtls, provider, fingerprint })
    }

    /// SHA-256 fingerprint as SDP writes it: upper-case hex bytes with colons.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

/// SHA-256 over a DER certificate, as `AB:CD:…`.
pub(crate) fn fingerprint_text(der: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, der);
    let bytes: Vec<String> = hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    bytes.join(":")
}

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The crypto library was built without a provider.
    #[error("no crypto provider for DTLS")]
    NoProvider,
    /// Key generation or signing failed.
    #[error("generating the DTLS certificate: {0}")]
    Generate(String),
    /// The library made a certificate without a body.
    #[error("the generated DTLS certificate is empty")]
    Empty,
}
