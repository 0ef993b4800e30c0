//! The room socket over loopback.

use crate::fake::{Fake, RoomEnd};
use futures_util::{SinkExt as _, StreamExt as _};
use plenum_protocol::peer::Signal;
use plenum_protocol::problem::Code;
use plenum_protocol::room::{ClientMessage, RejoinReason, SUBPROTOCOL, ServerMessage};
use plenum_signaling::limits::{MESSAGE_BURST, SIGNAL_BURST};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;
const DEADLINE: Duration = Duration::from_secs(20);
const JOIN: &str = r#"{"type":"join","token":"good","name":"Ann","instance":"ann-00000001"}"#;

async fn serve(fake: Fake) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/v1/rooms/team-a/demo/socket", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, plenum_signaling::router(fake)).await });
    url
}

async fn connect(url: &str, subprotocol: &'static str) -> Result<Client, Error> {
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", subprotocol.parse().unwrap());
    tokio_tungstenite::connect_async(request).await.map(|(client, _)| client)
}

/// A client that has joined, with the room's end of its connection.
async fn joined() -> (Client, RoomEnd, mpsc::Receiver<RoomEnd>, Fake) {
    let (fake, mut rooms) = Fake::new();
    let mut client = connect(&serve(fake.clone()).await, SUBPROTOCOL).await.unwrap();
    client.send(Message::text(JOIN)).await.unwrap();
    let room = timeout(DEADLINE, rooms.recv()).await.unwrap().unwrap();
    (client, room, rooms, fake)
}

/// The next message that is not a ping, or the close code.
async fn next(client: &mut Client) -> Result<ServerMessage, u16> {
    loop {
        match timeout(DEADLINE, client.next()).await.unwrap() {
            Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
            Some(Ok(Message::Close(frame))) => return Err(frame.map_or(0, |frame| frame.code.into())),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Err(1),
        }
    }
}

async fn refused(client: &mut Client) -> (Code, u16) {
    let Ok(ServerMessage::Error { code, .. }) = next(client).await else { panic!("expected an error message") };
    (code, next(client).await.unwrap_err())
}

