//! Step 4: writes a new binding, and gives the pod its grant. Returns what is so, from which the status is made.

use super::RoomError;
use super::observe::Observed;
use super::plan::{Beside, Planned};
use super::report::{self, Draft};
use super::validate::Invalid;
use crate::context::Context;
use crate::nodes::GrantError;
use crate::planner::{Bound, Cause, PodKey, Unplaced, UnplacedReason};
use crate::pods;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use plenum_api::pool::Role;
use plenum_api::room::{
    Assignment, EndedReason, Endpoint, EndpointPurpose, Protocol, RelayPolicy, RoomPlacement, Topology,
};
use plenum_api::{Room, names};
use plenum_protocol::control::Grant;
use std::sync::Arc;

/// How a bound room stands with its pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Service {
    /// Bound, and the pod has not acknowledged its grant yet.
    Granting,
    /// The pod serves it.
    Serving,
    /// The pod has not answered this leader: what status says stays.
    Unasked,
    /// The pod leaves, and still serves it.
    Leaving(Option<Unplaced>),
    /// The pod cannot be reached.
    Lost(Option<Unplaced>),
}

/// What is so after this step.
pub(super) enum Outcome {
    /// The spec cannot be served.
    Invalid(Invalid),
    /// Bound.
    Bound { placement: RoomPlacement, assignment: Box<Assignment>, service: Service },
    /// Waits for its first participant.
    Awaiting,
    /// Two peers, who need no pod. Unless unset, a third person was to have one, and there is none.
    Peers { unplaced: Option<Unplaced> },
    /// No pod.
    Unplaced { unplaced: Unplaced, lost: bool },
    /// Closed, or ended by itself.
    Over(EndedReason),
}

impl Outcome {
    /// How the room runs with it. A call that is to get a media server goes on as it is until there is one.
    pub(super) fn topology(&self, room: &Room) -> Topology {
        match self {
            Self::Bound { .. } | Self::Awaiting => Topology::MediaServer,
            Self::Peers { .. } => Topology::PeerToPeer,
            Self::Invalid(_) | Self::Unplaced { .. } => room.topology(),
            Self::Over(_) => room.spec.topology,
        }
    }
}

/// The result of this step; a status is made from nothing else.
pub(super) struct Applied {
    /// The Room as the API server has it now.
    pub(super) room: Arc<Room>,
    pub(super) outcome: Outcome,
    /// What was planned beside the binding; unset for a spec that cannot be served.
    pub(super) beside: Option<Beside>,
    /// The pod did not acknowledge, or is awaited: try again soon.
    pub(super) retry: bool,
    /// Pod that is to be told of the new status once it is written.
    pub(super) tell: Option<PodKey>,
}

impl Applied {
    pub(super) fn invalid(observed: &Observed, invalid: Invalid) -> Self {
        Self::settled(observed, Outcome::Invalid(invalid), None)
    }

    fn settled(observed: &Observed, outcome: Outcome, tell: Option<PodKey>) -> Self {
        Self { room: observed.room.clone(), outcome, beside: None, retry: false, tell }
    }
}

/// Applies a plan.
pub(super) async fn apply(
    context: &Context,
    observed: &Observed,
    planned: Planned,
    beside: Beside,
) -> Result<Applied, RoomError> {
    let applied = match planned {
        Planned::Bind { bound, reason, cause } => {
            bind(context, observed, &beside, Binding { bound, reason, cause }).await?
        }
        Planned::Keep(bound) => keep(context, observed, bound).await,
        Planned::Endure { bound, lost, unplaced } => endure(context, observed, bound, lost, unplaced).await,
        Planned::Peers { unplaced } => {
            // The wish for a third person ends by the clock too.
            let retry = unplaced.is_some();
            Applied { retry, ..Applied::settled(observed, Outcome::Peers { unplaced }, None) }
        }
        Planned::Await => Applied::settled(observed, Outcome::Awaiting, None),
        Planned::Unplaced { unplaced, lost } => {
            // Patience ends by the clock, which no watch announces.
            let retry = unplaced.reason == UnplacedReason::PodStarting;
            let outcome = Outcome::Unplaced { unplaced, lost: lost.is_some() };
            Applied { retry, ..Applied::settled(observed, outcome, lost) }
        }
        Planned::Close { reason, pod } => Applied::settled(observed, Outcome::Over(reason), pod),
    };
    Ok(Applied { beside: Some(beside), ..applied })
}

/// A binding to be written.
struct Binding {
    bound: Bound,
    reason: String,
    cause: Cause,
}

async fn bind(context: &Context, observed: &Observed, beside: &Beside, binding: Binding) -> Result<Applied, RoomError> {
    let Binding { bound, reason, cause } = binding;
    let former =
        observed.room.media_assignment().map(|old| PodKey { namespace: old.namespace.clone(), name: old.pod.clone() });
    let Some(assignment) = assignment(context, &bound) else {
        // The pod went between plan and now: the plan is not written, and the next one will see it.
        context.ledger().settle(&observed.room, context.clock.instant());
        return Ok(Applied { retry: true, ..Applied::settled(observed, kept_or_waiting(observed), None) });
    };
    let placement = RoomPlacement {
        epoch: bound.epoch.0,
        region: Some(assignment.region.clone()),
        decided_at: Time(context.clock.timestamp()),
        reason: reason.chars().take(512).collect(),
    };
    let outcome =
        |service| Outcome::Bound { placement: placement.clone(), assignment: Box::new(assignment.clone()), service };
    let draft = Draft::new(context, observed, &outcome(Service::Granting), Some(beside));
    let written = report::write(context, observed, &observed.room, draft).await;
    let room = match written {
        Ok(room) => room,
        Err(error) => {
            context.ledger().settle(&observed.room, context.clock.instant());
            return Err(error);
        }
    };
    context.metrics.binds.inc();
    announce(context, observed, &bound, &placement, cause);
    if let Some(former) = former.filter(|former| *former != bound.pod) {
        context.fleet.kick(&former);
    }
    let granted = grant(context, observed, &bound).await;
    let service = if granted { Service::Serving } else { Service::Granting };
    Ok(Applied { room, outcome: outcome(service), beside: None, retry: !granted, tell: None })
}

