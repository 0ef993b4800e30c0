//! Step 2: a pool whose pods can be made.

use super::observe::Observed;
use super::pod::{Blueprint, MediaPart, RolePart, TurnPart};
use crate::context::Context;
use crate::planner::PoolWish;
use crate::relays::pool::{TurnPool, Unservable};
use plenum_api::pool::{Drain, Exposure, ExposureType, PoolCapacity, Role};
use plenum_api::{RelayPoolSpec, names};
use plenum_protocol::ports::{self, PortRange};

/// A spec that cannot be served, and what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Invalid(pub(super) String);

/// A pool whose pods can be made.
pub(super) struct ValidPool {
    pub(super) wish: PoolWish,
    pub(super) blueprint: Blueprint,
    /// Participants or allocations of one pod.
    pub(super) per_pod: i64,
}

impl ValidPool {
    /// What is particular to role TURN.
    pub(super) fn turn(&self) -> Option<&TurnPool> {
        match &self.blueprint.part {
            RolePart::Turn(turn) => Some(&turn.pool),
            RolePart::Media(_) => None,
        }
    }
}

impl From<Unservable> for Invalid {
    fn from(error: Unservable) -> Self {
        Self(error.0)
    }
}

/// A new field of the spec is a compile error here, not a silent skip.
pub(super) fn validate(context: &Context, observed: &Observed) -> Result<ValidPool, Invalid> {
    let spec = &observed.pool.spec;
    let RelayPoolSpec {
        role,
        region: _,
        zones: _,
        replicas,
        allowed_rooms: _,
        workers: _,
        template,
        exposure: _,
        turn: _,
        capacity,
        drain,
    } = spec;
    let PoolCapacity { per_pod } = capacity;
    let Drain { timeout_seconds } = drain;
    let taken = |key: &&String| key.starts_with(names::PREFIX) || key.as_str() == names::LABEL_APP;
    if let Some(key) = template.labels.keys().chain(template.annotations.keys()).find(taken) {
        return Err(Invalid(format!("template sets {key}, which is Plenum's own: remove it")));
    }
    let settings = &context.settings;
    let (part, per_pod, image, log) = match role {
        Role::Media => {
            let participants = i64::from(per_pod.participants());
            (RolePart::Media(media(spec)?), participants, &settings.media_image, &settings.media_log)
        }
        Role::Turn => {
            let pool = TurnPool::of(spec)?;
            let allocations = pool.allocations;
            (RolePart::Turn(TurnPart { pool }), allocations, &settings.turn_image, &settings.turn_log)
        }
    };
    let blueprint = Blueprint {
        pool: observed.pool.clone(),
        namespace: observed.namespace.clone(),
        part,
        image: template.image.clone().unwrap_or_else(|| image.clone()),
        pull_policy: settings.image_pull_policy.clone(),
        log: log.clone(),
    };
    let wish = PoolWish {
        replicas: usize::try_from(*replicas).unwrap_or(0),
        slots: blueprint.part.slots(),
        drain_seconds: i64::from(*timeout_seconds),
        revision: blueprint.revision(),
    };
    Ok(ValidPool { wish, blueprint, per_pod })
}

fn media(spec: &RelayPoolSpec) -> Result<MediaPart, Invalid> {
    let Exposure { kind, port_range, address: _, service: _ } = &spec.exposure;
    let port = |port: i32| u16::try_from(port).map_err(|_| Invalid(format!("{port} is not a port")));
    let range = PortRange { min: port(port_range.min)?, max: port(port_range.max)? };
    let workers = port(spec.workers)?;
    if ports::slots(range, workers) == 0 {
        return Err(Invalid("exposure.portRange is too small for one pod, which takes workers + 2 ports".to_owned()));
    }
    let exposure = match kind {
        ExposureType::HostPort => ports::Exposure::HostPort,
        ExposureType::HostNetwork => ports::Exposure::HostNetwork,
        ExposureType::LoadBalancer => {
            return Err(Invalid("exposure.type LoadBalancer is only for role TURN: use HostPort".to_owned()));
        }
    };
    Ok(MediaPart { range, workers, exposure })
}
