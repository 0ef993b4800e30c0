//! API keys of all namespaces, from a watch of their Secrets. A key opens rooms of its own namespace only.

use k8s_openapi::api::core::v1::Secret;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

/// Most keys of one namespace that are looked at.
const MAX_KEYS: usize = 256;

/// Keys by namespace. Clones share them.
#[derive(Clone, Default)]
pub struct ApiKeys {
    namespaces: Arc<RwLock<Namespaces>>,
}

/// Secret by key id, by namespace.
type Namespaces = HashMap<String, Keys>;
type Keys = BTreeMap<String, Vec<u8>>;

impl ApiKeys {
    /// No keys.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The secret of a key.
    #[must_use]
    pub fn secret(&self, namespace: &str, id: &str) -> Option<Vec<u8>> {
        let namespaces = self.namespaces.read().unwrap_or_else(PoisonError::into_inner);
        namespaces.get(namespace)?.get(id).cloned()
    }

    /// A Secret is there or has changed.
    pub fn apply(&self, secret: Secret) {
        if let Some((namespace, keys)) = keys_of(secret) {
            self.write().insert(namespace, keys);
        }
    }

    /// A Secret is gone.
    pub fn remove(&self, secret: &Secret) {
        if let Some(namespace) = &secret.metadata.namespace {
            self.write().remove(namespace);
        }
    }

    /// These are all that there are.
    pub fn replace(&self, secrets: Vec<Secret>) {
        *self.write() = secrets.into_iter().filter_map(keys_of).collect();
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Namespaces> {
        self.namespaces.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Empty secrets open nothing. A line feed at the end of a value (`kubectl create --from-file`) does not count.
fn keys_of(secret: Secret) -> Option<(String, Keys)> {
    let namespace = secret.metadata.namespace?;
    let data = secret.data.unwrap_or_default();
    let trimmed = data.into_iter().map(|(id, value)| (id, value.0.trim_ascii_end().to_vec()));
    let keys = trimmed.filter(|(_, value)| !value.is_empty()).take(MAX_KEYS).collect();
    Some((namespace, keys))
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::ByteString;

    fn secret(namespace: &str, data: &[(&str, &str)]) -> Secret {
        let mut secret = Secret::default();
        secret.metadata.namespace = Some(namespace.to_owned());
        let bytes = |value: &str| ByteString(value.as_bytes().to_vec());
        secret.data = Some(data.iter().map(|(id, value)| ((*id).to_owned(), bytes(value))).collect());
        secret
    }

    #[test]
    fn a_key_opens_its_own_namespace_only() {
        let keys = ApiKeys::new();
        keys.apply(secret("a", &[("key", "one\n"), ("empty", "")]));
        assert_eq!(keys.secret("a", "key").unwrap(), b"one");
        assert_eq!((keys.secret("b", "key"), keys.secret("a", "empty")), (None, None));
    }

    #[test]
    fn a_changed_or_deleted_secret_takes_its_keys_along() {
        let keys = ApiKeys::new();
        keys.replace(vec![secret("a", &[("old", "x")]), secret("b", &[("key", "y")])]);
        keys.apply(secret("a", &[("new", "z")]));
        assert_eq!((keys.secret("a", "old"), keys.secret("a", "new")), (None, Some(b"z".to_vec())));
        keys.remove(&secret("b", &[]));
        assert_eq!(keys.secret("b", "key"), None);
    }
}
