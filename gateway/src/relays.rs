//! The cluster's relays, from the Secret that the operator writes: which are ready now, and which are just lost.
//!
//! Must not decide who gets which: that is `choice`.

pub(crate) mod choice;

use crate::watches::Table;
use k8s_openapi::api::core::v1::Secret;
use plenum_api::names::{KEY_RELAYS, SECRET_RELAYS};
use plenum_protocol::relay::{MAX_ENTRIES, Relay, RelayDirectory};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::broadcast;

/// Most losses of one change that are told, and that wait for a slow socket: their clients find out by themselves.
const MAX_LOSSES: usize = 64;

/// A relay that is gone, or has forgotten everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LostRelay {
    pub(crate) namespace: String,
    pub(crate) pool: String,
    pub(crate) pod: String,
}

/// The table. Clones share it.
#[derive(Clone)]
pub struct Relays(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    lost: broadcast::Sender<Arc<LostRelay>>,
}

#[derive(Default)]
struct State {
    now: Arc<RelayDirectory>,
    /// The last directory that was not empty: losses count against it, since without any relay there is nowhere to go.
    told: Arc<RelayDirectory>,
}

impl Default for Relays {
    fn default() -> Self {
        Self::new()
    }
}

impl Relays {
    /// No relays.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Inner { state: Mutex::default(), lost: broadcast::Sender::new(MAX_LOSSES) }))
    }

    /// The ready relays.
    #[must_use]
    pub fn get(&self) -> Arc<RelayDirectory> {
        Arc::clone(&self.lock().now)
    }

    /// These are the ready relays; the others are lost.
    pub fn replace(&self, directory: RelayDirectory) {
        let directory = Arc::new(directory);
        let mut state = self.lock();
        state.now = Arc::clone(&directory);
        if directory.relays.is_empty() {
            return;
        }
        let before = std::mem::replace(&mut state.told, directory);
        for lost in lost(&before, &state.told).take(MAX_LOSSES) {
            tracing::info!(namespace = lost.namespace, pod = lost.pod, "a relay is gone");
            if self.0.lost.send(Arc::new(lost)).is_err() {
                tracing::trace!("nobody is here to be told");
            }
        }
    }

    /// Losses from now on.
    pub(crate) fn losses(&self) -> broadcast::Receiver<Arc<LostRelay>> {
        self.0.lost.subscribe()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, secret: &Secret) {
        match directory_of(secret) {
            Ok(directory) => self.replace(directory),
            Err(problem) => tracing::warn!(secret = SECRET_RELAYS, problem, "keeping the relays known before"),
        }
    }
}

/// Relays of `before` that `after` does not have under the same boot id.
fn lost(before: &RelayDirectory, after: &RelayDirectory) -> impl Iterator<Item = LostRelay> {
    let key = |relay: &Relay| (relay.namespace.clone(), relay.pod.clone(), relay.boot_id.clone());
    let here: HashSet<_> = after.relays.iter().map(key).collect();
    before.relays.iter().filter(move |relay| !here.contains(&key(relay))).map(|relay| LostRelay {
        namespace: relay.namespace.clone(),
        pool: relay.pool.clone(),
        pod: relay.pod.clone(),
    })
}

/// The directory in the Secret. What is wrong is told without the text, which holds secrets.
fn directory_of(secret: &Secret) -> Result<RelayDirectory, &'static str> {
    let data = secret.data.as_ref().and_then(|data| data.get(KEY_RELAYS)).ok_or("it has no key relays.json")?;
    let mut directory: RelayDirectory =
        serde_json::from_slice(&data.0).map_err(|_| "relays.json is no directory of relays")?;
    directory.relays.truncate(MAX_ENTRIES);
    Ok(directory)
}

impl Table<Secret> for Relays {
    fn apply(&mut self, secret: Secret) {
        self.take(&secret);
    }

    fn remove(&mut self, _: Secret) {
        Relays::replace(self, RelayDirectory::default());
    }

