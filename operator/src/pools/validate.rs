//! Step 2: a pool whose pods can be made.

use super::observe::Observed;
use super::pod::Blueprint;
use crate::context::Context;
use crate::planner::PoolWish;
use plenum_api::pool::{Drain, ExposureType, PoolCapacity, Role};
use plenum_api::{RelayPoolSpec, names};
use plenum_protocol::ports::{self, Exposure, PortRange};

/// A spec that cannot be served, and what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Invalid(pub(super) String);

/// A pool whose pods can be made.
pub(super) struct ValidPool {
    pub(super) wish: PoolWish,
    pub(super) blueprint: Blueprint,
    pub(super) per_pod: i64,
}

/// A new field of the spec is a compile error here, not a silent skip.
pub(super) fn validate(context: &Context, observed: &Observed) -> Result<ValidPool, Invalid> {
    let RelayPoolSpec { role, region, zones, replicas, allowed_rooms: _, workers, template, exposure, capacity, drain } =
        &observed.pool.spec;
    let Role::Media = role;
    let PoolCapacity { per_pod } = capacity;
    let Drain { timeout_seconds } = drain;
    let port = |port: i32| u16::try_from(port).map_err(|_| Invalid(format!("{port} is not a port")));
    let range = PortRange { min: port(exposure.port_range.min)?, max: port(exposure.port_range.max)? };
    let worker_count = port(*workers)?;
    let slots = ports::slots(range, worker_count);
    if slots == 0 {
        return Err(Invalid("exposure.portRange is too small for one pod, which takes workers + 2 ports".to_owned()));
    }
    let taken = |key: &&String| key.starts_with(names::PREFIX) || key.as_str() == names::LABEL_APP;
    if let Some(key) = template.labels.keys().chain(template.annotations.keys()).find(taken) {
        return Err(Invalid(format!("template sets {key}, which is Plenum's own: remove it")));
    }
    let exposure_kind = match exposure.kind {
        ExposureType::HostPort => Exposure::HostPort,
        ExposureType::HostNetwork => Exposure::HostNetwork,
    };
    let blueprint = Blueprint {
        pool: observed.pool.clone(),
        namespace: observed.namespace.clone(),
        region: region.clone(),
        zones: zones.clone(),
        template: template.clone(),
        range,
        workers: worker_count,
        exposure: exposure_kind,
        image: template.image.clone().unwrap_or_else(|| context.settings.media_image.clone()),
        pull_policy: context.settings.image_pull_policy.clone(),
        log: context.settings.media_log.clone(),
    };
    let wish = PoolWish {
        replicas: usize::try_from(*replicas).unwrap_or(0),
        slots,
        drain_seconds: i64::from(*timeout_seconds),
        revision: blueprint.revision(),
    };
    Ok(ValidPool { wish, blueprint, per_pod: i64::from(per_pod.participants) })
}
