//! The room socket on the home's side: one per peer, piped by the gateway that the peer came to. Gateways only.
//!
//! First frame: `NodeJoin`. Then the room's messages out of the mailbox, and the peer's into the room. What the other
//! gateway let pass is parsed and bounded once more.

use super::actor::Entrance;
use super::{NotHere, Peers, SocketGuard};
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::response::Response;
use plenum_protocol::ids::RoomUid;
use plenum_protocol::problem::Code;
use plenum_protocol::room::{ClientMessage, MAX_MESSAGE, ServerMessage};
use plenum_runtime::http::{ProblemResponse, require_role};
use plenum_runtime::mtls::{PeerRole, RoleKind};
use plenum_signaling::node_side::{Letters, Mailbox, encode, finish, read_join, refused};
use plenum_signaling::{ClientFrame, parse_client_frame};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// How often the gateway is looked for, and how long it may be silent: it pings every two seconds.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
const SILENCE: Duration = Duration::from_secs(8);
/// Messages of one peer in [`COUNT_INTERVAL`]: twice what its gateway lets pass.
const MAX_MESSAGES: u32 = 800;
const COUNT_INTERVAL: Duration = Duration::from_secs(10);

pub(super) async fn upgrade(
    State(peers): State<Peers>,
    PeerRole(role): PeerRole,
    Path(uid): Path<RoomUid>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ProblemResponse> {
    require_role(&role, &[RoleKind::Gateway])?;
    let upgrade = upgrade.map_err(|error| ProblemResponse::new(Code::BadRequest, error.body_text()))?;
    let upgrade = upgrade.max_message_size(MAX_MESSAGE).max_frame_size(MAX_MESSAGE);
    let place = peers.place();
    Ok(upgrade.on_upgrade(move |socket| run(peers, uid, place, socket)))
}

async fn run(peers: Peers, uid: RoomUid, place: Result<SocketGuard, NotHere>, mut socket: WebSocket) {
    let guard = match place {
        Ok(guard) => guard,
        Err(full) => return finish(socket, refused(full.code(), full.to_string())).await,
    };
    let join = match read_join(&mut socket).await {
        Some(Ok(join)) => join,
        Some(Err(error)) => return finish(socket, error).await,
        None => return,
    };
    let (mailbox, letters) = Mailbox::new();
    let entrance = match peers.enter(&uid, join, mailbox).await {
        Ok(entrance) => entrance,
        Err(error) => {
            tracing::debug!(%uid, %error, "somebody is not let into a peer-to-peer room");
            return finish(socket, refused(error.code(), error.to_string())).await;
        }
    };
    let last = Peer { entrance: &entrance, letters, messages: 0, heard: Instant::now() }.pipe(&mut socket).await;
    entrance.leave().await;
    if let Some(last) = last {
        finish(socket, last).await;
    }
    drop(guard);
}

/// One joined socket.
struct Peer<'a> {
    entrance: &'a Entrance,
    letters: Letters,
    /// Since the last count.
    messages: u32,
    heard: Instant,
}

/// Whether the socket goes on, and what is still to be said.
enum Next {
    GoOn,
    Say(Arc<ServerMessage>),
    End(Option<ServerMessage>),
}

impl Peer<'_> {
    /// Moves messages both ways until one side ends it. Returns what is still to be said.
    async fn pipe(mut self, socket: &mut WebSocket) -> Option<ServerMessage> {
        let mut checks = interval(CHECK_INTERVAL);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut counts = interval(COUNT_INTERVAL);
        counts.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let next = tokio::select! {
                biased;
                last = &mut self.letters.last => return last.ok(),
                message = self.letters.queue.recv() => match message {
                    Some(message) => Next::Say(message),
                    None => Next::End(None),
                },
                _ = checks.tick() => if self.heard.elapsed() > SILENCE { Next::End(None) } else { Next::GoOn },
                _ = counts.tick() => { self.messages = 0; Next::GoOn }
                frame = socket.recv() => match frame {
                    Some(Ok(frame)) => self.handle(frame).await,
                    Some(Err(_)) | None => Next::End(None),
                },
            };
            match next {
                Next::GoOn => {}
                Next::End(last) => return last,
                // A write that waits for a slow peer is given up when the room ends the socket.
                Next::Say(message) => tokio::select! {
                    biased;
                    last = &mut self.letters.last => return last.ok(),
                    sent = timeout(SILENCE, send(socket, &message)) => if !matches!(sent, Ok(true)) { return None },
                },
            }
        }
    }

    async fn handle(&mut self, frame: Message) -> Next {
        self.heard = Instant::now();
        let text = match frame {
            Message::Text(text) => text,
            Message::Ping(_) | Message::Pong(_) => return Next::GoOn,
            Message::Binary(_) => return Next::End(Some(refused(Code::BadRequest, "messages must be text"))),
            Message::Close(_) => return Next::End(None),
        };
        self.messages += 1;
        if self.messages > MAX_MESSAGES {
            return Next::End(Some(refused(Code::RateLimited, "too many messages")));
        }
        match parse_client_frame(&text) {
            Ok(ClientFrame::Ping) => Next::GoOn,
            Ok(ClientFrame::Room(ClientMessage::Leave)) => Next::End(None),
            Ok(ClientFrame::Room(message)) => match self.entrance.say(message).await {
                true => Next::GoOn,
                false => Next::End(None),
            },
            Err(detail) => Next::Say(Arc::new(refused(Code::BadRequest, detail))),
        }
    }
}

async fn send(socket: &mut WebSocket, message: &ServerMessage) -> bool {
    let Some(frame) = encode(message) else { return false };
    socket.send(frame).await.is_ok()
}