    fn replace(&mut self, secrets: Vec<Secret>) {
        match secrets.first() {
            Some(secret) => self.take(secret),
            None => Relays::replace(self, RelayDirectory::default()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use k8s_openapi::ByteString;
    use plenum_protocol::relay::{RelayDoor, RelaySecret};
    use plenum_protocol::turn::RelayTransport;

    pub(crate) fn relay(pool: &str, pod: &str, region: &str) -> Relay {
        let door = |transport, port| RelayDoor { transport, hosts: vec!["192.0.2.7".into()], port };
        Relay {
            namespace: "turn".into(),
            pool: pool.into(),
            pod: pod.into(),
            boot_id: "b1".parse().unwrap(),
            region: region.into(),
            control: "127.0.0.1:1".into(),
            doors: vec![
                door(RelayTransport::Udp, 3478),
                door(RelayTransport::Tcp, 3478),
                door(RelayTransport::Tls, 443),
            ],
            secret: RelaySecret("hush".into()),
            credential_ttl_seconds: 600,
        }
    }

    fn directory(pods: &[(&str, &str)]) -> RelayDirectory {
        let of = |(pod, boot): &(&str, &str)| Relay { boot_id: boot.parse().unwrap(), ..relay("eu", pod, "eu") };
        RelayDirectory { relays: pods.iter().map(of).collect() }
    }

    fn heard(losses: &mut broadcast::Receiver<Arc<LostRelay>>) -> Vec<String> {
        std::iter::from_fn(|| losses.try_recv().ok()).map(|lost| lost.pod.clone()).collect()
    }

    #[test]
    fn a_relay_that_leaves_or_starts_again_is_lost_once() {
        let relays = Relays::new();
        let mut losses = relays.losses();
        relays.replace(directory(&[("a", "b1"), ("b", "b1"), ("c", "b1")]));
        assert!(heard(&mut losses).is_empty());
        relays.replace(directory(&[("b", "b2"), ("c", "b1"), ("d", "b1")]));
        assert_eq!(heard(&mut losses), ["a", "b"]);
        relays.replace(directory(&[("b", "b2"), ("c", "b1"), ("d", "b1")]));
        assert!(heard(&mut losses).is_empty());
    }

    #[test]
    fn nobody_is_sent_away_while_there_is_nowhere_to_go() {
        let relays = Relays::new();
        let mut losses = relays.losses();
        relays.replace(directory(&[("a", "b1"), ("b", "b1")]));
        relays.replace(directory(&[]));
        assert!(heard(&mut losses).is_empty() && relays.get().relays.is_empty());
        relays.replace(directory(&[("a", "b1"), ("c", "b1")]));
        assert_eq!(heard(&mut losses), ["b"]);
    }

    #[test]
    fn a_change_of_secret_or_address_is_no_loss() {
        let relays = Relays::new();
        let mut losses = relays.losses();
        relays.replace(directory(&[("a", "b1")]));
        let mut rotated = directory(&[("a", "b1")]);
        rotated.relays[0].secret = RelaySecret("new".into());
        relays.replace(rotated.clone());
        assert!(heard(&mut losses).is_empty());
        assert_eq!(*relays.get(), rotated);
    }

    #[test]
    fn the_secret_holds_the_directory_and_a_broken_one_changes_nothing() {
        let secret = |text: String| Secret {
            data: Some([(KEY_RELAYS.to_owned(), ByteString(text.into_bytes()))].into()),
            ..Secret::default()
        };
        let mut relays = Relays::new();
        let whole = directory(&[("a", "b1")]);
        Table::replace(&mut relays, vec![secret(serde_json::to_string(&whole).unwrap())]);
        assert_eq!(*relays.get(), whole);
        relays.apply(secret("{\"relays\":[{\"secret\":7}]}".into()));
        relays.apply(Secret::default());
        assert_eq!(*relays.get(), whole);
        relays.remove(Secret::default());
        assert!(relays.get().relays.is_empty());
    }
}
