//! WHIP (RFC 9725): the client sends.

use crate::path::RoomPath;
use crate::service::SessionService;
use crate::{Refusal, header, session};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::HeaderMap;
use plenum_protocol::control::SessionKind;
use plenum_protocol::problem::Code;

pub(crate) fn routes<S: SessionService>() -> Router<S> {
    let endpoint = get(session::no_content).post(publish::<S>).options(session::endpoint_options::<S>);
    let resource = get(session::no_content)
        .patch(session::patch::<S>)
        .delete(session::delete::<S>)
        .options(session::resource_options);
    Router::new()
        .route("/v1/rooms/{namespace}/{name}/whip", endpoint)
        .route("/v1/rooms/{namespace}/{name}/whip/{session}", resource)
}

async fn publish<S: SessionService>(
    State(service): State<S>,
    RoomPath(room): RoomPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let access = service.authorize(&room, header::bearer(&headers)?).await?;
    if !access.can_publish {
        return Err(Refusal::new(Code::Forbidden, "this join token does not allow publishing (canPublish)"));
    }
    session::create(&service, &access, &headers, body, ("whip", SessionKind::Publish)).await
}
