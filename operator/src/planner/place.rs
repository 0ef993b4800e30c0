//! Chooses a media pod for a room: pools that admit it, regions that fit, then nearest and least loaded.

use super::views::{FleetView, PodKey, PodState, PodView, PoolView, ValidRoom};
use plenum_api::room::Strategy;
use plenum_protocol::ids::BootId;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Most rooms on one pod: the media node's own bound.
pub const MAX_ROOMS_PER_POD: u32 = 10_000;

/// A pod for a room, and why that one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The pod.
    pub pod: PodKey,
    /// Which start of its process.
    pub boot: BootId,
    /// In plain words.
    pub reason: String,
}

/// Why a room has no pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unplaced {
    /// For programs.
    pub reason: UnplacedReason,
    /// For people: what is missing and what to do.
    pub message: String,
}

/// Why a room has no pod, for programs. In the order in which they are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnplacedReason {
    /// No pool, or none that the room's selector matches.
    NoPool,
    /// No pool admits the room's namespace.
    PoolNotPermitted,
    /// No admitting pool is in an allowed region.
    RegionUnavailable,
    /// No pod of those pools takes rooms at the moment.
    PoolNotReady,
    /// A pod nearer to the people than those that serve was made a moment ago.
    PodStarting,
    /// Every such pod is full.
    InsufficientCapacity,
}

impl UnplacedReason {
    /// As conditions carry it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoPool => "NoPool",
            Self::PoolNotPermitted => "PoolNotPermitted",
            Self::RegionUnavailable => "RegionUnavailable",
            Self::PoolNotReady => "PoolNotReady",
            Self::PodStarting => "PodStarting",
            Self::InsufficientCapacity => "InsufficientCapacity",
        }
    }
}

/// Chooses a pod. `near` is where the first participant is, when that is known.
///
/// # Errors
/// [`Unplaced`], when no pod fits.
pub fn place(room: &ValidRoom, fleet: &FleetView, near: Option<&str>) -> Result<Choice, Unplaced> {
    let pools = eligible_pools(room, fleet)?;
    let ready: Vec<Candidate<'_>> = fleet
        .pods
        .iter()
        .filter(|pod| pod.state == PodState::Ready)
        .filter_map(|pod| {
            Some((pod, *pools.get(&(pod.key.namespace.as_str(), pod.pool.as_str()))?, pod.boot.as_ref()?))
        })
        .collect();
    if ready.is_empty() {
        return Err(not_ready(&pools, fleet));
    }
    let reserve = room.reserve();
    let fits = |(pod, pool, _): &&Candidate<'_>| pod.used + reserve <= pool.per_pod && pod.rooms < MAX_ROOMS_PER_POD;
    let fitting: Vec<Candidate<'_>> = ready.iter().filter(fits).copied().collect();
    let wishes = wishes(room, near);
    let best = fitting.iter().min_by_key(|(pod, pool, _)| {
        let nearness = nearness(&wishes, &pool.region);
        let load = load(pod, pool);
        let order = match room.strategy {
            Strategy::Nearest => (Reverse(nearness), load, Reverse((0, 0))),
            Strategy::Packed => (Reverse(nearness), -load, Reverse((0, 0))),
            Strategy::Spread => (Reverse((0, 0)), load, Reverse(nearness)),
        };
        (order, pod.rooms, &pod.key)
    });
    match best {
        Some((pod, pool, boot)) => {
            let near = fitting.iter().filter(|(_, other, _)| other.region == pool.region);
            let rivals = if room.strategy == Strategy::Spread { fitting.len() } else { near.count() };
            let reason = explain(room, &wishes, pod, pool, rivals);
            Ok(Choice { pod: pod.key.clone(), boot: (*boot).clone(), reason })
        }
        None => Err(full(ready.len(), reserve)),
    }
}

/// Whether a first binding should wait: a pod in a region nearer than that of `choice` is starting. A room is not moved
/// later, so seconds of patience decide where its media goes for good.
#[must_use]
pub fn worth_a_wait(room: &ValidRoom, fleet: &FleetView, choice: &Choice) -> Option<Unplaced> {
    if room.strategy == Strategy::Spread {
        return None;
    }
    let pools = eligible_pools(room, fleet).ok()?;
    let wishes = wishes(room, None);
    let chosen = nearness(&wishes, &fleet.pod(&choice.pod)?.region);
    let would_take_it = |pod: &PodView| {
        pools.get(&(pod.key.namespace.as_str(), pod.pool.as_str())).is_some_and(|pool| room.reserve() <= pool.per_pod)
    };
    let nearer = |pod: &&PodView| {
        pod.starting && pod.state == PodState::NotReady && nearness(&wishes, &pod.region) > chosen && would_take_it(pod)
    };
    let pod = fleet.pods.iter().find(nearer)?;
    let message = format!(
        "pod {} of region {} is starting, nearer to the expected participants than those that serve: waiting for it, half a minute at most",
        pod.key, pod.region
    );
    Some(Unplaced { reason: UnplacedReason::PodStarting, message })
}

type Candidate<'a> = (&'a PodView, &'a PoolView, &'a BootId);
type Pools<'a> = BTreeMap<(&'a str, &'a str), &'a PoolView>;

fn eligible_pools<'a>(room: &ValidRoom, fleet: &'a FleetView) -> Result<Pools<'a>, Unplaced> {
    let wanted: Vec<&PoolView> = fleet.pools.iter().filter(|pool| room.selector.matches(&pool.labels)).collect();
    if wanted.is_empty() {
        return Err(no_pool(room, fleet));
    }
    let admitting: Vec<&PoolView> =
        wanted.iter().filter(|pool| pool.admits(&room.namespace, &room.namespace_labels)).copied().collect();
    if admitting.is_empty() {
        return Err(not_permitted(room, &wanted));
    }
    let inside: Pools<'a> = admitting
        .iter()
        .filter(|pool| room.allows(&pool.region))
        .map(|pool| ((pool.namespace.as_str(), pool.name.as_str()), *pool))
        .collect();
    if inside.is_empty() {
        return Err(no_region(room, &admitting));
    }
    Ok(inside)
}

