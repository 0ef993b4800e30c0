//! `GET …/flow`: which way the room's media goes. Addresses are personal data, so only a room admin sees them.

use crate::path::RoomPath;
use crate::service::SessionService;
use crate::{Refusal, header};
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use http::{HeaderMap, HeaderValue, StatusCode};
use plenum_protocol::flow::{FlowReport, LegEnd};

pub(crate) fn routes<S: SessionService>() -> Router<S> {
    let options = async || StatusCode::NO_CONTENT;
    Router::new().route("/v1/rooms/{namespace}/{name}/flow", get(report::<S>).options(options))
}

async fn report<S: SessionService>(
    State(service): State<S>,
    RoomPath(room): RoomPath,
    headers: HeaderMap,
) -> Result<([(http::HeaderName, HeaderValue); 1], Json<FlowReport>), Refusal> {
    let access = service.authorize(&room, header::bearer(&headers)?).await?;
    let mut report = service.flow(&access).await?;
    if !access.room_admin {
        hide_addresses(&mut report);
    }
    Ok(([(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(report)))
}

fn hide_addresses(report: &mut FlowReport) {
    for end in report.legs.iter_mut().flat_map(|leg| [&mut leg.client, &mut leg.node]) {
        let LegEnd { candidate_type: _, address, port } = end;
        (*address, *port) = (None, None);
    }
}
