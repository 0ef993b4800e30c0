//! The room socket: one WebSocket per client, at the front of a [`RoomConnection`].
//!
//! Owns deadlines, sizes, rates and keep-alive of the client's side. Must not interpret rooms: messages pass through.

mod connection;

use crate::limits::JOIN_DEADLINE;
use crate::path::RoomPath;
use crate::service::{JoinRequest, SessionService, SourceAddress};
use crate::{Refusal, RoomConnection};
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use connection::Connection;
use http::{HeaderMap, StatusCode, header};
use plenum_protocol::ids::RoomName;
use plenum_protocol::problem::Code;
use plenum_protocol::room::{ClientMessage, MAX_MESSAGE, MAX_VIEWS, SUBPROTOCOL};
use tokio::time::timeout;

/// Longest display name, in bytes.
const MAX_NAME: usize = 128;

pub(crate) fn routes<S: SessionService>() -> Router<S> {
    let options = async || StatusCode::NO_CONTENT;
    Router::new().route("/v1/rooms/{namespace}/{name}/socket", get(upgrade::<S>).options(options))
}

/// What a client may say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientFrame {
    /// `{"type":"ping"}`, answered with `{"type":"pong"}` at once: browsers cannot send WebSocket pings, and notice by
    /// this that a gateway is dead. The room does not hear of it.
    Ping,
    /// Something for the room.
    Room(ClientMessage),
}

/// Answer to [`ClientFrame::Ping`].
const PONG: &str = r#"{"type":"pong"}"#;

/// A text frame of a client.
///
/// # Errors
/// What is wrong, in words for the client's author.
pub fn parse_client_frame(text: &str) -> Result<ClientFrame, String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase", tag = "type")]
    enum Hop {
        Ping,
    }
    if text.len() > MAX_MESSAGE {
        return Err(format!("a message may have at most {MAX_MESSAGE} bytes"));
    }
    if serde_json::from_str::<Hop>(text).is_ok_and(|Hop::Ping| true) {
        return Ok(ClientFrame::Ping);
    }
    let message = serde_json::from_str(text).map_err(|error| format!("this is not a room message: {error}"))?;
    match &message {
        ClientMessage::View { legs } if legs.len() > MAX_VIEWS => {
            Err(format!("a view may hold at most {MAX_VIEWS} legs"))
        }
        ClientMessage::Join { name: Some(name), .. } if name.len() > MAX_NAME || name.chars().any(char::is_control) => {
            Err(format!("a name may have at most {MAX_NAME} bytes and no control characters"))
        }
        ClientMessage::Signal { to: _, signal } => {
            signal.check(text.len()).map_err(|error| error.to_string())?;
            Ok(ClientFrame::Room(message))
        }
        _ => Ok(ClientFrame::Room(message)),
    }
}

async fn upgrade<S: SessionService>(
    State(service): State<S>,
    RoomPath(room): RoomPath,
    source: Option<Extension<SourceAddress>>,
    headers: HeaderMap,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(socket) = socket else {
        let detail = "this is a WebSocket; connect with an upgrade request";
        return Refusal::with_status(StatusCode::UPGRADE_REQUIRED, Code::BadRequest, detail).into_response();
    };
    if !offers_subprotocol(&headers) {
        let detail = format!("the client must offer the WebSocket subprotocol {SUBPROTOCOL}");
        return Refusal::new(Code::BadRequest, detail).into_response();
    }
    let source = source.map(|Extension(source)| source);
    socket
        .protocols([SUBPROTOCOL])
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .max_write_buffer_size(4 * MAX_MESSAGE)
        .on_failed_upgrade(|error| tracing::debug!(%error, "room socket upgrade failed"))
        .on_upgrade(move |socket| run(service, room, source, socket))
}

fn offers_subprotocol(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(',')).any(|one| one.trim() == SUBPROTOCOL)
}

