//! The control API: the leader's sync, questions about allocations. Roles are checked at each call.

#[cfg(test)]
mod tests;

use crate::node::Node;
use axum::Router;
use axum::extract::State;
use axum::routing::post;
use plenum_protocol::relay::{AllocationAnswer, AllocationQuery, RelaySyncReport, RelaySyncRequest};
use plenum_runtime::http::{Answer, JsonBody, require_role};
use plenum_runtime::mtls::{PeerRole, RoleKind};
use plenum_runtime::node::control_router;
use std::sync::Arc;

/// The routes; the caller's role is expected in the request's extensions.
pub(crate) fn router(node: Arc<Node>) -> Router {
    let calls = Router::new().route("/v1/sync", post(sync)).route("/v1/allocations", post(allocations));
    control_router(calls, node.boot_id().clone()).with_state(node)
}

async fn sync(
    State(node): State<Arc<Node>>,
    PeerRole(role): PeerRole,
    JsonBody(request): JsonBody<RelaySyncRequest>,
) -> Answer<JsonBody<RelaySyncReport>> {
    require_role(&role, &[RoleKind::Operator])?;
    let configured = request.config.is_some();
    let report = node.sync(request)?;
    if configured {
        node.settle().await?;
    }
    Ok(JsonBody(report))
}

async fn allocations(
    State(node): State<Arc<Node>>,
    PeerRole(role): PeerRole,
    JsonBody(query): JsonBody<AllocationQuery>,
) -> Answer<JsonBody<AllocationAnswer>> {
    require_role(&role, &[RoleKind::Gateway, RoleKind::Operator])?;
    Ok(JsonBody(node.query(query).await?))
}
