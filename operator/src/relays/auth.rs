//! The shared secrets of TURN pools: made where the operator may make them, read again every few seconds, so that a
//! rotation reaches the pods while calls run. Never in logs.

use crate::context::Context;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ObjectMeta, PostParams};
use plenum_api::names;
use plenum_protocol::relay::RelaySecret;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Shortest secret that is taken, in bytes.
const MIN_SECRET: usize = 8;
/// Longest secret that is taken, in bytes.
const MAX_SECRET: usize = 1_024;
/// Random bytes of a secret that the operator makes.
const RANDOM: usize = 32;

/// Namespace and name of a Secret.
pub type SecretKey = (String, String);

/// What is known of one Secret.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// The current secret, then the previous one; none while it could not be read.
    pub secrets: Vec<RelaySecret>,
    /// What is wrong with it, and what to do.
    pub problem: Option<String>,
}

/// The shared secrets of all TURN pools.
#[derive(Default)]
pub struct Auth(Mutex<BTreeMap<SecretKey, Known>>);

impl Auth {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<SecretKey, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a Secret; `None`: it was not looked at yet.
    #[must_use]
    pub fn known(&self, namespace: &str, name: &str) -> Option<Known> {
        self.lock().get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// Forgets Secrets that no pool names.
    pub fn retain(&self, used: &BTreeSet<SecretKey>) {
        self.lock().retain(|key, _| used.contains(key));
    }

    /// Reads a Secret, and makes the one that the operator owns when it is missing. True: something changed.
    ///
    /// # Errors
    /// The API server did not answer, or this process may not write; what was known stays.
    pub async fn look(&self, context: &Context, key: &SecretKey) -> Result<bool, kube::Error> {
        let (namespace, name) = key;
        let api: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
        let found = match api.get_opt(name).await {
            Ok(None) if name == names::SECRET_TURN_AUTH && context.may_write().is_ok() => Ok(Some(make(&api).await?)),
            other => other,
        };
        let mut fresh = match found {
            Ok(Some(secret)) => read(&secret, namespace, name),
            Ok(None) => trouble(format!(
                "Secret {namespace}/{name} does not exist: make it with the shared secret under the key {}",
                names::KEY_CURRENT
            )),
            Err(error) if crate::errors::code(&error) == Some(403) => trouble(format!(
                "the operator may not read Secret {namespace}/{name}: add {name} to the chart's value operator.turnAuthSecrets"
            )),
            Err(error) => return Err(error),
        };
        let mut all = self.lock();
        let before = all.get(key);
        if fresh.problem.is_some() {
            // Calls go on with what was good before.
            fresh.secrets = before.map(|before| before.secrets.clone()).unwrap_or_default();
        }
        let changed = before != Some(&fresh);
        all.insert(key.clone(), fresh);
        Ok(changed)
    }
}

fn trouble(problem: String) -> Known {
    Known { secrets: Vec::new(), problem: Some(problem) }
}

async fn make(api: &Api<Secret>) -> Result<Secret, kube::Error> {
    use base64::Engine as _;
    let random: [u8; RANDOM] = rand::random();
    let secret = base64::engine::general_purpose::STANDARD.encode(random);
    let labels = BTreeMap::from([("app.kubernetes.io/part-of".to_owned(), "plenum".to_owned())]);
    let made = Secret {
        metadata: ObjectMeta {
            name: Some(names::SECRET_TURN_AUTH.to_owned()),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(names::KEY_CURRENT.to_owned(), ByteString(secret.into_bytes()))])),
        ..Secret::default()
    };
    match api.create(&PostParams::default(), &made).await {
        Err(error) if crate::errors::is_conflict(&error) => api.get(names::SECRET_TURN_AUTH).await,
        other => other,
    }
}

/// Pure.
fn read(secret: &Secret, namespace: &str, name: &str) -> Known {
    let text = |key: &str| -> Result<Option<RelaySecret>, String> {
        let Some(bytes) = secret.data.as_ref().and_then(|data| data.get(key)) else { return Ok(None) };
        let text =
            std::str::from_utf8(&bytes.0).map_err(|_| format!("key {key} of Secret {namespace}/{name} is no text"))?;
        let text = text.trim_end_matches(['\r', '\n']);
        if (MIN_SECRET..=MAX_SECRET).contains(&text.len()) {
            return Ok(Some(RelaySecret(text.to_owned())));
        }
        Err(format!("key {key} of Secret {namespace}/{name} must have {MIN_SECRET} to {MAX_SECRET} characters"))
    };
    let previous = match text(names::KEY_PREVIOUS) {
        Ok(previous) => previous,
        Err(problem) => return trouble(problem),
    };
    match text(names::KEY_CURRENT) {
        Ok(Some(current)) => {
            let previous = previous.filter(|previous| *previous != current);
            Known { secrets: std::iter::once(current).chain(previous).collect(), problem: None }
        }
        Ok(None) => trouble(format!("Secret {namespace}/{name} lacks the key {}", names::KEY_CURRENT)),
        Err(problem) => trouble(problem),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(data: &[(&str, &str)]) -> Secret {
        let data = data.iter().map(|(key, text)| ((*key).to_owned(), ByteString(text.as_bytes().to_vec()))).collect();
        Secret { data: Some(data), ..Secret::default() }
    }

    #[test]
    fn a_rotated_secret_has_two_and_the_current_one_is_first() {
        let known = read(&secret(&[("previous", "the-old-one"), ("current", "the-new-one\n")]), "a", "s");
        assert_eq!(known.secrets, vec![RelaySecret("the-new-one".into()), RelaySecret("the-old-one".into())]);
        let same = read(&secret(&[("previous", "the-only-one"), ("current", "the-only-one")]), "a", "s");
        assert_eq!(same.secrets.len(), 1);
    }

    #[test]
    fn what_is_wrong_with_a_secret_is_told_without_the_secret() {
        let table = [
            (secret(&[]), "lacks the key current"),
            (secret(&[("current", "short")]), "8 to 1024 characters"),
            (secret(&[("current", "long-enough"), ("previous", "short")]), "key previous"),
        ];
        for (secret, wanted) in table {
            let known = read(&secret, "a", "s");
            let problem = known.problem.unwrap();
            assert!(problem.contains(wanted) && !problem.contains("long-enough"), "{problem}");
            assert!(known.secrets.is_empty());
        }
    }
}
