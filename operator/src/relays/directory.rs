//! The directory by which gateways know the relays: a Secret of the operator's namespace, written by the leader when it
//! changes.

use crate::context::Context;
use crate::lease::NotLeader;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ObjectMeta, PostParams};
use plenum_api::names;
use plenum_protocol::relay::{Relay, RelayDirectory};
use std::collections::{BTreeMap, BTreeSet};

/// Most relays in it: a Secret takes a megabyte.
const MAX_RELAYS: usize = 1_000;

/// Why the directory is not written.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// This process is not sure to lead.
    #[error(transparent)]
    NotLeader(#[from] NotLeader),
    /// It is no JSON.
    #[error("the directory of relays")]
    Json(#[from] serde_json::Error),
    /// The API server refused.
    #[error("Secret {}", names::SECRET_RELAYS)]
    Api(#[from] kube::Error),
}

/// The directory as this process knows the API server to have it.
#[derive(Default)]
pub struct Directory {
    /// What is there, and its resourceVersion; `None`: not read yet, or something else wrote it.
    written: Option<(RelayDirectory, Option<String>)>,
}

/// A directory in its order. `unheard` names pods that this leader has not heard yet: what the last one said of them stays.
#[must_use]
pub fn directory(mut relays: Vec<Relay>, old: &RelayDirectory, unheard: &BTreeSet<(String, String)>) -> RelayDirectory {
    let kept = old.relays.iter().filter(|relay| unheard.contains(&(relay.namespace.clone(), relay.pod.clone())));
    relays.extend(kept.cloned());
    relays.sort_by(|a, b| (&a.namespace, &a.pod).cmp(&(&b.namespace, &b.pod)));
    relays.dedup_by(|a, b| a.namespace == b.namespace && a.pod == b.pod);
    if relays.len() > MAX_RELAYS {
        tracing::warn!(many = relays.len(), most = MAX_RELAYS, "too many relays: the rest is not told");
        relays.truncate(MAX_RELAYS);
    }
    RelayDirectory { relays }
}

impl Directory {
    /// Read it again before the next write: somebody may have deleted it.
    pub fn forget(&mut self) {
        self.written = None;
    }

    /// What is written, read if need be; an unreadable directory counts as empty and is written anew.
    ///
    /// # Errors
    /// The API server did not answer.
    pub async fn current(&mut self, context: &Context) -> Result<RelayDirectory, DirectoryError> {
        if let Some((directory, _)) = &self.written {
            return Ok(directory.clone());
        }
        let found = api(context).get_opt(names::SECRET_RELAYS).await?;
        let version = found.as_ref().and_then(|secret| secret.metadata.resource_version.clone());
        let text = found.as_ref().and_then(|secret| secret.data.as_ref()?.get(names::KEY_RELAYS));
        let directory = match text.map(|text| serde_json::from_slice(&text.0)) {
            Some(Ok(directory)) => directory,
            Some(Err(error)) => {
                tracing::warn!(%error, "the directory of relays is unreadable and is written anew");
                RelayDirectory::default()
            }
            None => RelayDirectory::default(),
        };
        self.written = Some((directory.clone(), version));
        Ok(directory)
    }

    /// Writes `wanted` if it differs. True: it was written.
    ///
    /// # Errors
    /// See [`DirectoryError`]; the next call reads anew.
    pub async fn write(&mut self, context: &Context, wanted: &RelayDirectory) -> Result<bool, DirectoryError> {
        let Some((current, version)) = self.written.take() else {
            self.current(context).await?;
            return Ok(false);
        };
        if current == *wanted && version.is_some() {
            self.written = Some((current, version));
            return Ok(false);
        }
        let secret = secret(wanted, version.clone())?;
        context.may_write()?;
        let api = api(context);
        let written = match version {
            None => api.create(&PostParams::default(), &secret).await?,
            Some(_) => api.replace(names::SECRET_RELAYS, &PostParams::default(), &secret).await?,
        };
        self.written = Some((wanted.clone(), written.metadata.resource_version));
        Ok(true)
    }
}

fn api(context: &Context) -> Api<Secret> {
    Api::namespaced(context.client.clone(), &context.settings.namespace)
}

fn secret(directory: &RelayDirectory, version: Option<String>) -> Result<Secret, serde_json::Error> {
    let labels = BTreeMap::from([("app.kubernetes.io/part-of".to_owned(), "plenum".to_owned())]);
    Ok(Secret {
        metadata: ObjectMeta {
            name: Some(names::SECRET_RELAYS.to_owned()),
            labels: Some(labels),
            resource_version: version,
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(names::KEY_RELAYS.to_owned(), ByteString(serde_json::to_vec(directory)?))])),
        ..Secret::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use plenum_protocol::relay::RelaySecret;

    fn relay(pod: &str, boot: &str) -> Relay {
        Relay {
            namespace: "a".into(),
            pool: "p".into(),
            pod: pod.into(),
            boot_id: boot.parse().unwrap(),
            region: "eu".into(),
            control: "10.1.0.6:7443".into(),
            doors: vec![],
            secret: RelaySecret("a-good-secret".into()),
            credential_ttl_seconds: 60,
        }
    }

    #[test]
    fn a_new_leader_keeps_the_relays_that_it_has_not_heard_yet_and_no_others() {
        let old = RelayDirectory { relays: vec![relay("t", "b1"), relay("u", "b1"), relay("gone", "b1")] };
        let unheard = BTreeSet::from([("a".to_owned(), "u".to_owned())]);
        let new = directory(vec![relay("v", "b1"), relay("t", "b2")], &old, &unheard);
        let named: Vec<_> = new.relays.iter().map(|relay| (relay.pod.as_str(), relay.boot_id.as_str())).collect();
        assert_eq!(named, vec![("t", "b2"), ("u", "b1"), ("v", "b1")]);
    }

    #[test]
    fn a_directory_survives_its_secret() {
        let wanted = RelayDirectory { relays: vec![relay("t", "b1")] };
        let secret = secret(&wanted, None).unwrap();
        let read: RelayDirectory = serde_json::from_slice(&secret.data.unwrap()[names::KEY_RELAYS].0).unwrap();
        assert_eq!(read, wanted);
    }
}
