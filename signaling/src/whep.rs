//! WHEP (draft-ietf-wish-whep): the client receives one publication, `?publication=` or the oldest.

use crate::path::RoomPath;
use crate::service::SessionService;
use crate::{Refusal, header, session};
use axum::Router;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::get;
use http::HeaderMap;
use plenum_protocol::control::SessionKind;
use plenum_protocol::ids::PublicationId;
use plenum_protocol::problem::Code;
use serde::Deserialize;

#[derive(Deserialize)]
struct WhepQuery {
    publication: Option<PublicationId>,
}

pub(crate) fn routes<S: SessionService>() -> Router<S> {
    let endpoint =
        get(session::no_content).head(session::sdp_head).post(subscribe::<S>).options(session::endpoint_options::<S>);
    let resource = get(session::no_content)
        .patch(session::patch::<S>)
        .delete(session::delete::<S>)
        .options(session::resource_options);
    Router::new()
        .route("/v1/rooms/{namespace}/{name}/whep", endpoint)
        .route("/v1/rooms/{namespace}/{name}/whep/{session}", resource)
}

async fn subscribe<S: SessionService>(
    State(service): State<S>,
    RoomPath(room): RoomPath,
    query: Result<Query<WhepQuery>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let access = service.authorize(&room, header::bearer(&headers)?).await?;
    if !access.can_subscribe {
        return Err(Refusal::new(Code::Forbidden, "this join token does not allow subscribing (canSubscribe)"));
    }
    let Query(WhepQuery { publication }) =
        query.map_err(|_| Refusal::new(Code::BadRequest, "the query parameter publication is not a publication id"))?;
    session::create(&service, &access, &headers, body, ("whep", SessionKind::Subscribe { publication })).await
}
