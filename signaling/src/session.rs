//! What WHIP and WHEP share (RFC 9725): creating a session by POST, and the session resource.

use crate::body::read_text;
use crate::path::{RoomPath, SessionPath};
use crate::service::{Access, NewSession, PatchRequest, SessionService, SourceAddress};
use crate::{Refusal, header, ice};
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use plenum_protocol::control::{MAX_SDP, SessionKind, SessionOpened, SessionPatched};
use plenum_protocol::problem::Code;

/// Media type of offers and answers.
pub(crate) const SDP: &str = "application/sdp";
/// Media type of candidates and ICE restarts (RFC 8840).
pub(crate) const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// Reads the offer of a POST and opens the session. `front` is `whip` or `whep`.
pub(crate) async fn create<S: SessionService>(
    service: &S,
    access: &Access,
    headers: &HeaderMap,
    body: Body,
    (front, kind): (&'static str, SessionKind),
) -> Result<Response, Refusal> {
    header::require_media_type(headers, SDP)?;
    let participant_key = header::participant(headers)?;
    let offer = read_text(headers, body, MAX_SDP).await?;
    if offer.trim().is_empty() {
        return Err(Refusal::new(Code::BadSdp, "the body is empty; send an SDP offer"));
    }
    let opened = service.open_session(access, NewSession { kind, participant_key, offer }).await?;
    let session = opened.session.clone();
    let mut response = created(access, front, opened)?;
    ice::add_links(service, access, session, response.headers_mut()).await;
    Ok(response)
}

/// 201 with the answer.
fn created(access: &Access, front: &'static str, opened: SessionOpened) -> Result<Response, Refusal> {
    let room = &access.room;
    let location = format!("/v1/rooms/{}/{}/{front}/{}", room.namespace, room.name, opened.session);
    let mut response = (StatusCode::CREATED, opened.answer).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(SDP));
    headers.insert(LOCATION, header_value(&location)?);
    headers.insert(ETAG, entity_tag(&opened.etag)?);
    headers.insert(ACCEPT_PATCH, HeaderValue::from_static(FRAGMENT));
    Ok(response)
}

fn entity_tag(tag: &str) -> Result<HeaderValue, Refusal> {
    header_value(&format!("\"{tag}\""))
}

fn header_value(text: &str) -> Result<HeaderValue, Refusal> {
    HeaderValue::from_str(text).map_err(|_| Refusal::new(Code::Internal, "the media node's answer cannot be passed on"))
}

/// `OPTIONS` of an endpoint, with ICE servers for clients that must know them before they make an offer.
pub(crate) async fn endpoint_options<S: SessionService>(
    State(service): State<S>,
    room: Result<RoomPath, Refusal>,
    source: Option<Extension<SourceAddress>>,
    request: HeaderMap,
) -> Result<Response, Refusal> {
    let headers =
        [(ACCEPT_POST, HeaderValue::from_static(SDP)), (ALLOW, HeaderValue::from_static("GET, HEAD, POST, OPTIONS"))];
    let mut response = (StatusCode::OK, headers).into_response();
    let source = source.map(|Extension(source)| source);
    ice::add_links_to_options(&service, room, source, &request, response.headers_mut()).await?;
    Ok(response)
}

/// `OPTIONS` of a session.
pub(crate) async fn resource_options() -> Response {
    let headers = [
        (ACCEPT_PATCH, HeaderValue::from_static(FRAGMENT)),
        (ALLOW, HeaderValue::from_static("GET, HEAD, PATCH, DELETE, OPTIONS")),
    ];
    (StatusCode::OK, headers).into_response()
}

/// `GET` of endpoints and sessions: they have no representation (RFC 9725 section 4.1).
pub(crate) async fn no_content() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// `HEAD` of a WHEP endpoint tells players what it speaks.
pub(crate) async fn sdp_head() -> Response {
    (StatusCode::OK, [(CONTENT_TYPE, HeaderValue::from_static(SDP)), (ACCEPT, HeaderValue::from_static(SDP))])
        .into_response()
}

/// `PATCH` of a session: candidates, or an ICE restart.
pub(crate) async fn patch<S: SessionService>(
    State(service): State<S>,
    SessionPath { room, session }: SessionPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let access = service.authorize(&room, header::bearer(&headers)?).await?;
    header::require_media_type(&headers, FRAGMENT)?;
    let if_match = header::if_match(&headers)?;
    let fragment = read_text(&headers, body, MAX_SDP).await?;
    let patch = PatchRequest { session: session.clone(), if_match, fragment };
    match service.patch_session(&access, patch).await? {
        SessionPatched::Trickled => Ok(StatusCode::NO_CONTENT.into_response()),
        SessionPatched::Restarted { fragment, etag } => {
            let headers = [(CONTENT_TYPE, HeaderValue::from_static(FRAGMENT)), (ETAG, entity_tag(&etag)?)];
            let mut response = (StatusCode::OK, headers, fragment).into_response();
            ice::add_links(&service, &access, session, response.headers_mut()).await;
            Ok(response)
        }
    }
}

/// `DELETE` of a session.
pub(crate) async fn delete<S: SessionService>(
    State(service): State<S>,
    SessionPath { room, session }: SessionPath,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    let access = service.authorize(&room, header::bearer(&headers)?).await?;
    service.close_session(&access, &session).await?;
    Ok(StatusCode::OK)
}
