//! Sessions on behalf of clients; gateways only.

use super::{id, parameters};
use crate::node::Node;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use plenum_protocol::control::{MAX_SDP, OpenSession, PatchSession, SessionOpened, SessionPatched};
use plenum_protocol::ids::{RoomUid, SessionId};
use plenum_protocol::problem::Code;
use plenum_runtime::http::{Answer, JsonBody, ProblemResponse, require_role};
use plenum_runtime::mtls::{PeerRole, RoleKind};
use serde::Deserialize;
use std::sync::Arc;

pub(super) async fn open(
    State(node): State<Arc<Node>>,
    PeerRole(role): PeerRole,
    path: Result<Path<String>, PathRejection>,
    JsonBody(request): JsonBody<OpenSession>,
) -> Answer<JsonBody<SessionOpened>> {
    require_role(&role, &[RoleKind::Gateway])?;
    let uid: RoomUid = id(path)?;
    check_size("the SDP offer", &request.offer)?;
    // A task of its own: a gateway that hangs up half-way must not leave half a session.
    let opening = tokio::spawn(async move { node.open_session(uid, request).await });
    let opened = opening.await.map_err(|error| {
        tracing::error!(%error, "opening a session broke");
        ProblemResponse::new(Code::Internal, "opening the session failed")
    })?;
    Ok(JsonBody(opened?))
}

pub(super) async fn patch(
    State(node): State<Arc<Node>>,
    PeerRole(role): PeerRole,
    path: Result<Path<String>, PathRejection>,
    JsonBody(request): JsonBody<PatchSession>,
) -> Answer<JsonBody<SessionPatched>> {
    require_role(&role, &[RoleKind::Gateway])?;
    let session: SessionId = id(path)?;
    check_size("the SDP fragment", &request.fragment)?;
    Ok(JsonBody(node.patch_session(session, request).await?))
}

#[derive(Deserialize)]
pub(super) struct CloseQuery {
    room: RoomUid,
}

pub(super) async fn close(
    State(node): State<Arc<Node>>,
    PeerRole(role): PeerRole,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<CloseQuery>, QueryRejection>,
) -> Answer<()> {
    require_role(&role, &[RoleKind::Gateway])?;
    let session: SessionId = id(path)?;
    let CloseQuery { room } = parameters(query)?;
    Ok(node.close_session(&room, &session)?)
}

fn check_size(what: &str, text: &str) -> Answer<()> {
    if text.len() > MAX_SDP {
        return Err(ProblemResponse::new(Code::TooLarge, format!("{what} is larger than {MAX_SDP} bytes")));
    }
    Ok(())
}
