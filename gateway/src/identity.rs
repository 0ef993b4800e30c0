//! The gateway's certificate, from its Secret by the API: the operator makes it, so it may come late and change.

use crate::watches::Table;
use k8s_openapi::api::core::v1::Secret;
use plenum_api::names::{KEY_CA, KEY_CERT, KEY_KEY, SECRET_GATEWAY_CONTROL};
use plenum_runtime::ca::IssuedPem;
use plenum_runtime::mtls::Identity;
use std::sync::Arc;
use tokio::sync::watch;

/// Holds the identity from the first usable Secret on, and renews it in place.
pub(crate) struct IdentityTable {
    current: watch::Sender<Option<Arc<Identity>>>,
}

impl IdentityTable {
    /// The table, and where the identity appears.
    pub(crate) fn new() -> (Self, watch::Receiver<Option<Arc<Identity>>>) {
        let (current, receiver) = watch::channel(None);
        (Self { current }, receiver)
    }

    fn take(&self, secret: &Secret) {
        let Some(pem) = pem_of(secret) else {
            tracing::warn!(secret = SECRET_GATEWAY_CONTROL, "the Secret lacks tls.crt, tls.key or ca.crt");
            return;
        };
        let known = self.current.borrow().clone();
        let outcome = match known {
            Some(identity) => identity.replace(&pem).map(drop),
            None => Identity::from_issued(&pem).map(|identity| {
                self.current.send_replace(Some(Arc::new(identity)));
            }),
        };
        match outcome {
            Ok(()) => tracing::info!("the control certificate is there"),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the control certificate cannot be used");
            }
        }
    }
}

impl Table<Secret> for IdentityTable {
    fn apply(&mut self, secret: Secret) {
        self.take(&secret);
    }

    /// The old certificate stays good until the operator makes another.
    fn remove(&mut self, _: Secret) {
        tracing::warn!(secret = SECRET_GATEWAY_CONTROL, "the Secret was deleted; the certificate stays in use");
    }

    fn replace(&mut self, secrets: Vec<Secret>) {
        secrets.iter().for_each(|secret| self.take(secret));
    }
}

fn pem_of(secret: &Secret) -> Option<IssuedPem> {
    let data = secret.data.as_ref()?;
    let text = |key: &str| String::from_utf8(data.get(key)?.0.clone()).ok();
    Some(IssuedPem { cert: text(KEY_CERT)?, key: text(KEY_KEY)?, ca: text(KEY_CA)? })
}
