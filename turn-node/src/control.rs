//! The control API: the leader's sync, questions about allocations. Roles are checked at each call.

#[cfg(test)]
mod tests;

use crate::node::Node;
use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use plenum_protocol::problem::Code;
use plenum_protocol::reach::Ping;
use plenum_protocol::relay::{AllocationAnswer, AllocationQuery, RelaySyncReport, RelaySyncRequest};
use plenum_runtime::http::{JsonBody, ProblemResponse, require_role};
use plenum_runtime::mtls::{PeerRole, RoleKind};
use std::sync::Arc;

/// A handler's outcome.
type Answer<T> = Result<T, ProblemResponse>;

/// The routes; the caller's role is expected in the request's extensions.
pub(crate) fn router(node: Arc<Node>) -> Router {
    Router::new()
        .route("/v1/ping", get(ping))
        .route("/v1/sync", post(sync))
        .route("/v1/allocations", post(allocations))
        .fallback(|| async { ProblemResponse::new(Code::NotFound, "no such call") })
        .method_not_allowed_fallback(|| async { ProblemResponse::new(Code::NotFound, "no such call with this method") })
        .with_state(node)
}

async fn ping(State(node): State<Arc<Node>>) -> JsonBody<Ping> {
    JsonBody(Ping { boot_id: node.boot_id().clone() })
}

async fn sync(
    State(node): State<Arc<Node>>,
    PeerRole(role): PeerRole,
    JsonBody(request): JsonBody<RelaySyncRequest>,
) -> Answer<JsonBody<RelaySyncReport>> {
    require_role(&role, &[RoleKind::Operator])?;
    Ok(JsonBody(node.sync(request)?))
}

async fn allocations(
    State(node): State<Arc<Node>>,
    PeerRole(role): PeerRole,
    JsonBody(query): JsonBody<AllocationQuery>,
) -> Answer<JsonBody<AllocationAnswer>> {
    require_role(&role, &[RoleKind::Gateway, RoleKind::Operator])?;
    Ok(JsonBody(node.query(query).await?))
}
