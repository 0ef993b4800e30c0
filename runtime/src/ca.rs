//! The certificate authority that the operator keeps: who may speak on the control APIs.
//!
//! Makes keys and certificates and reads their lifetimes; stores nothing and reads no clock.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long an authority lives.
pub const AUTHORITY_LIFE: Duration = DAY.saturating_mul(3650);
/// How long an issued certificate lives.
pub const LEAF_LIFE: Duration = DAY.saturating_mul(365);
/// Certificates are valid from this long before `now`, since clocks differ.
const BACKDATED: Duration = Duration::from_secs(60 * 60);

/// What the authority could not do.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// Making a key or a certificate failed.
    #[error("making a certificate")]
    Make(#[from] rcgen::Error),
    /// The PEM text has no certificate that can be read.
    #[error("reading a certificate: {0}")]
    Read(String),
    /// The key belongs to another certificate.
    #[error("the key does not belong to the certificate")]
    KeyMismatch,
    /// The certificate is not one of an authority.
    #[error("the certificate is not one of a certificate authority")]
    NotAuthority,
}

/// A certificate with its key and the authority to check others by, all PEM: what goes into a Secret.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuedPem {
    /// `tls.crt`.
    pub cert: String,
    /// `tls.key`.
    pub key: String,
    /// `ca.crt`.
    pub ca: String,
}

impl std::fmt::Debug for IssuedPem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedPem").field("cert", &self.cert).finish_non_exhaustive()
    }
}

/// A certificate authority with its key (ECDSA P-256).
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    cert_pem: String,
    not_after: OffsetDateTime,
}

impl Authority {
    /// A new authority, valid for [`AUTHORITY_LIFE`] from `now`.
    ///
    /// # Errors
    /// See [`CaError`].
    pub fn generate(now: SystemTime) -> Result<Self, CaError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name("plenum control authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = OffsetDateTime::from(now - BACKDATED);
        params.not_after = OffsetDateTime::from(now + AUTHORITY_LIFE);
        let not_after = params.not_after;
        let cert_pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), cert_pem, not_after })
    }

    /// The authority that was stored as PEM.
    ///
    /// # Errors
    /// Text that is not PEM, a certificate that is none of an authority, or a key that belongs to another one.
    pub fn from_pem(cert: &str, key: &str) -> Result<Self, CaError> {
        let key = KeyPair::from_pem(key)?;
        let der = first_certificate(cert)?;
        let parsed = parse(&der)?;
        if !parsed.is_ca() {
            return Err(CaError::NotAuthority);
        }
        if parsed.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
            return Err(CaError::KeyMismatch);
        }
        let not_after = parsed.validity().not_after.to_datetime();
        let issuer = Issuer::from_ca_cert_der(&der, key)?;
        Ok(Self { issuer, cert_pem: cert.to_owned(), not_after })
    }

    /// The certificate, PEM.
    #[must_use]
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// The private key, PEM (PKCS #8).
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A certificate with a key of its own for exactly one DNS name, good for both ends of a connection, valid for
    /// [`LEAF_LIFE`] from `now` but never longer than the authority.
    ///
    /// # Errors
    /// A name that is no DNS name, or a failing random source.
    pub fn issue(&self, san: &str, now: SystemTime) -> Result<IssuedPem, CaError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(vec![san.to_owned()])?;
        params.distinguished_name = common_name("plenum control");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = OffsetDateTime::from(now - BACKDATED);
        params.not_after = OffsetDateTime::from(now + LEAF_LIFE).min(self.not_after);
        let cert = params.signed_by(&key, &self.issuer)?;
        Ok(IssuedPem { cert: cert.pem(), key: key.serialize_pem(), ca: self.cert_pem.clone() })
    }
}

/// Whether the first certificate of `cert` (PEM) has less than a third of its life left at `now`, or none.
///
/// # Errors
/// Text without a readable certificate.
pub fn expires_soon(cert: &str, now: SystemTime) -> Result<bool, CaError> {
    let der = first_certificate(cert)?;
    let parsed = parse(&der)?;
    let (from, to) = (parsed.validity().not_before.to_datetime(), parsed.validity().not_after.to_datetime());
    Ok((to - OffsetDateTime::from(now)) * 3 < to - from)
}