fn wishes(room: &ValidRoom, near: Option<&str>) -> BTreeMap<String, i64> {
    match near {
        Some(region) if room.expected.is_empty() => BTreeMap::from([(region.to_owned(), 1)]),
        _ => room.expected.clone(),
    }
}

/// How many people are expected in `region` itself, and how near the others are: the number of leading parts of the
/// region's name (`eu-west` has two) that are the same, summed over people.
fn nearness(wishes: &BTreeMap<String, i64>, region: &str) -> (i64, i64) {
    let exact = wishes.get(region).copied().unwrap_or(0);
    let near = wishes.iter().map(|(wish, people)| people * shared_parts(wish, region)).sum();
    (exact, near)
}

fn shared_parts(a: &str, b: &str) -> i64 {
    let shared = a.split('-').zip(b.split('-')).take_while(|(a, b)| a == b).count();
    i64::try_from(shared).unwrap_or(i64::MAX)
}

/// Taken share of a pod in parts per million.
fn load(pod: &PodView, pool: &PoolView) -> i64 {
    pod.used.saturating_mul(1_000_000) / pool.per_pod.max(1)
}

fn explain(room: &ValidRoom, wishes: &BTreeMap<String, i64>, pod: &PodView, pool: &PoolView, fitting: usize) -> String {
    let total: i64 = wishes.values().sum();
    let (exact, near) = nearness(wishes, &pool.region);
    let region = &pool.region;
    let place = match (total, exact, near) {
        (0, ..) => format!("region {region} (no participants are expected anywhere in particular)"),
        (1, 1, _) if room.expected.is_empty() => format!("region {region}, where the first participant is"),
        (_, exact, _) if exact > 0 => format!("region {region}, where {exact} of {total} participants are expected"),
        (_, _, near) if near > 0 => format!("region {region}, the nearest to where {total} participants are expected"),
        _ => format!("region {region} (no pool is near the {total} expected participants)"),
    };
    let word = if room.strategy == Strategy::Packed { "fullest with room" } else { "least loaded" };
    let percent = load(pod, pool) / 10_000;
    format!("{place}; pod {} is the {word} of {fitting} that fit ({percent} % taken)", pod.key.name)
}

pub(super) fn names<'a>(pools: impl Iterator<Item = &'a PoolView>) -> String {
    let all: Vec<String> = pools.map(|pool| format!("{}/{}", pool.namespace, pool.name)).collect();
    let more = all.len().saturating_sub(3);
    let list = all.get(..3).unwrap_or(&all).join(", ");
    if more == 0 { list } else { format!("{list} and {more} more") }
}

fn no_pool(room: &ValidRoom, fleet: &FleetView) -> Unplaced {
    let message = if fleet.pools.is_empty() {
        "there is no RelayPool with role Media in the cluster: apply one".to_owned()
    } else if room.selector.is_empty() {
        "no RelayPool with role Media can be used: look at their condition Accepted".to_owned()
    } else {
        format!("media.poolSelector matches none of {} RelayPools: change it, or label a pool", fleet.pools.len())
    };
    Unplaced { reason: UnplacedReason::NoPool, message }
}

fn not_permitted(room: &ValidRoom, wanted: &[&PoolView]) -> Unplaced {
    let message = format!(
        "RelayPool {} does not admit Rooms of namespace {}: change the pool's allowedRooms.namespaces, or apply a RelayPool in this namespace",
        names(wanted.iter().copied()),
        room.namespace
    );
    Unplaced { reason: UnplacedReason::PoolNotPermitted, message }
}

fn no_region(room: &ValidRoom, admitting: &[&PoolView]) -> Unplaced {
    let regions: BTreeSet<&str> = admitting.iter().map(|pool| pool.region.as_str()).collect();
    let regions: Vec<&str> = regions.into_iter().collect();
    let message = format!(
        "placement.allowedRegions ({}) leaves no RelayPool: those that admit this Room are in {}",
        room.allowed_regions.join(", "),
        regions.join(", ")
    );
    Unplaced { reason: UnplacedReason::RegionUnavailable, message }
}

fn not_ready(pools: &Pools<'_>, fleet: &FleetView) -> Unplaced {
    let mine = |pod: &&PodView| pools.contains_key(&(pod.key.namespace.as_str(), pod.pool.as_str()));
    let (mut starting, mut leaving, mut lost) = (0, 0, 0);
    for pod in fleet.pods.iter().filter(mine) {
        match pod.state {
            PodState::Ready | PodState::NotReady => starting += 1,
            PodState::Draining | PodState::DrainExpired | PodState::Terminating => leaving += 1,
            PodState::Lost => lost += 1,
        }
    }
    let message = format!(
        "RelayPool {} has no pod that takes rooms ({starting} starting, {leaving} leaving, {lost} lost): wait, or scale it up",
        names(pools.values().copied())
    );
    Unplaced { reason: UnplacedReason::PoolNotReady, message }
}

fn full(ready: usize, reserve: i64) -> Unplaced {
    let message = format!(
        "none of the {ready} ready pods has room for {reserve} more participants: scale a RelayPool up, or raise its capacity.perPod.participants"
    );
    Unplaced { reason: UnplacedReason::InsufficientCapacity, message }
}

#[cfg(test)]
pub(super) mod tests;
