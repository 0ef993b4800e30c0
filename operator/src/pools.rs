//! Reconciles RelayPools: observe, validate, plan, apply, report. A pool owns its pods directly.

pub mod address;
mod apply;
mod observe;
mod pod;
mod report;
pub mod service;
mod validate;

use crate::context::Context;
use crate::identities::IdentityError;
use crate::lease::NotLeader;
use crate::metrics::{KindLabel, ReconcileLabels};
use crate::planner::plan_pool;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::controller::Action;
use plenum_api::RelayPool;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use report::Pace;

/// Pause after an error.
const AFTER_ERROR: Duration = Duration::from_secs(2);
/// Pause after a conflict.
const AFTER_CONFLICT: Duration = Duration::from_millis(100);

/// Why a reconcile is tried again.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// This process is not sure to lead.
    #[error(transparent)]
    NotLeader(#[from] NotLeader),
    /// The certificate of the pods could not be put into the namespace.
    #[error("the certificate of pods in namespace {namespace}")]
    Identity {
        /// Namespace.
        namespace: String,
        /// Why.
        #[source]
        source: IdentityError,
    },
    /// The API server did not take a change.
    #[error("{what} {name}")]
    Write {
        /// What was done to what kind.
        what: &'static str,
        /// Namespace and name.
        name: String,
        /// Why.
        #[source]
        source: kube::Error,
    },
}

/// Brings one RelayPool towards what it wants.
///
/// # Errors
/// See [`PoolError`]; the RelayPool is tried again.
pub async fn reconcile(pool: Arc<RelayPool>, context: Arc<Context>) -> Result<Action, PoolError> {
    context.may_write()?;
    let began = Instant::now();
    let labels = ReconcileLabels { kind: KindLabel::RelayPool };
    context.metrics.reconciles.get_or_create(&labels).inc();
    let result = steps(pool, &context).await;
    context.metrics.reconcile_seconds.get_or_create(&labels).observe(began.elapsed().as_secs_f64());
    result
}

async fn steps(pool: Arc<RelayPool>, context: &Arc<Context>) -> Result<Action, PoolError> {
    let Some(observed) = observe::observe(context, pool) else { return Ok(Action::await_change()) };
    let applied = match validate::validate(context, &observed) {
        Ok(valid) => {
            let actions = plan_pool(&valid.wish, &observed.planned, Timestamp::now().as_second());
            apply::apply(context, &observed, &valid, actions).await?
        }
        Err(invalid) => apply::Applied::invalid(invalid),
    };
    report::report(context, &observed.pool, applied).await
}

/// What to do after an error.
pub fn on_error(_pool: Arc<RelayPool>, error: &PoolError, context: Arc<Context>) -> Action {
    match error {
        PoolError::NotLeader(_) => return Action::requeue(AFTER_ERROR),
        PoolError::Write { source, .. } if crate::errors::is_conflict(source) => {
            return Action::requeue(AFTER_CONFLICT);
        }
        PoolError::Write { .. } | PoolError::Identity { .. } => {}
    }
    context.metrics.reconcile_errors.get_or_create(&ReconcileLabels { kind: KindLabel::RelayPool }).inc();
    tracing::warn!(error = %crate::errors::chain(error), "a RelayPool is tried again");
    Action::requeue(AFTER_ERROR)
}
