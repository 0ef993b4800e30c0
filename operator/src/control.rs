//! The leader's own control endpoint: gateways ask here for a room that waits for its first participant, and operators
//! that wait whether it is alive.

use crate::changes::Change;
use crate::context::Context;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use plenum_protocol::problem::Code;
use plenum_protocol::reach::BindRequest;
use plenum_runtime::http::{JsonBody, ProblemResponse, require_role};
use plenum_runtime::mtls::{PeerRole, RoleKind};
use std::sync::Arc;

/// Longest region name that is taken.
const MAX_REGION: usize = 63;

/// The routes.
pub fn router(context: Arc<Context>) -> Router {
    Router::new().route("/v1/bind", post(bind)).route("/v1/ping", get(ping)).with_state(context)
}

async fn ping() -> StatusCode {
    StatusCode::NO_CONTENT
}

async fn bind(
    State(context): State<Arc<Context>>,
    PeerRole(role): PeerRole,
    JsonBody(request): JsonBody<BindRequest>,
) -> Result<StatusCode, ProblemResponse> {
    require_role(&role, &[RoleKind::Gateway])?;
    if context.may_write().is_err() {
        return Err(ProblemResponse::new(Code::Unavailable, "this operator is not sure to be the leader: ask again"));
    }
    let BindRequest { room, uid, region } = request;
    let region = region.filter(|region| !region.is_empty() && region.len() <= MAX_REGION);
    let known = context.ledger().want(&uid, &room, region, context.clock.instant());
    if !known {
        return Err(ProblemResponse::new(Code::NotFound, format!("there is no Room {room} with that uid")));
    }
    context.changes.send(Change::Wanted(room)).await;
    Ok(StatusCode::ACCEPTED)
}
