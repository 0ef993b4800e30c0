//! One room in the ledger, and how it is read from a Room.

use crate::planner::{Bound, Ended, Life, PodKey};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use plenum_api::room::{EndedReason, Topology};
use plenum_api::{Room, RoomStatus};
use plenum_protocol::control::Grant;
use plenum_protocol::flow::LegCounts;
use plenum_protocol::ids::{BootId, Epoch, RoomName, RoomUid};
use std::net::SocketAddr;
use std::time::Instant;

/// What a pod said of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RoomLoad {
    /// Participants now.
    pub participants: i32,
    /// Most participants seen by this leader.
    pub peak: i32,
    /// Connected legs.
    pub legs: LegCounts,
}

/// One room.
pub(super) struct Entry {
    pub(super) name: RoomName,
    pub(super) bound: Option<Bound>,
    /// The binding is planned and not written yet.
    pub(super) provisional: bool,
    pub(super) last_epoch: Epoch,
    /// Closed, or ended by itself.
    pub(super) over: Option<EndedReason>,
    /// How it runs now.
    pub(super) topology: Topology,
    /// It is peer to peer and is to stay so.
    pub(super) pair: bool,
    /// When a gateway named it last, of a room that is peer to peer.
    pub(super) heard: Instant,
    /// The gateway that names it, and since when it has without a pause.
    pub(super) home: Option<(String, Instant)>,
    pub(super) reserve: i64,
    pub(super) load: RoomLoad,
    /// Where relayed participants' packets come from.
    pub(super) relayed: Vec<SocketAddr>,
    /// Since when a relay has not said how a client reaches it.
    pub(super) unsettled: Option<Instant>,
    /// The pod of this binding has said something.
    pub(super) reported: bool,
    /// What the pod has acknowledged, and which start of it.
    pub(super) granted: Option<(Grant, BootId)>,
    /// How often the pod declined the grant of this binding.
    pub(super) declined: u32,
    pub(super) wanted: Option<(Option<String>, Instant)>,
    pub(super) first_seen: Option<Instant>,
    pub(super) coarse_written: Option<Instant>,
}

impl Entry {
    pub(super) fn new(name: RoomName, now: Instant) -> Self {
        Self {
            name,
            bound: None,
            provisional: false,
            last_epoch: Epoch(0),
            over: None,
            topology: Topology::MediaServer,
            pair: false,
            heard: now,
            home: None,
            reserve: 0,
            load: RoomLoad::default(),
            relayed: Vec::new(),
            unsettled: None,
            reported: false,
            granted: None,
            declined: 0,
            wanted: None,
            first_seen: Some(now),
            coarse_written: None,
        }
    }

    /// Another binding, or none: what the last pod said is over. Returns the last binding.
    pub(super) fn begin(&mut self, bound: Option<Bound>) -> Option<Bound> {
        let last = std::mem::replace(&mut self.bound, bound);
        self.load = RoomLoad { peak: self.load.peak, ..RoomLoad::default() };
        self.relayed.clear();
        self.reported = false;
        self.granted = None;
        self.declined = 0;
        last
    }

    /// What the room takes of its pod.
    pub(super) fn weight(&self) -> i64 {
        self.reserve.max(i64::from(self.load.participants))
    }
}

/// `metadata.uid`.
#[must_use]
pub fn uid_of(room: &Room) -> Option<RoomUid> {
    room.metadata.uid.clone().and_then(|uid| RoomUid::try_from(uid).ok())
}

/// The binding in a room's status.
#[must_use]
pub fn bound_of(room: &Room) -> Option<Bound> {
    let assignment = room.media_assignment()?;
    Some(Bound {
        pod: PodKey { namespace: assignment.namespace.clone(), name: assignment.pod.clone() },
        boot: BootId::try_from(assignment.boot_id.clone()).ok()?,
        epoch: Epoch(room.epoch()),
    })
}

/// The room's life in its status. One that ended before reasons were written was closed.
#[must_use]
pub fn life_of(status: &RoomStatus) -> Life {
    let time = |time: &Option<Time>| time.as_ref().map(|time| time.0);
    let reason = status.ended_reason.unwrap_or(EndedReason::Closed);
    Life {
        started_at: time(&status.started_at),
        empty_since: time(&status.empty_since),
        ended: time(&status.ended_at).map(|at| Ended { at, reason }),
    }
}

/// Participants that a room reserves on its pod.
#[must_use]
pub fn reserve_of(room: &Room) -> i64 {
    room.spec.placement.expected.iter().map(|expected| i64::from(expected.participants)).sum::<i64>().max(1)
}
