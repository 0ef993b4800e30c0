//! Idle connections by target. Bounded; a connection of an older certificate or one that rested too long is dropped.

use super::Target;
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Most idle connections to one target.
const PER_TARGET: usize = 8;
/// Most idle connections in all.
const IN_ALL: usize = 4096;
/// Longest rest of a connection; below the servers' header timeout, so that they seldom close first.
const REST: Duration = Duration::from_secs(20);

/// A connection that can send one request at a time.
pub(super) struct Sender {
    pub(super) http: SendRequest<Full<Bytes>>,
    /// The certificate that it was opened with.
    pub(super) config: Arc<rustls::ClientConfig>,
}

struct Idle {
    sender: Sender,
    since: Instant,
}

#[derive(Default)]
struct Shelf {
    idle: HashMap<Target, Vec<Idle>>,
    /// Length of all lists in `idle`.
    count: usize,
    swept: Option<Instant>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Pool {
    shelf: Mutex<Shelf>,
}

impl Pool {
    /// The connection to `to` that was used last, if it still lives and was opened under `config`.
    pub(super) fn take(&self, to: &Target, config: &Arc<rustls::ClientConfig>) -> Option<Sender> {
        let mut shelf = self.lock();
        let Shelf { idle, count, .. } = &mut *shelf;
        let list = idle.get_mut(to)?;
        let mut found = None;
        while let Some(Idle { sender, since }) = list.pop() {
            *count -= 1;
            if !sender.http.is_closed() && since.elapsed() < REST && Arc::ptr_eq(&sender.config, config) {
                found = Some(sender);
                break;
            }
        }
        if list.is_empty() {
            idle.remove(to);
        }
        found
    }

    /// Keeps a connection whose answer was read whole.
    pub(super) fn give_back(&self, to: &Target, sender: Sender) {
        if sender.http.is_closed() {
            return;
        }
        let now = Instant::now();
        let mut shelf = self.lock();
        if shelf.swept.is_none_or(|swept| now.duration_since(swept) > REST) {
            shelf.sweep(now);
        }
        if shelf.count >= IN_ALL {
            return;
        }
        let list = shelf.idle.entry(to.clone()).or_default();
        if list.len() < PER_TARGET {
            list.push(Idle { sender, since: now });
            shelf.count += 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn sweep(&mut self, now: Instant) {
        self.idle.retain(|_, list| {
            list.retain(|idle| !idle.sender.http.is_closed() && now.duration_since(idle.since) < REST);
            !list.is_empty()
        });
        self.count = self.idle.values().map(Vec::len).sum();
        self.swept = Some(now);
    }
}
