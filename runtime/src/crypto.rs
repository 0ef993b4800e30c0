//! The one place that chooses the cryptography of TLS: aws-lc-rs.

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use std::sync::Arc;

/// The provider that every TLS configuration of ours is built with.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Makes [`provider`] the default of the process, for libraries that ask rustls for one. Harmless when repeated.
pub fn install() {
    if aws_lc_rs::default_provider().install_default().is_err() {
        tracing::trace!("a TLS provider is installed already");
    }
}
