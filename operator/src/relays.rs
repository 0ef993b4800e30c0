//! TURN pods as a whole: what they are configured with, what media pods and gateways know of them, and how the clients of a
//! room reach them. What one pod answers is in `nodes`.

pub mod auth;
pub mod config;
pub mod directory;
pub mod join;
mod keeper;
pub mod pool;
pub mod surroundings;

use auth::Auth;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use surroundings::Surroundings;
use tokio::sync::Notify;

pub use keeper::Keeper;

/// Ready relays by namespace and name of their pool.
pub type ReadyRelays = BTreeMap<(String, String), u32>;

/// What is known of TURN pods as a whole.
#[derive(Default)]
pub struct Relays {
    /// Their shared secrets.
    pub auth: Auth,
    known: Mutex<Known>,
    wake: Notify,
}

#[derive(Default)]
struct Known {
    surroundings: Option<Arc<Surroundings>>,
    ready: ReadyRelays,
}

impl Relays {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something changed that surroundings or directory may depend on.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// What pods must know of each other; made by `first` if nobody has done so: a leader must not tell media pods that
    /// there are no relays.
    pub fn surroundings(&self, first: impl FnOnce() -> Surroundings) -> Arc<Surroundings> {
        if let Some(known) = self.lock().surroundings.clone() {
            return known;
        }
        let made = Arc::new(first());
        self.lock().surroundings.get_or_insert(made).clone()
    }

    /// Stores surroundings. Returns those that were there, and the new ones.
    fn surround(&self, new: Surroundings) -> Option<(Arc<Surroundings>, Arc<Surroundings>)> {
        let new = Arc::new(new);
        let old = self.lock().surroundings.replace(new.clone())?;
        Some((old, new))
    }

    /// How many relays of a pool are ready.
    #[must_use]
    pub fn ready(&self, namespace: &str, pool: &str) -> u32 {
        self.lock().ready.get(&(namespace.to_owned(), pool.to_owned())).copied().unwrap_or(0)
    }

    /// Stores how many relays are ready. True: it differs.
    fn set_ready(&self, ready: ReadyRelays) -> bool {
        let mut known = self.lock();
        let differs = known.ready != ready;
        known.ready = ready;
        differs
    }
}
