//! ICE servers: `POST /v1/ice-servers`, and the `Link` headers of WHIP and WHEP (RFC 9725 section 4.6).

use crate::body::read_text;
use crate::limits::{MAX_ICE_BODY, MAX_POD_NAME, MAX_REGION};
use crate::path::RoomPath;
use crate::service::{Access, IceWish, SessionService, SourceAddress};
use crate::{Refusal, header, parse_room};
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CACHE_CONTROL, LINK};
use http::{HeaderMap, HeaderValue, StatusCode};
use plenum_protocol::ice::{IceServer, IceServers, IceServersRequest, MAX_AVOID};
use plenum_protocol::ids::{RoomName, SessionId};
use plenum_protocol::problem::Code;
use plenum_protocol::room::RoomMode;
use std::fmt::Write as _;

pub(crate) fn routes<S: SessionService>() -> Router<S> {
    let options = async || StatusCode::NO_CONTENT;
    Router::new().route("/v1/ice-servers", post(ice_servers::<S>).options(options))
}

async fn ice_servers<S: SessionService>(
    State(service): State<S>,
    source: Option<Extension<SourceAddress>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let token = header::bearer(&headers)?;
    header::require_media_type(&headers, "application/json")?;
    let (room, mut wish) = parse_ice_request(&read_text(&headers, body, MAX_ICE_BODY).await?)?;
    wish.source = source.map(|Extension(source)| source);
    let access = service.authorize(&room, token).await?;
    let servers = service.ice_servers(&access, wish).await?;
    Ok(([(CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(servers)).into_response())
}

/// The body of `POST /v1/ice-servers`: for which room, and what is wished.
///
/// # Errors
/// What is wrong, in words for the client's author.
pub fn parse_ice_request(text: &str) -> Result<(RoomName, IceWish), Refusal> {
    let bad = |detail: String| Refusal::new(Code::BadRequest, detail);
    let IceServersRequest { namespace, room, region, avoid, participant, mode } = serde_json::from_str(text)
        .map_err(|error| bad(format!("the body is not a request for ICE servers: {error}")))?;
    let room =
        parse_room(&namespace, &room).ok_or_else(|| bad("namespace and room must be the names of a Room".into()))?;
    if region.as_ref().is_some_and(|region| region.is_empty() || region.len() > MAX_REGION) {
        return Err(bad(format!("region must have 1 to {MAX_REGION} bytes, or be left out")));
    }
    if avoid.len() > MAX_AVOID || avoid.iter().any(|pod| pod.len() > MAX_POD_NAME) {
        return Err(bad(format!("avoid may name at most {MAX_AVOID} pods of at most {MAX_POD_NAME} bytes")));
    }
    Ok((room, IceWish { region, avoid, participant, mode, ..IceWish::default() }))
}

/// Adds the ICE servers for a session that is there: it goes on without them when there are none.
pub(crate) async fn add_links<S: SessionService>(
    service: &S,
    access: &Access,
    session: SessionId,
    headers: &mut HeaderMap,
) {
    let wish = IceWish { session: Some(session), mode: Some(RoomMode::MediaServer), ..IceWish::default() };
    match service.ice_servers(access, wish).await {
        Ok(servers) => append(headers, &servers),
        Err(refusal) => tracing::debug!(%refusal, "a session has no ICE servers"),
    }
}

/// Adds them to the answer of an `OPTIONS` that carries a token. A preflight does not, and gets none: making
/// credentials is work (RFC 9725 section 4.6).
pub(crate) async fn add_links_to_options<S: SessionService>(
    service: &S,
    room: Result<RoomPath, Refusal>,
    source: Option<SourceAddress>,
    request: &HeaderMap,
    headers: &mut HeaderMap,
) -> Result<(), Refusal> {
    if request.contains_key(ACCESS_CONTROL_REQUEST_METHOD) || !request.contains_key(AUTHORIZATION) {
        return Ok(());
    }
    let RoomPath(room) = room?;
    let access = service.authorize(&room, header::bearer(request)?).await?;
    let wish = IceWish { source, mode: Some(RoomMode::MediaServer), ..IceWish::default() };
    append(headers, &service.ice_servers(&access, wish).await?);
    // They hold credentials.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(())
}

fn append(headers: &mut HeaderMap, servers: &IceServers) {
    for server in &servers.ice_servers {
        for url in &server.urls {
            match HeaderValue::from_str(&link(url, server)) {
                Ok(mut value) => {
                    value.set_sensitive(server.credential.is_some());
                    headers.append(LINK, value);
                }
                Err(_) => tracing::error!("the URL of an ICE server cannot stand in a header"),
            }
        }
    }
}

fn link(url: &str, server: &IceServer) -> String {
    let mut text = format!("<{url}>; rel=\"ice-server\"");
    if let (Some(username), Some(credential)) = (&server.username, &server.credential) {
        let (username, credential) = (quotable(username), quotable(credential));
        // Writing to a String cannot fail.
        let _infallible =
            write!(text, "; username=\"{username}\"; credential=\"{credential}\"; credential-type=\"password\"");
    }
    text
}

/// For a quoted string (RFC 9110 section 5.6.4).
fn quotable(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_link_quotes_what_it_must() {
        let server =
            IceServer { urls: Vec::new(), username: Some("a\"b".into()), credential: Some("c\\d".into()), relay: None };
        let text = link("turn:192.0.2.1:3478?transport=udp", &server);
        let whole = "<turn:192.0.2.1:3478?transport=udp>; rel=\"ice-server\"; username=\"a\\\"b\"; \
                     credential=\"c\\\\d\"; credential-type=\"password\"";
        assert_eq!(text, whole);
    }

    #[test]
    fn a_wish_is_bounded() {
        let parse = |text: &str| parse_ice_request(text).map(|(_, wish)| wish);
        let joined = parse(r#"{"namespace":"a","room":"b","mode":"MediaServer"}"#).unwrap();
        assert_eq!(joined.mode, Some(RoomMode::MediaServer));
        let wish = parse(r#"{"namespace":"a","room":"b","region":"eu","avoid":["t-0"]}"#).unwrap();
        assert_eq!((wish.region.as_deref(), wish.avoid.as_slice()), (Some("eu"), &["t-0".to_owned()][..]));
        assert_eq!(parse(r#"{"namespace":"a","room":"b"}"#).unwrap(), IceWish::default());
        let many = vec!["p"; MAX_AVOID + 1];
        for bad in [
            serde_json::json!({"namespace": "a"}),
            serde_json::json!({"namespace": "a", "room": "B"}),
            serde_json::json!({"namespace": "a", "room": "b", "participant": "PA_1:media"}),
            serde_json::json!({"namespace": "a", "room": "b", "mode": "Any"}),
            serde_json::json!({"namespace": "a", "room": "b", "region": ""}),
            serde_json::json!({"namespace": "a", "room": "b", "region": "r".repeat(MAX_REGION + 1)}),
            serde_json::json!({"namespace": "a", "room": "b", "avoid": many}),
            serde_json::json!({"namespace": "a", "room": "b", "avoid": ["p".repeat(MAX_POD_NAME + 1)]}),
        ] {
            assert_eq!(parse(&bad.to_string()).unwrap_err().code(), Code::BadRequest, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_body_panics(text in "\\PC{0,200}") {
            prop_assert!(parse_ice_request(&text).is_err() || text.contains("namespace"));
        }
    }
}
