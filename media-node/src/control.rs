//! The control API: the leader's sync, the gateways' sessions and sockets. Roles are checked at each call.

mod sessions;
mod socket;
#[cfg(test)]
mod tests;

use crate::node::Node;
use axum::Router;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::routing::{get, patch, post};
use plenum_protocol::control::{SyncReport, SyncRequest};
use plenum_protocol::flow::RoomLegs;
use plenum_protocol::ids::{Epoch, RoomUid};
use plenum_protocol::problem::Code;
use plenum_runtime::http::{Answer, JsonBody, ProblemResponse, require_role};
use plenum_runtime::mtls::{PeerRole, RoleKind};
use plenum_runtime::node::control_router;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::str::FromStr;
use std::sync::Arc;

/// The routes; the caller's role is expected in the request's extensions.
pub(crate) fn router(node: Arc<Node>) -> Router {
    let calls = Router::new()
        .route("/v1/sync", post(sync))
        .route("/v1/rooms/{uid}/sessions", post(sessions::open))
        .route("/v1/rooms/{uid}/legs", get(legs))
        .route("/v1/rooms/{uid}/socket", get(socket::upgrade))
        .route("/v1/sessions/{id}", patch(sessions::patch).delete(sessions::close));
    control_router(calls, node.boot_id().clone()).with_state(node)
}

async fn sync(
    State(node): State<Arc<Node>>,
    PeerRole(role): PeerRole,
    JsonBody(request): JsonBody<SyncRequest>,
) -> Answer<JsonBody<SyncReport>> {
    require_role(&role, &[RoleKind::Operator])?;
    Ok(JsonBody(node.sync(request)?))
}

#[derive(Deserialize)]
struct LegsQuery {
    epoch: Epoch,
}

async fn legs(
    State(node): State<Arc<Node>>,
    PeerRole(role): PeerRole,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<LegsQuery>, QueryRejection>,
) -> Answer<JsonBody<RoomLegs>> {
    require_role(&role, &[RoleKind::Gateway, RoleKind::Operator])?;
    let uid: RoomUid = id(path)?;
    let LegsQuery { epoch } = parameters(query)?;
    Ok(JsonBody(node.room_legs(uid, epoch).await?))
}

/// The identifier in a path.
fn id<T: FromStr<Err: std::fmt::Display>>(path: Result<Path<String>, PathRejection>) -> Answer<T> {
    let bad = |detail: String| ProblemResponse::new(Code::BadRequest, detail);
    let Path(text) = path.map_err(|error| bad(error.body_text()))?;
    text.parse().map_err(|error| bad(format!("the path: {error}")))
}

/// The parameters of a query.
fn parameters<T: DeserializeOwned>(query: Result<Query<T>, QueryRejection>) -> Answer<T> {
    let Query(parameters) = query.map_err(|error| ProblemResponse::new(Code::BadRequest, error.body_text()))?;
    Ok(parameters)
}
