//! Does the leader's process answer? Asked by those who wait, beside looking at its Lease.

use plenum_protocol::control::OPERATOR_SAN;
use plenum_runtime::client::{ControlClient, Target};
use std::time::Duration;

/// How long a leader may take to answer.
const TIMEOUT: Duration = Duration::from_millis(400);

/// One probe. A refusal is an answer too.
pub(super) async fn answers(control: &ControlClient, leader: &Target) -> bool {
    match control.get::<()>(leader, "/v1/ping", TIMEOUT).await {
        Ok(()) => true,
        Err(error) => {
            tracing::debug!(error = %crate::errors::chain(&error), "the leader did not answer a probe");
            error.code().is_some()
        }
    }
}

/// Where a leader listens, by the annotation of its Lease (`https://IP:PORT`).
pub(super) fn target(annotation: &str) -> Option<Target> {
    let address = annotation.strip_prefix("https://")?.parse().ok()?;
    Some(Target::new(address, OPERATOR_SAN))
}
