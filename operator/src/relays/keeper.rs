//! The leader's task for relays: reads the shared secrets again, tells pods of each other, and keeps the directory. Woken by
//! news; every few seconds without.

use super::ReadyRelays;
use super::auth::SecretKey;
use super::config::doors;
use super::directory::{Directory, DirectoryError, directory};
use super::pool::TurnPool;
use crate::changes::Change;
use crate::context::Context;
use crate::pods;
use futures_util::stream::{self, StreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use plenum_api::RelayPool;
use plenum_api::pool::Role;
use plenum_protocol::relay::{Relay, RelayDirectory};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two looks at the shared secrets, and between rounds without news.
const LOOK_EVERY: Duration = Duration::from_secs(4);
/// Between two rounds: news in between is taken together.
const PAUSE: Duration = Duration::from_millis(20);
/// Pause after an error.
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// How long a new leader keeps what the last one wrote of pods that it has not configured yet.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many shared secrets are read at once.
const AT_ONCE: usize = 8;
/// How often the directory is read again although nobody else should write it.
const READ_EVERY: u32 = 8;

/// The leader's task for relays.
pub struct Keeper {
    context: Arc<Context>,
    directory: Directory,
    began: Instant,
    looked: Option<Instant>,
    looks: u32,
}

impl Keeper {
    /// Reads what a new leader needs before it judges any room: the relays that the last one found ready.
    pub async fn begin(context: Arc<Context>) -> Self {
        let mut directory = Directory::default();
        match directory.current(&context).await {
            Ok(directory) => _ = context.relays.set_ready(ready(&directory)),
            Err(error) => {
                tracing::warn!(error = %crate::errors::chain(&error), "reading the directory of relays failed");
            }
        }
        Self { context, directory, began: Instant::now(), looked: None, looks: 0 }
    }

    /// Works until its task is ended.
    pub async fn run(mut self) {
        loop {
            let pause = if self.round().await { LOOK_EVERY } else { AFTER_ERROR };
            tokio::select! {
                () = self.context.relays.wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Looks at everything once. False: something is to be tried again.
    pub async fn round(&mut self) -> bool {
        if self.looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
            self.look().await;
        }
        self.tell_pods();
        match self.keep_directory().await {
            Ok(()) => true,
            Err(DirectoryError::NotLeader(_)) => false,
            Err(error) => {
                tracing::warn!(error = %crate::errors::chain(&error), "writing the directory of relays is tried again");
                false
            }
        }
    }

    /// Reads the shared secrets that pools name.
    pub async fn look(&mut self) {
        self.looked = Some(Instant::now());
        self.looks = self.looks.wrapping_add(1);
        if self.looks.is_multiple_of(READ_EVERY) {
            self.directory.forget();
        }
        let used: BTreeSet<SecretKey> =
            self.pools().map(|(pool, turn)| (pool.namespace().unwrap_or_default(), turn.auth_secret)).collect();
        self.context.relays.auth.retain(&used);
        let looks = used.into_iter().map(|key| {
            let context = self.context.clone();
            async move {
                context.relays.auth.look(&context, &key).await.unwrap_or_else(|error| {
                    let (namespace, name) = key;
                    tracing::warn!(namespace, name, error = %crate::errors::chain(&error), "reading a shared secret is tried again");
                    false
                })
            }
        });
        let any = |any: bool, one: bool| std::future::ready(any || one);
        let changed = stream::iter(looks).buffer_unordered(AT_ONCE).fold(false, any).await;
        if changed {
            tracing::info!("a shared secret of TURN pools has changed");
            self.context.fleet.kick_all(Role::Turn);
            self.context.changes.send(Change::PoolsListed).await;
        }
    }

    fn pools(&self) -> impl Iterator<Item = (Arc<RelayPool>, TurnPool)> {
        let pools = self.context.caches.pools.state().into_iter();
        pools.filter_map(|pool| TurnPool::of(&pool.spec).ok().map(|turn| (pool, turn)))
    }

    /// Pods whose surroundings changed are told at once.
    fn tell_pods(&self) {
        let new = self.context.surroundings_now();
        let Some((old, new)) = self.context.relays.surround(new) else {
            self.context.fleet.kick_all(Role::Media);
            return self.context.fleet.kick_all(Role::Turn);
        };
        let (media, relays) = (old.sources != new.sources, new.differ_for_relays(&old));
        if media {
            self.context.fleet.kick_all(Role::Media);
        }
        if relays {
            self.context.fleet.kick_all(Role::Turn);
        }
    }

    async fn keep_directory(&mut self) -> Result<(), DirectoryError> {
        let old = self.directory.current(&self.context).await?;
        let pods = self.context.pool_pods();
        let turn = || pods.iter().filter(|pod| pods::role_of(pod) == Some(Role::Turn));
        let relays: Vec<Relay> = turn().filter_map(|pod| self.relay(pod)).collect();
        let unheard: BTreeSet<(String, String)> = if self.began.elapsed() < PATIENCE {
            turn().filter_map(|pod| self.unheard(pod, &old)).collect()
        } else {
            BTreeSet::new()
        };
        let wanted = directory(relays, &old, &unheard);
        if self.context.relays.set_ready(ready(&wanted)) {
            self.context.changes.send(Change::Relays).await;
        }
        if self.directory.write(&self.context, &wanted).await? {
            self.context.metrics.directory_writes.inc();
            tracing::info!(relays = wanted.relays.len(), "the directory of relays was written");
        }
        Ok(())
    }

    /// A pod that clients may be sent to, as gateways know it. One that missed a poll stays until it is found dead: a pod
    /// that leaves the directory makes its clients look for another.
    fn relay(&self, pod: &Pod) -> Option<Relay> {
        let key = pods::key_of(pod)?;
        let view = self.context.fleet.view(&key);
        if view.dead || !pods::is_ready(pod) || pods::is_draining(pod) {
            return None;
        }
        let pool = self.context.pool(&key.namespace, pods::pool_of(pod)?)?;
        let turn = TurnPool::of(&pool.spec).ok()?;
        let outside = self.context.outside(pod, &pool)?.ok()?;
        Some(Relay {
            pool: pool.name_any(),
            boot_id: view.boot?,
            region: pool.spec.region.clone(),
            control: pods::control_address(pod)?.to_string(),
            doors: doors(&turn, &outside),
            secret: view.secret?,
            credential_ttl_seconds: turn.credential_ttl_seconds,
            namespace: key.namespace,
            pod: key.name,
        })
    }

    /// A pod that the last leader named, that is ready still, and that this one has not configured so far.
    fn unheard(&self, pod: &Pod, old: &RelayDirectory) -> Option<(String, String)> {
        let key = pods::key_of(pod)?;
        let view = self.context.fleet.view(&key);
        let entry = old.relays.iter().find(|relay| relay.namespace == key.namespace && relay.pod == key.name)?;
        let same = view.boot.is_none_or(|boot| boot == entry.boot_id);
        let waits = !view.configured && !view.dead && pods::is_ready(pod) && !pods::is_draining(pod);
        (same && waits).then_some((key.namespace, key.name))
    }
}

fn ready(directory: &RelayDirectory) -> ReadyRelays {
    let mut ready = ReadyRelays::new();
    for relay in &directory.relays {
        *ready.entry((relay.namespace.clone(), relay.pool.clone())).or_default() += 1;
    }
    ready
}
