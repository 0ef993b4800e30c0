//! Certificates: the CA in a Secret of the own namespace, the operator's own, the gateways' and the media pods'.
//!
//! Only the leader makes them and writes Secrets; those who wait read the CA, so that they can speak with pods. Keys never
//! appear in logs.

use crate::context::Context;
use crate::lease::{Leadership, NotLeader};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ObjectMeta, PostParams};
use plenum_api::names;
use plenum_protocol::control::{GATEWAY_SAN, OPERATOR_SAN, node_san};
use plenum_runtime::ca::{self, Authority, CaError, IssuedPem};
use plenum_runtime::mtls;
use plenum_runtime::shutdown::Shutdown;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// How long a Secret that was found good is not looked at again.
const GOOD_FOR: Duration = Duration::from_secs(60);
/// How often the own certificate and the gateways' are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(900);

/// Why a certificate is not there.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// This process is not sure to lead.
    #[error(transparent)]
    NotLeader(#[from] NotLeader),
    /// The API server refused.
    #[error("Secret {name}")]
    Api {
        /// Name of the Secret.
        name: &'static str,
        /// Why.
        #[source]
        source: kube::Error,
    },
    /// The Secret is not what it should be.
    #[error("Secret {0} lacks tls.crt or tls.key, or they are no text: delete it, and it is made anew")]
    Malformed(&'static str),
    /// Certificates could not be made or read.
    #[error("making a certificate")]
    Authority(#[from] CaError),
    /// Another CA is in use by now: the process must start again.
    #[error("Secret {0} holds another CA than it did")]
    Replaced(&'static str),
    /// The own certificate does not work.
    #[error("the operator's own certificate")]
    Own(#[from] mtls::IdentityError),
}

/// The CA and what was issued with it.
pub struct Identities {
    authority: Authority,
    own: Arc<mtls::Identity>,
    own_pem: Mutex<IssuedPem>,
    /// When each namespace's Secret was found good, by the namespace's uid: a recreated namespace has none.
    good: Mutex<HashMap<String, Instant>>,
}

impl Identities {
    /// Reads the CA, which a leader makes if there is none; issues the operator's own certificate.
    ///
    /// # Errors
    /// See [`IdentityError`]; [`IdentityError::NotLeader`]: there is no CA yet.
    pub async fn load(client: &kube::Client, namespace: &str, leadership: &Leadership) -> Result<Self, IdentityError> {
        let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
        Self::of(load_authority(&api, leadership).await?)
    }

    fn of(authority: Authority) -> Result<Self, IdentityError> {
        let own_pem = authority.issue(OPERATOR_SAN, SystemTime::now())?;
        let own = Arc::new(mtls::Identity::from_issued(&own_pem)?);
        Ok(Self { authority, own, own_pem: Mutex::new(own_pem), good: Mutex::default() })
    }

    /// A CA of its own, for tests.
    #[cfg(test)]
    pub(crate) fn fresh() -> Result<Self, IdentityError> {
        Self::of(Authority::generate(SystemTime::now())?)
    }

    /// What a new leader does first: the CA must still be the one that was read, and gateways need their certificate.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub async fn begin(&self, context: &Context) -> Result<(), IdentityError> {
        let api: Api<Secret> = Api::namespaced(context.client.clone(), &context.settings.namespace);
        let authority = load_authority(&api, &context.leadership).await?;
        if authority.cert_pem().trim() != self.authority.cert_pem().trim() {
            return Err(IdentityError::Replaced(names::SECRET_CA));
        }
        self.ensure(&api, names::SECRET_GATEWAY_CONTROL, GATEWAY_SAN, &context.leadership).await
    }

    /// The operator's own identity; renewed in place.
    #[must_use]
    pub fn own(&self) -> Arc<mtls::Identity> {
        self.own.clone()
    }

    /// Puts the media pods' certificate into a namespace, if it is not there or runs out.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub async fn ensure_nodes(&self, context: &Context, namespace: &str) -> Result<(), IdentityError> {
        let uid = context.namespace_uid(namespace);
        if uid.as_ref().is_some_and(|uid| self.is_known_good(uid, Instant::now())) {
            return Ok(());
        }
        let api: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
        self.ensure(&api, names::SECRET_NODE_CONTROL, &node_san(namespace), &context.leadership).await?;
        if let Some(uid) = uid {
            self.good.lock().unwrap_or_else(PoisonError::into_inner).insert(uid, Instant::now());
        }
        Ok(())
    }

    fn is_known_good(&self, uid: &str, now: Instant) -> bool {
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        good.retain(|_, at| now.saturating_duration_since(*at) < GOOD_FOR);
        good.contains_key(uid)
    }

    /// Renews the own certificate and, while this process leads, the gateways' until `shutdown`.
    pub async fn renew(context: Arc<Context>, shutdown: Shutdown) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = shutdown.requested() => return,
            }
            if let Err(error) = context.identities.renew_once(&context).await {
                tracing::warn!(error = %crate::errors::chain(&error), "renewing certificates failed and is tried again");
            }
        }
    }

    async fn renew_once(&self, context: &Context) -> Result<(), IdentityError> {
        let now = SystemTime::now();
        let old = self.own_pem.lock().unwrap_or_else(PoisonError::into_inner).cert.clone();
        if ca::expires_soon(&old, now)? {
            let fresh = self.authority.issue(OPERATOR_SAN, now)?;
            self.own.replace(&fresh)?;
            *self.own_pem.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        }
        if context.may_write().is_err() {
            return Ok(());
        }
        let api: Api<Secret> = Api::namespaced(context.client.clone(), &context.settings.namespace);
        self.ensure(&api, names::SECRET_GATEWAY_CONTROL, GATEWAY_SAN, &context.leadership).await
    }

    async fn ensure(
        &self,
        api: &Api<Secret>,
        name: &'static str,
        san: &str,
        leadership: &Leadership,
    ) -> Result<(), IdentityError> {
        let failed = |source| IdentityError::Api { name, source };
        let current = api.get_opt(name).await.map_err(failed)?;
        let now = SystemTime::now();
        if current.as_ref().is_some_and(|secret| self.is_good(secret, san, now)) {
            return Ok(());
        }
        let issued = self.authority.issue(san, now)?;
        let data = [(names::KEY_CERT, issued.cert), (names::KEY_KEY, issued.key), (names::KEY_CA, issued.ca)];
        leadership.check(Instant::now())?;
        match current {
            None => api.create(&PostParams::default(), &secret(name, None, data)).await,
            Some(old) => {
                let version = old.metadata.resource_version;
                api.replace(name, &PostParams::default(), &secret(name, version, data)).await
            }
        }
        .map_err(failed)?;
        tracing::info!(secret = name, san, "a certificate was issued");
        Ok(())
    }

    fn is_good(&self, secret: &Secret, san: &str, now: SystemTime) -> bool {
        let (Some(cert), Some(ca), Some(_)) =
            (text(secret, names::KEY_CERT), text(secret, names::KEY_CA), text(secret, names::KEY_KEY))
        else {
            return false;
        };
        let authority = self.authority.cert_pem();
        let fresh = ca::expires_soon(&cert, now).is_ok_and(|soon| !soon);
        fresh && ca.trim() == authority.trim() && ca::is_issued_by(&cert, authority, san, now)
    }
}

