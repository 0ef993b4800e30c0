//! Which pods of a pool come and go.
//!
//! Slots are reused only when nothing holds them any more, a terminating pod included. Leaving pods are drained: the
//! emptiest go first, and a draining pod is taken back before a new one is made.

use std::collections::BTreeSet;

/// Seconds for which an empty pod still drains, so that its empty rooms can be bound elsewhere first, or gateways hear
/// that a relay leaves.
pub const EMPTY_GRACE_SECONDS: i64 = 2;
/// Seconds after the drain timeout in which its rooms are bound elsewhere before the pod is deleted.
pub const EXPIRED_GRACE_SECONDS: i64 = 3;

/// What a pool wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolWish {
    /// How many active pods.
    pub replicas: usize,
    /// How many slots its port range has.
    pub slots: u16,
    /// How long a draining pod keeps rooms with people in them, or allocations, seconds.
    pub drain_seconds: i64,
    /// What new pods are made from.
    pub revision: String,
}

/// A pod of the pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolPod {
    /// Name.
    pub name: String,
    /// Slot; `None` when its label makes no sense.
    pub slot: Option<u16>,
    /// Seconds since 1970 when it began to drain; `None`: active.
    pub draining_since: Option<i64>,
    /// Deleted, or its containers ended for good.
    pub terminating: bool,
    /// Its containers ended for good: it must be deleted.
    pub finished: bool,
    /// Serves.
    pub ready: bool,
    /// No node takes it as things stand.
    pub unschedulable: bool,
    /// Others may send newcomers to it for a moment after it began to drain, be it empty or not.
    pub lingers: bool,
    /// Made from this revision; empty when that is not known, and then it is replaced.
    pub revision: String,
    /// Rooms bound to it.
    pub rooms: u32,
    /// People in them, or allocations.
    pub participants: i64,
    /// Seconds since 1970.
    pub created: i64,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolAction {
    /// Make a pod in this slot.
    Create(u16),
    /// Let a pod drain.
    Drain(String),
    /// Take a draining pod back.
    Recall(String),
    /// Delete a pod.
    Delete(String),
}

/// Plans one pool at `now` (seconds since 1970). Pods must be sorted by name.
#[must_use]
pub fn plan_pool(wish: &PoolWish, pods: &[PoolPod], now: i64) -> Vec<PoolAction> {
    let mut actions: Vec<PoolAction> =
        pods.iter().filter(|pod| pod.finished).map(|pod| PoolAction::Delete(pod.name.clone())).collect();
    let alive: Vec<&PoolPod> = pods.iter().filter(|pod| !pod.terminating && !pod.finished).collect();
    let mut active: Vec<&PoolPod> = alive.iter().filter(|pod| pod.draining_since.is_none()).copied().collect();
    let mut draining: Vec<&PoolPod> = alive.iter().filter(|pod| pod.draining_since.is_some()).copied().collect();
    active.sort_by_key(|pod| leaves_first(pod, wish));

    if let Some(pod) = gives_way(wish, &active, &draining) {
        actions.push(PoolAction::Drain(pod.name.clone()));
    } else if active.len() > wish.replicas {
        let surplus = active.len() - wish.replicas - surge(wish, &active);
        actions.extend(active.iter().take(surplus).map(|pod| PoolAction::Drain(pod.name.clone())));
    } else if active.len() < wish.replicas {
        let missing = wish.replicas - active.len();
        actions.extend(grow(wish, pods, &mut draining, missing));
    } else {
        actions.extend(replace(wish, pods, &active, &draining));
    }
    actions
        .extend(draining.iter().filter(|pod| is_done(pod, wish, now)).map(|pod| PoolAction::Delete(pod.name.clone())));
    actions
}

/// Order of leaving: pods that do not serve, old revisions, then the emptiest, then the youngest.
fn leaves_first<'a>(pod: &'a PoolPod, wish: &PoolWish) -> (bool, bool, i64, u32, i64, &'a str) {
    (pod.ready, pod.revision == wish.revision, pod.participants, pod.rooms, -pod.created, pod.name.as_str())
}

/// One pod too many is right while a new pod that is to replace an old one does not serve yet.
fn surge(wish: &PoolWish, active: &[&PoolPod]) -> usize {
    let outdated = active.iter().any(|pod| pod.revision != wish.revision && pod.ready);
    let coming = active.iter().any(|pod| pod.revision == wish.revision && !pod.ready);
    usize::from(outdated && coming)
}

/// A new pod that is to replace an old one finds no node: where pods share a host port and every node has one, an old pod
/// must leave first.
fn gives_way<'a>(wish: &PoolWish, active: &[&'a PoolPod], draining: &[&PoolPod]) -> Option<&'a PoolPod> {
    let stuck = active.iter().any(|pod| pod.revision == wish.revision && pod.unschedulable);
    if !stuck || !draining.is_empty() || active.len() <= wish.replicas {
        return None;
    }
    active.iter().find(|pod| pod.revision != wish.revision).copied()
}

/// Takes back draining pods (the fullest first, none of an old revision), then makes new ones in free slots.
fn grow(wish: &PoolWish, pods: &[PoolPod], draining: &mut Vec<&PoolPod>, missing: usize) -> Vec<PoolAction> {
    draining.sort_by_key(|pod| (-pod.participants, std::cmp::Reverse(pod.rooms), pod.name.as_str()));
    let back: Vec<String> =
        draining.iter().filter(|pod| pod.revision == wish.revision).take(missing).map(|pod| pod.name.clone()).collect();
    draining.retain(|pod| !back.contains(&pod.name));
    let rest = missing - back.len();
    let mut actions: Vec<PoolAction> = back.into_iter().map(PoolAction::Recall).collect();
    actions.extend(free_slots(wish, pods).take(rest).map(PoolAction::Create));
    actions
}

/// One step of a replacement, one pod at a time: one more pod of the present revision, after which the next plan drains
/// an old one; where the port range has no slot for it, an old one drains first.
fn replace(wish: &PoolWish, pods: &[PoolPod], active: &[&PoolPod], draining: &[&PoolPod]) -> Option<PoolAction> {
    let old = active.iter().find(|pod| pod.revision != wish.revision)?;
    let settled = draining.is_empty() && pods.iter().all(|pod| !pod.terminating && !pod.finished);
    let fresh_serve = active.iter().all(|pod| pod.ready || pod.revision != wish.revision);
    if !settled || !fresh_serve {
        return None;
    }
    let slot = free_slots(wish, pods).next();
    Some(slot.map_or_else(|| PoolAction::Drain(old.name.clone()), PoolAction::Create))
}

fn free_slots(wish: &PoolWish, pods: &[PoolPod]) -> impl Iterator<Item = u16> {
    let held: BTreeSet<u16> = pods.iter().filter_map(|pod| pod.slot).collect();
    (0..wish.slots).filter(move |slot| !held.contains(slot))
}

fn is_done(pod: &PoolPod, wish: &PoolWish, now: i64) -> bool {
    let Some(since) = pod.draining_since else { return false };
    let drained = now.saturating_sub(since);
    let empty = pod.participants == 0 && (!pod.lingers || drained >= EMPTY_GRACE_SECONDS);
    empty || drained >= wish.drain_seconds.saturating_add(EXPIRED_GRACE_SECONDS)
}

#[cfg(test)]
mod tests;
