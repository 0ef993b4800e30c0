//! Whether a peer-to-peer room still has the home that one socket goes to. The home says so itself, unless it is cut off.

use super::super::binding::{At, Bound};
use crate::homes::{Homes, Replicas, home_of};
use plenum_protocol::ids::RoomUid;
use std::sync::Arc;
use tokio::sync::watch;

pub(super) struct Moves {
    /// None of a room with a media node.
    watched: Option<(watch::Receiver<Arc<Replicas>>, RoomUid, String)>,
}

impl Moves {
    pub(super) fn new(homes: &Homes, bound: &Bound) -> Self {
        let watched = match &bound.at {
            At::Home(home) => Some((homes.follow(), bound.uid.clone(), home.pod.clone())),
            At::Node(_) => None,
        };
        Self { watched }
    }

    /// From now on nothing is looked for.
    pub(super) fn forget(&mut self) {
        self.watched = None;
    }

    /// Returns once another gateway is the home. Can be dropped and called again.
    pub(super) async fn next(&mut self) {
        let Some((replicas, room, pod)) = &mut self.watched else { return std::future::pending().await };
        let elsewhere = |replicas: &Arc<Replicas>| home_of(room, replicas).is_some_and(|home| home.pod != *pod);
        if replicas.wait_for(elsewhere).await.is_err() {
            std::future::pending().await
        }
    }
}