fn announce(context: &Context, observed: &Observed, bound: &Bound, placement: &RoomPlacement, cause: Cause) {
    let word = if cause == Cause::Unbound { "Bound" } else { "Rebound" };
    let note = format!("epoch {} on {}: {}", bound.epoch, bound.pod, placement.reason);
    context.events.normal(observed.room.as_ref(), word, note);
    if observed.room.topology() == Topology::PeerToPeer {
        let note = "the room has a media server now: its people go on through it";
        context.events.normal(observed.room.as_ref(), "Upgraded", note);
    }
    tracing::info!(room = %observed.name, pod = %bound.pod, epoch = bound.epoch.0, ?cause, "a room is bound");
}

async fn keep(context: &Context, observed: &Observed, bound: Bound) -> Applied {
    let view = context.fleet.view(&bound.pod);
    let service = match &view.boot {
        None => Service::Unasked,
        Some(_) if grant(context, observed, &bound).await => Service::Serving,
        Some(_) => Service::Granting,
    };
    let retry = service == Service::Granting;
    let mut outcome = bound_outcome(observed, service);
    refresh_endpoints(context, &bound, &mut outcome);
    Applied { retry, ..Applied::settled(observed, outcome, None) }
}

/// The node's addresses may change under a binding: status says where the pod is now.
fn refresh_endpoints(context: &Context, bound: &Bound, outcome: &mut Outcome) {
    let Outcome::Bound { assignment: current, service: Service::Serving, .. } = outcome else { return };
    if let Some(fresh) = assignment(context, bound).filter(|fresh| fresh.endpoints.len() > 1) {
        current.endpoints = fresh.endpoints;
    }
}

async fn endure(
    context: &Context,
    observed: &Observed,
    bound: Bound,
    lost: bool,
    unplaced: Option<Unplaced>,
) -> Applied {
    let service = if lost {
        Service::Lost(unplaced)
    } else {
        // Renews the grant after a change of the leader or the spec; a pod that leaves may refuse, and serves on.
        grant(context, observed, &bound).await;
        Service::Leaving(unplaced)
    };
    Applied::settled(observed, bound_outcome(observed, service), None)
}

/// The pod has its grant, sent now if need be.
async fn grant(context: &Context, observed: &Observed, bound: &Bound) -> bool {
    let spec = &observed.room.spec;
    let grant = Grant {
        uid: observed.uid.clone(),
        room: observed.name.clone(),
        epoch: bound.epoch,
        max_participants: u32::try_from(spec.max_participants(Topology::MediaServer)).unwrap_or(1),
        max_bitrate_kbps: u32::try_from(spec.media.max_bitrate_kbps).unwrap_or(1),
        relay_only: spec.relay.policy == RelayPolicy::Always,
    };
    if !context.ledger().needs_grant(&grant, &bound.boot) {
        return true;
    }
    match context.fleet.grant(&bound.pod, bound.boot.clone(), grant.clone()).await {
        Ok(()) => true,
        Err(error) => {
            if error == GrantError::Declined {
                context.ledger().declined(&grant);
            }
            tracing::info!(room = %observed.name, pod = %bound.pod, %error, "a grant was not acknowledged");
            false
        }
    }
}

/// The binding as status has it.
fn bound_outcome(observed: &Observed, service: Service) -> Outcome {
    let status = observed.room.status.as_ref();
    match (status.and_then(|status| status.placement.clone()), observed.room.media_assignment()) {
        (Some(placement), Some(assignment)) => {
            Outcome::Bound { placement, assignment: Box::new(assignment.clone()), service }
        }
        _ if observed.room.topology() == Topology::PeerToPeer => Outcome::Peers { unplaced: None },
        _ => Outcome::Awaiting,
    }
}

fn kept_or_waiting(observed: &Observed) -> Outcome {
    bound_outcome(observed, Service::Unasked)
}

fn assignment(context: &Context, bound: &Bound) -> Option<Assignment> {
    let pod = context.pod(&bound.pod)?;
    let pool = context.pool(&bound.pod.namespace, pods::pool_of(&pod)?)?;
    let control = pods::control_address(&pod)?;
    let (first, last) = pods::media_ports(&pod)?;
    let node_name = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    let node = node_name.as_deref().and_then(|name| context.node(name));
    let mut endpoints = vec![Endpoint {
        purpose: EndpointPurpose::Control,
        protocol: Protocol::TCP,
        address: control.ip().to_string(),
        port: i32::from(control.port()),
        end_port: None,
    }];
    endpoints.extend(context.fleet.view(&bound.pod).outside.into_iter().map(|address| Endpoint {
        purpose: EndpointPurpose::Media,
        protocol: Protocol::UDP,
        address,
        port: first,
        end_port: (last > first).then_some(last),
    }));
    Some(Assignment {
        role: Role::Media,
        namespace: bound.pod.namespace.clone(),
        pool: pool.name_any(),
        pod: bound.pod.name.clone(),
        boot_id: bound.boot.to_string(),
        node: node_name,
        region: pool.spec.region.clone(),
        zone: node.and_then(|node| node.labels().get(names::TOPOLOGY_ZONE).cloned()),
        endpoints,
    })
}
