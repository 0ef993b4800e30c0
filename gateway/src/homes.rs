//! Which gateway is the home of a peer-to-peer room: rendezvous hashing over the gateways that are ready.
//!
//! Every replica decides by its own watch of the EndpointSlices; when two disagree for a moment, the one that is asked and
//! does not think that it is the home refuses. Must not hold rooms: that is `peers`.

mod slices;

pub(crate) use slices::Slices;

use aws_lc_rs::digest;
use plenum_protocol::control::GATEWAY_SAN;
use plenum_protocol::ids::RoomUid;
use plenum_runtime::client::Target;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// Control addresses of ready gateways by pod name.
pub type Replicas = BTreeMap<String, SocketAddr>;

/// A gateway that looks after a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// Its pod.
    pub pod: String,
    /// Its control endpoint.
    pub control: SocketAddr,
}

impl Home {
    /// Whom to call.
    #[must_use]
    pub fn target(&self) -> Target {
        Target::new(self.control, GATEWAY_SAN)
    }
}

/// The home of a room: a replica that comes or goes moves only its own share of the rooms.
#[must_use]
pub fn home_of(room: &RoomUid, replicas: &Replicas) -> Option<Home> {
    let (pod, control) = replicas.iter().max_by_key(|(pod, _)| weight(room, pod))?;
    Some(Home { pod: pod.clone(), control: *control })
}

/// Neither name holds a slash. Equal in all versions: replicas of two versions agree.
fn weight(room: &RoomUid, pod: &str) -> [u8; 32] {
    let mut weight = [0; 32];
    let hash = digest::digest(&digest::SHA256, format!("{room}/{pod}").as_bytes());
    weight.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
    weight
}

/// The ready gateways. Clones share them.
#[derive(Clone)]
pub struct Homes(Arc<watch::Sender<Arc<Replicas>>>);

impl Default for Homes {
    fn default() -> Self {
        Self::new()
    }
}

impl Homes {
    /// No gateway is ready.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Arc::default())))
    }

    /// These are ready.
    pub fn replace(&self, replicas: Replicas) {
        self.0.send_if_modified(|known| {
            let differs = **known != replicas;
            if differs {
                tracing::info!(ready = replicas.len(), "other gateways are ready now");
                *known = Arc::new(replicas);
            }
            differs
        });
    }

    /// The home of a room now.
    #[must_use]
    pub fn home_of(&self, room: &RoomUid) -> Option<Home> {
        home_of(room, &self.0.borrow())
    }

    /// The home of a room, waited for until `deadline` while no gateway is ready.
    pub(crate) async fn wait(&self, room: &RoomUid, deadline: Instant) -> Option<Home> {
        let mut replicas = self.0.subscribe();
        let ready = timeout_at(deadline, replicas.wait_for(|replicas| !replicas.is_empty())).await.ok()?.ok()?;
        home_of(room, &ready)
    }

    /// The gateways as they change.
    pub(crate) fn follow(&self) -> watch::Receiver<Arc<Replicas>> {
        self.0.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replicas(names: &[&str]) -> Replicas {
        names.iter().map(|name| ((*name).to_owned(), "127.0.0.1:7443".parse().unwrap())).collect()
    }

    fn rooms() -> Vec<RoomUid> {
        (0..600).map(|number| format!("uid-{number}").parse().unwrap()).collect()
    }

    fn homes(replicas: &Replicas) -> Vec<String> {
        rooms().iter().map(|room| home_of(room, replicas).unwrap().pod).collect()
    }

    #[test]
    fn without_a_ready_gateway_there_is_no_home() {
        assert_eq!(home_of(&rooms()[0], &Replicas::new()), None);
    }

    #[test]
    fn rooms_are_spread_over_the_replicas() {
        let homes = homes(&replicas(&["a", "b", "c"]));
        for name in ["a", "b", "c"] {
            let share = homes.iter().filter(|home| *home == name).count();
            assert!((140..=260).contains(&share), "{name} has {share} of 600");
        }
    }

    #[test]
    fn a_replica_that_comes_or_goes_moves_its_own_share_only() {
        let names = ["a", "b", "c", "d"];
        let all = homes(&replicas(&names));
        for gone in names {
            let rest: Vec<&str> = names.into_iter().filter(|name| *name != gone).collect();
            for (before, after) in all.iter().zip(homes(&replicas(&rest))) {
                assert!(*before == after || before == gone, "{before} to {after} when {gone} went");
            }
        }
    }

    #[test]
    fn a_home_is_the_same_in_every_version() {
        let names = replicas(&["plenum-gateway-0", "plenum-gateway-1", "plenum-gateway-2"]);
        let of = |uid: &str| home_of(&uid.parse().unwrap(), &names).unwrap().pod;
        let seen: Vec<String> = ["uid-1", "uid-2", "uid-3", "uid-4"].into_iter().map(of).collect();
        assert_eq!(seen, GOLDEN);
    }

    /// By SHA-256 of `uid/pod`, the greatest first.
    const GOLDEN: [&str; 4] = ["plenum-gateway-2", "plenum-gateway-0", "plenum-gateway-0", "plenum-gateway-2"];

    #[tokio::test]
    async fn whoever_waits_for_a_home_gets_the_first() {
        let homes = Homes::new();
        let (waiting, deadline) = (homes.clone(), Instant::now() + std::time::Duration::from_secs(20));
        let waiter = tokio::spawn(async move { waiting.wait(&"uid-1".parse().unwrap(), deadline).await });
        homes.replace(replicas(&["a"]));
        assert_eq!(waiter.await.unwrap().map(|home| home.pod).as_deref(), Some("a"));
    }
}
