//! A certificate authority of the tests, and a home directory whose browsers trust it.
//!
//! Chromium judges TLS to a relay by its own store, which no flag overrides: the NSS database in the home directory.

use anyhow::{Context, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};

/// Where Chromium looks, below the home directory.
const DATABASE: &str = ".pki/nssdb";

/// The authority.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// Gone with the authority.
    home: TempDir,
}

/// A certificate and its key (PEM).
#[derive(Clone)]
pub struct Issued {
    /// Certificate.
    pub certificate: String,
    /// Private key.
    pub key: String,
}

impl Authority {
    /// Makes an authority, and a home directory in which `certutil` says that it may vouch for servers.
    ///
    /// # Errors
    /// A key cannot be made, or `certutil` refuses.
    pub fn new(certutil: &Path) -> Result<Self> {
        let mut params = valid(CertificateParams::default());
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, "Plenum test authority");
        let key = KeyPair::generate().context("making a key")?;
        let issuer = CertifiedIssuer::self_signed(params, key).context("making an authority")?;
        let home = tempfile::Builder::new().prefix("plenum-home-").tempdir().context("making a home directory")?;
        let authority = Self { issuer, home };
        std::fs::write(authority.file(), authority.issuer.pem()).context("writing the authority's certificate")?;
        authority.teach(certutil)?;
        Ok(authority)
    }

    fn teach(&self, certutil: &Path) -> Result<()> {
        let database = self.home.path().join(DATABASE);
        std::fs::create_dir_all(&database).with_context(|| format!("making {}", database.display()))?;
        let database = format!("sql:{}", database.display());
        let file = self.file().display().to_string();
        for words in [
            vec!["-N", "--empty-password"],
            // C: trusted to issue certificates of TLS servers.
            vec!["-A", "-t", "C,,", "-n", "plenum-tests", "-i", &file],
        ] {
            let output = Command::new(certutil)
                .args(["-d", &database])
                .args(&words)
                .output()
                .with_context(|| format!("running {}", certutil.display()))?;
            ensure!(
                output.status.success(),
                "certutil {}: {}",
                words.join(" "),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(())
    }

    /// Home directory for browsers.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The authority's certificate as a file (PEM), for other clients.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.home.path().join("authority.pem")
    }

    /// A certificate for servers at these addresses.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn issue(&self, addresses: &[IpAddr]) -> Result<Issued> {
        let names: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let params = valid(CertificateParams::new(names).context("naming a certificate's addresses")?);
        let key = KeyPair::generate().context("making a key")?;
        let certificate = params.signed_by(&key, &self.issuer).context("signing a certificate")?;
        Ok(Issued { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

/// Browsers refuse certificates for a thousand years.
fn valid(mut params: CertificateParams) -> CertificateParams {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::days(1);
    params.not_after = now + Duration::days(30);
    params
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("home", &self.home.path()).finish_non_exhaustive()
    }
}