/// Whether `cert` (PEM) was signed by the authority `ca` (PEM), names `san` and no other DNS name, and is valid at `now`.
#[must_use]
pub fn is_issued_by(cert: &str, ca: &str, san: &str, now: SystemTime) -> bool {
    let check = || -> Result<bool, CaError> {
        let (leaf, authority) = (first_certificate(cert)?, first_certificate(ca)?);
        let unreadable = |error: webpki::Error| CaError::Read(error.to_string());
        let anchors = [webpki::anchor_from_trusted_cert(&authority).map_err(unreadable)?];
        let leaf = webpki::EndEntityCert::try_from(&leaf).map_err(unreadable)?;
        let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let chain = leaf.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &anchors,
            &[],
            rustls::pki_types::UnixTime::since_unix_epoch(since_epoch),
            webpki::KeyUsage::client_auth(),
            None,
            None,
        );
        Ok(chain.is_ok() && leaf.valid_dns_names().eq([san]))
    };
    check().unwrap_or(false)
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn first_certificate(pem: &str) -> Result<CertificateDer<'static>, CaError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| CaError::Read(error.to_string()))
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<x509_parser::certificate::X509Certificate<'a>, CaError> {
    let (_, parsed) = x509_parser::parse_x509_certificate(der).map_err(|error| CaError::Read(error.to_string()))?;
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    #[test]
    fn an_authority_issues_the_same_after_it_was_stored() {
        let made = Authority::generate(start()).unwrap();
        let stored = Authority::from_pem(made.cert_pem(), &made.key_pem()).unwrap();
        let leaf = stored.issue("gateway.plenum.internal", start()).unwrap();
        assert_eq!(leaf.ca, made.cert_pem());
        assert!(is_issued_by(&leaf.cert, made.cert_pem(), "gateway.plenum.internal", start()));
        assert!(!is_issued_by(&leaf.cert, made.cert_pem(), "operator.plenum.internal", start()));
        let other = Authority::generate(start()).unwrap();
        assert!(!is_issued_by(&leaf.cert, other.cert_pem(), "gateway.plenum.internal", start()));
        assert!(!is_issued_by(&leaf.cert, made.cert_pem(), "gateway.plenum.internal", start() + LEAF_LIFE + DAY));
    }

    #[test]
    fn a_certificate_is_renewed_in_the_last_third_of_its_life() {
        let authority = Authority::generate(start()).unwrap();
        let leaf = authority.issue("operator.plenum.internal", start()).unwrap();
        assert!(!expires_soon(&leaf.cert, start()).unwrap());
        assert!(!expires_soon(&leaf.cert, start() + DAY * 240).unwrap());
        assert!(expires_soon(&leaf.cert, start() + DAY * 245).unwrap());
        assert!(expires_soon(&leaf.cert, start() + DAY * 400).unwrap());
        assert!(!expires_soon(authority.cert_pem(), start() + DAY * 400).unwrap());
    }

    #[test]
    fn a_leaf_never_outlives_its_authority() {
        let authority = Authority::generate(start()).unwrap();
        let late = start() + AUTHORITY_LIFE - DAY;
        let leaf = authority.issue("operator.plenum.internal", late).unwrap();
        assert!(is_issued_by(&leaf.cert, authority.cert_pem(), "operator.plenum.internal", late));
        let der = first_certificate(&leaf.cert).unwrap();
        assert!(parse(&der).unwrap().validity().not_after.to_datetime() <= authority.not_after);
    }

    #[test]
    fn a_key_of_another_authority_and_a_leaf_are_refused() {
        let (one, two) = (Authority::generate(start()).unwrap(), Authority::generate(start()).unwrap());
        assert!(matches!(Authority::from_pem(one.cert_pem(), &two.key_pem()), Err(CaError::KeyMismatch)));
        let leaf = one.issue("operator.plenum.internal", start()).unwrap();
        assert!(matches!(Authority::from_pem(&leaf.cert, &leaf.key), Err(CaError::NotAuthority)));
        assert!(Authority::from_pem("nonsense", &one.key_pem()).is_err());
        assert!(expires_soon("nonsense", start()).is_err());
    }
}
