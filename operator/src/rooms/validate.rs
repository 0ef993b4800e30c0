//! Step 2: a spec that makes sense. The API server has checked bounds and rules already; this is for specs that an
//! older CRD let in.

use super::observe::Observed;
use crate::planner::ValidRoom;
use plenum_api::RoomSpec;
use plenum_api::room::{
    DesiredState, Lifecycle, Media, PEERS, Placement, Relay, RoomCapacity, Signaling, SignalingMode, Topology, Upgrade,
};
use std::collections::BTreeMap;

/// A spec that cannot be served, and what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Invalid(pub(super) String);

/// A new field of the spec is a compile error here, not a silent skip.
pub(super) fn validate(observed: &Observed) -> Result<ValidRoom, Invalid> {
    let RoomSpec { topology, signaling, relay, media, placement, capacity, lifecycle, desired_state } =
        &observed.room.spec;
    let Signaling { mode: SignalingMode::Gateway } = signaling;
    let Relay { policy: relay_policy, pool_selector: relay_selector } = relay;
    let Media { pool_selector, max_bitrate_kbps } = media;
    let Placement { strategy, binding, expected, allowed_regions } = placement;
    let RoomCapacity { max_participants, upgrade } = capacity;
    if max_participants.is_some_and(|most| most < 1) {
        return Err(Invalid("capacity.maxParticipants must be at least 1".to_owned()));
    }
    if *max_bitrate_kbps < 1 {
        return Err(Invalid("media.maxBitrateKbps must be at least 1".to_owned()));
    }
    let Lifecycle { empty_timeout_seconds, departure_timeout_seconds, max_duration_seconds, ttl_seconds_after_ended } =
        lifecycle;
    let limits = [empty_timeout_seconds, departure_timeout_seconds, max_duration_seconds, ttl_seconds_after_ended];
    if limits.into_iter().flatten().any(|seconds| *seconds < 1) {
        return Err(Invalid("every limit in lifecycle must be at least 1".to_owned()));
    }
    let mut regions: BTreeMap<String, i64> = BTreeMap::new();
    for wish in expected {
        *regions.entry(wish.region.clone()).or_default() += i64::from(wish.participants.max(0));
    }
    let grows = *topology == Topology::MediaServer || *upgrade == Upgrade::MediaServer;
    let most = if grows { observed.room.spec.max_participants(Topology::MediaServer) } else { PEERS };
    if regions.values().sum::<i64>() > i64::from(most) {
        return Err(Invalid(
            "the participants of placement.expected add up to more than the room takes: lower them, or raise capacity.maxParticipants".to_owned(),
        ));
    }
    Ok(ValidRoom {
        namespace: observed.name.namespace.clone(),
        namespace_labels: observed.namespace_labels.clone(),
        topology: *topology,
        upgrade: *upgrade == Upgrade::MediaServer,
        selector: pool_selector.clone(),
        relay_policy: *relay_policy,
        relay_selector: relay_selector.clone(),
        allowed_regions: allowed_regions.clone(),
        expected: regions,
        strategy: *strategy,
        binding: *binding,
        lifecycle: *lifecycle,
        open: *desired_state == DesiredState::Open,
    })
}