#[tokio::test]
async fn messages_pass_both_ways_after_the_join() {
    let (mut client, mut room, _rooms, fake) = joined().await;
    assert_eq!(fake.asked.lock().unwrap().joins[0].name.as_deref(), Some("Ann"));
    let left = ServerMessage::ParticipantLeft { participant: "PA_9".parse().unwrap() };
    room.to_client.send(left.clone()).await.unwrap();
    assert_eq!(next(&mut client).await, Ok(left));
    client.send(Message::text(r#"{"type":"view","legs":[]}"#)).await.unwrap();
    let view = timeout(DEADLINE, room.from_client.recv()).await.unwrap();
    assert_eq!(view, Some(ClientMessage::View { legs: Vec::new() }));
}

#[tokio::test]
async fn a_ping_is_answered_without_the_room() {
    let (mut client, room, _rooms, _fake) = joined().await;
    client.send(Message::text(r#"{"type":"ping"}"#)).await.unwrap();
    let answer = timeout(DEADLINE, client.next()).await.unwrap().unwrap().unwrap();
    let answer =
        if answer.is_ping() { timeout(DEADLINE, client.next()).await.unwrap().unwrap().unwrap() } else { answer };
    assert_eq!(answer, Message::text(r#"{"type":"pong"}"#));
    assert!(room.from_client.is_empty());
}

#[tokio::test]
async fn views_that_come_too_soon_are_dropped() {
    let (mut client, mut room, _rooms, _fake) = joined().await;
    for _ in 0..5 {
        client.send(Message::text(r#"{"type":"view","legs":[]}"#)).await.unwrap();
    }
    client.send(Message::text(r#"{"type":"leave"}"#)).await.unwrap();
    assert_eq!(next(&mut client).await, Err(1000));
    drop(client); // else the server waits for its close
    let mut heard = Vec::new();
    while let Some(message) = timeout(DEADLINE, room.from_client.recv()).await.unwrap() {
        heard.push(message);
    }
    assert_eq!(heard, [ClientMessage::View { legs: Vec::new() }, ClientMessage::Leave]);
}

#[tokio::test]
async fn the_room_hears_a_client_that_breaks_off() {
    let (client, mut room, _rooms, _fake) = joined().await;
    drop(client);
    assert_eq!(timeout(DEADLINE, room.from_client.recv()).await.unwrap(), Some(ClientMessage::Leave));
}

#[tokio::test]
async fn rejoin_and_ended_are_the_last_messages() {
    for (last, close) in [
        (ServerMessage::Rejoin { reason: RejoinReason::Rebound, within_millis: 500 }, 1001),
        (ServerMessage::Ended { detail: "closed".into() }, 1000),
    ] {
        let (mut client, room, _rooms, _fake) = joined().await;
        room.to_client.send(last.clone()).await.unwrap();
        assert_eq!(next(&mut client).await, Ok(last));
        assert_eq!(next(&mut client).await, Err(close));
    }
}

#[tokio::test]
async fn a_room_that_goes_silently_closes_the_socket_with_try_again() {
    let (mut client, room, _rooms, _fake) = joined().await;
    drop(room);
    assert_eq!(next(&mut client).await, Err(1013));
}

#[tokio::test]
async fn a_refused_join_says_why_and_closes() {
    for (first, code, close) in [
        (r#"{"type":"join","token":"bad"}"#, Code::Unauthorized, 1008),
        (r#"{"type":"leave"}"#, Code::BadRequest, 1008),
        ("{", Code::BadRequest, 1008),
    ] {
        let (fake, _rooms) = Fake::new();
        let mut client = connect(&serve(fake).await, SUBPROTOCOL).await.unwrap();
        client.send(Message::text(first)).await.unwrap();
        assert_eq!(refused(&mut client).await, (code, close), "{first}");
    }
    let mut client = connect(&serve(Fake::refusing(Code::Unavailable)).await, SUBPROTOCOL).await.unwrap();
    client.send(Message::text(JOIN)).await.unwrap();
    assert_eq!(refused(&mut client).await, (Code::Unavailable, 1013));
}

#[tokio::test]
async fn a_client_that_never_joins_is_sent_away() {
    let (fake, _rooms) = Fake::new();
    let mut client = connect(&serve(fake).await, SUBPROTOCOL).await.unwrap();
    assert_eq!(refused(&mut client).await, (Code::BadRequest, 1008));
}

#[tokio::test]
async fn the_subprotocol_must_be_offered() {
    let (fake, _rooms) = Fake::new();
    let Err(Error::Http(response)) = connect(&serve(fake).await, "chat").await else { panic!("expected a refusal") };
    assert_eq!(response.status(), 400);
}

#[tokio::test]
async fn bad_messages_are_explained_and_the_socket_lives() {
    let (mut client, room, _rooms, _fake) = joined().await;
    for bad in [Message::text("{"), Message::text(JOIN), Message::binary(vec![1u8])] {
        client.send(bad).await.unwrap();
        assert!(matches!(next(&mut client).await, Ok(ServerMessage::Error { code: Code::BadRequest, .. })));
    }
    let joined = ServerMessage::Ended { detail: "still here".into() };
    room.to_client.send(joined.clone()).await.unwrap();
    assert_eq!(next(&mut client).await, Ok(joined));
}

#[tokio::test]
async fn a_flood_of_messages_ends_the_socket() {
    let (mut client, mut room, _rooms, _fake) = joined().await;
    for _ in 0..=MESSAGE_BURST + 20 {
        // Fails once the server has closed.
        if client.send(Message::text(r#"{"type":"view","legs":[]}"#)).await.is_err() {
            break;
        }
    }
    assert_eq!(refused(&mut client).await, (Code::RateLimited, 1008));
    drop(client); // else the server waits for its close
    while let Some(message) = timeout(DEADLINE, room.from_client.recv()).await.unwrap() {
        assert!(matches!(message, ClientMessage::View { .. } | ClientMessage::Leave));
    }
}

const BYE: &str = r#"{"type":"signal","to":"PA_2","kind":"bye"}"#;

#[tokio::test]
async fn the_burst_of_a_negotiation_passes_beside_other_messages() {
    let (mut client, mut room, _rooms, fake) = joined().await;
    assert_eq!(fake.asked.lock().unwrap().joins[0].instance.as_ref().map(|own| own.as_str()), Some("ann-00000001"));
    for _ in 0..SIGNAL_BURST {
        client.send(Message::text(BYE)).await.unwrap();
        let signal = ClientMessage::Signal { to: "PA_2".parse().unwrap(), signal: Signal::Bye };
        assert_eq!(timeout(DEADLINE, room.from_client.recv()).await.unwrap(), Some(signal));
    }
    client.send(Message::text(r#"{"type":"view","legs":[]}"#)).await.unwrap();
    let view = timeout(DEADLINE, room.from_client.recv()).await.unwrap();
    assert_eq!(view, Some(ClientMessage::View { legs: Vec::new() }));
}

#[tokio::test]
async fn a_flood_of_signals_by_number_or_by_bytes_ends_the_socket() {
    let sdp = "v".repeat(59_000);
    let offer =
        serde_json::json!({"type": "signal", "to": "PA_2", "kind": "description", "sdpType": "offer", "sdp": sdp});
    for (flood, count) in [(BYE.to_owned(), SIGNAL_BURST + 60), (offer.to_string(), 8)] {
        let (mut client, mut room, _rooms, _fake) = joined().await;
        let mut refusal = None;
        for _ in 0..count {
            client.send(Message::text(flood.clone())).await.unwrap();
            let heard = tokio::select! {
                biased;
                said = next(&mut client) => Err(said),
                heard = room.from_client.recv() => Ok(heard),
            };
            refusal = match heard {
                Ok(Some(ClientMessage::Signal { .. })) => continue,
                Ok(_) => Some(next(&mut client).await),
                Err(said) => Some(said),
            };
            break;
        }
        assert!(matches!(refusal, Some(Ok(ServerMessage::Error { code: Code::RateLimited, .. }))), "{refusal:?}");
        assert_eq!(next(&mut client).await, Err(1008));
    }
}

#[tokio::test]
async fn a_room_that_does_not_keep_up_is_rejoined() {
    let (mut client, room, _rooms, _fake) = joined().await;
    for _ in 0..9 {
        client.send(Message::text(BYE)).await.unwrap();
    }
    let last = ServerMessage::Rejoin { reason: RejoinReason::TooSlow, within_millis: 250 };
    assert_eq!(next(&mut client).await, Ok(last));
    drop(room);
    assert_eq!(next(&mut client).await, Err(1001));
}

#[tokio::test]
async fn an_oversized_signal_is_refused_and_the_socket_lives() {
    let (mut client, room, _rooms, _fake) = joined().await;
    let line = "c".repeat(2_000);
    let candidate =
        serde_json::json!({"type": "signal", "to": "PA_2", "kind": "candidate", "candidate": {"candidate": line}});
    client.send(Message::text(candidate.to_string())).await.unwrap();
    assert!(matches!(next(&mut client).await, Ok(ServerMessage::Error { code: Code::BadRequest, .. })));
    assert!(room.from_client.is_empty());
}

#[tokio::test]
async fn a_message_that_is_too_large_ends_the_socket() {
    let (mut client, mut room, _rooms, _fake) = joined().await;
    client.send(Message::text(" ".repeat(plenum_protocol::room::MAX_MESSAGE + 1))).await.unwrap();
    assert_eq!(timeout(DEADLINE, room.from_client.recv()).await.unwrap(), Some(ClientMessage::Leave));
}
