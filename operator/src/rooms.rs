//! Reconciles Rooms: observe, validate, plan, apply, report.
//!
//! A bind is two status writes: the binding before the pod gets its grant, and Ready after the pod has acknowledged it.

mod apply;
mod expire;
mod observe;
mod plan;
mod report;
mod validate;

use crate::context::Context;
use crate::lease::NotLeader;
use crate::metrics::{KindLabel, ReconcileLabels};
use kube::runtime::controller::Action;
use plenum_api::Room;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Pause after a conflict: the watch brings the newer object meanwhile.
const AFTER_CONFLICT: Duration = Duration::from_millis(50);
/// Pause after an error.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// Why a reconcile is tried again.
#[derive(Debug, thiserror::Error)]
pub enum RoomError {
    /// This process is not sure to lead.
    #[error(transparent)]
    NotLeader(#[from] NotLeader),
    /// The API server did not take a status.
    #[error("writing the status of Room {name}")]
    Write {
        /// Namespace and name.
        name: String,
        /// Why.
        #[source]
        source: kube::Error,
    },
    /// The API server did not delete it.
    #[error("deleting Room {name}, which has been over for long enough")]
    Delete {
        /// Namespace and name.
        name: String,
        /// Why.
        #[source]
        source: kube::Error,
    },
}

/// Brings one Room towards what it wants.
///
/// # Errors
/// See [`RoomError`]; the Room is tried again.
pub async fn reconcile(room: Arc<Room>, context: Arc<Context>) -> Result<Action, RoomError> {
    context.may_write()?;
    let began = Instant::now();
    let labels = ReconcileLabels { kind: KindLabel::Room };
    context.metrics.reconciles.get_or_create(&labels).inc();
    let result = steps(room, &context).await;
    context.metrics.reconcile_seconds.get_or_create(&labels).observe(began.elapsed().as_secs_f64());
    result
}

async fn steps(room: Arc<Room>, context: &Arc<Context>) -> Result<Action, RoomError> {
    let Some(observed) = observe::observe(context, room) else { return Ok(Action::await_change()) };
    let applied = match validate::validate(&observed) {
        Ok(valid) => {
            let (planned, beside) = plan::plan(context, &observed, &valid);
            if beside.life.expired {
                return expire::expire(context, &observed).await;
            }
            apply::apply(context, &observed, planned, beside).await?
        }
        Err(invalid) => apply::Applied::invalid(&observed, invalid),
    };
    report::report(context, &observed, applied).await
}

/// What to do after an error.
pub fn on_error(_room: Arc<Room>, error: &RoomError, context: Arc<Context>) -> Action {
    match error {
        RoomError::NotLeader(_) => return Action::requeue(AFTER_ERROR),
        RoomError::Write { source, .. } | RoomError::Delete { source, .. } => {
            if crate::errors::is_conflict(source) {
                return Action::requeue(AFTER_CONFLICT);
            }
            if crate::errors::is_not_found(source) {
                return Action::await_change();
            }
        }
    }
    context.metrics.reconcile_errors.get_or_create(&ReconcileLabels { kind: KindLabel::Room }).inc();
    tracing::warn!(error = %crate::errors::chain(error), "a Room is tried again");
    Action::requeue(AFTER_ERROR)
}

#[cfg(test)]
mod tests;