async fn load_authority(api: &Api<Secret>, leadership: &Leadership) -> Result<Authority, IdentityError> {
    let name = names::SECRET_CA;
    let failed = |source| IdentityError::Api { name, source };
    let current = match api.get_opt(name).await.map_err(failed)? {
        Some(secret) => secret,
        None => {
            let made = Authority::generate(SystemTime::now())?;
            let data = [(names::KEY_CERT, made.cert_pem().to_owned()), (names::KEY_KEY, made.key_pem())];
            leadership.check(Instant::now())?;
            match api.create(&PostParams::default(), &secret(name, None, data)).await {
                Ok(secret) => secret,
                Err(error) if crate::errors::is_conflict(&error) => api.get(name).await.map_err(failed)?,
                Err(error) => return Err(failed(error)),
            }
        }
    };
    let (cert, key) = (text(&current, names::KEY_CERT), text(&current, names::KEY_KEY));
    let (Some(cert), Some(key)) = (cert, key) else { return Err(IdentityError::Malformed(name)) };
    Ok(Authority::from_pem(&cert, &key)?)
}

fn secret<const N: usize>(name: &str, version: Option<String>, data: [(&str, String); N]) -> Secret {
    let data: BTreeMap<String, ByteString> =
        data.into_iter().map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes()))).collect();
    let labels = BTreeMap::from([("app.kubernetes.io/part-of".to_owned(), "plenum".to_owned())]);
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels),
            resource_version: version,
            ..ObjectMeta::default()
        },
        data: Some(data),
        type_: Some("kubernetes.io/tls".to_owned()),
        ..Secret::default()
    }
}

fn text(secret: &Secret, key: &str) -> Option<String> {
    String::from_utf8(secret.data.as_ref()?.get(key)?.0.clone()).ok()
}