async fn run<S: SessionService>(service: S, room: RoomName, source: Option<SourceAddress>, socket: WebSocket) {
    let mut connection = Connection::new(socket);
    match join(&service, &room, source, &mut connection).await {
        Ok(Some(room_side)) => connection.pipe(room_side).await,
        Ok(None) => {}
        Err(refusal) => {
            let code = match refusal.problem.status {
                500.. => close_code::AGAIN,
                _ => close_code::POLICY,
            };
            connection.refuse(refusal.code(), refusal.problem.detail).await;
            connection.close(code, "join refused").await;
        }
    }
}

/// Waits for `join` and passes it on; `None` when the client went.
async fn join<S: SessionService>(
    service: &S,
    room: &RoomName,
    source: Option<SourceAddress>,
    connection: &mut Connection,
) -> Result<Option<RoomConnection>, Refusal> {
    let first = timeout(JOIN_DEADLINE, first_message(connection)).await;
    let late = |_| Refusal::new(Code::BadRequest, "no join message came within five seconds");
    let Some(text) = first.map_err(late)? else { return Ok(None) };
    let frame = parse_client_frame(&text).map_err(|detail| Refusal::new(Code::BadRequest, detail))?;
    let ClientFrame::Room(ClientMessage::Join { token, name, instance }) = frame else {
        return Err(Refusal::new(Code::BadRequest, "the first message must be join"));
    };
    let access = service.authorize(room, &token).await?;
    service.join(&access, JoinRequest { name, instance, source }).await.map(Some)
}

async fn first_message(connection: &mut Connection) -> Option<String> {
    loop {
        match connection.next().await? {
            Message::Text(text) => return Some(text.as_str().to_owned()),
            Message::Binary(_) => return Some(String::new()),
            Message::Close(_) => return None,
            Message::Ping(_) | Message::Pong(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_of_an_unknown_type_is_explained() {
        let detail = parse_client_frame(r#"{"type":"dance"}"#).unwrap_err();
        assert!(detail.contains("dance") && detail.contains("join"), "{detail}");
    }

    #[test]
    fn a_ping_is_between_client_and_gateway() {
        assert_eq!(parse_client_frame(r#"{"type":"ping"}"#), Ok(ClientFrame::Ping));
        assert_eq!(parse_client_frame(r#"{"type":"leave"}"#), Ok(ClientFrame::Room(ClientMessage::Leave)));
    }

    #[test]
    fn signals_and_instances_are_bounded() {
        let candidate = |line: usize| {
            let candidate = serde_json::json!({"candidate": "c".repeat(line)});
            serde_json::json!({"type": "signal", "to": "PA_1", "kind": "candidate", "candidate": candidate}).to_string()
        };
        assert!(parse_client_frame(&candidate(1_024)).is_ok());
        assert!(parse_client_frame(&candidate(1_025)).unwrap_err().contains("1024 bytes"));
        let offer = |sdp: usize| {
            let sdp = "v".repeat(sdp);
            serde_json::json!({"type": "signal", "to": "PA_1", "kind": "description", "sdpType": "offer", "sdp": sdp})
        };
        assert!(parse_client_frame(&offer(50_000).to_string()).is_ok());
        assert!(parse_client_frame(&offer(62_000).to_string()).is_err());
        let join = |instance: &str| serde_json::json!({"type": "join", "token": "t", "instance": instance}).to_string();
        assert!(parse_client_frame(&join("AbC_-019")).is_ok());
        assert!(parse_client_frame(&join("a.b")).unwrap_err().contains("instance"));
    }

    #[test]
    fn names_are_bounded() {
        let join = |name: &str| format!(r#"{{"type":"join","token":"t","name":{}}}"#, serde_json::json!(name));
        assert!(parse_client_frame(&join("Ann")).is_ok());
        assert!(parse_client_frame(&join(&"a".repeat(129))).is_err());
        assert!(parse_client_frame(&join("a\nb")).is_err());
    }

    proptest! {
        #[test]
        fn no_message_panics(text in "\\PC{0,300}") {
            prop_assert!(parse_client_frame(&text).is_err() || text.contains("type"));
        }
    }
}
