//! The room socket on the node's side: one per client, piped by a gateway. Gateways only.
//!
//! First frame: `NodeJoin`. Then the room's messages out of the mailbox, and the client's into the registry.

use super::id;
use crate::node::Node;
use crate::rooms::JoinTicket;
use axum::extract::rejection::PathRejection;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::response::Response;
use plenum_protocol::ids::RoomUid;
use plenum_protocol::problem::Code;
use plenum_protocol::room::{ClientMessage, MAX_MESSAGE, MAX_VIEWS, ServerMessage};
use plenum_runtime::http::{Answer, ProblemResponse, require_role};
use plenum_runtime::mtls::{PeerRole, RoleKind};
use plenum_signaling::node_side::{Letters, Mailbox, encode, finish, read_join, refused};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// How often the gateway is asked for a sign of life, and after how long without one the socket is over.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(30);
/// Messages of one client per ping interval; a client that keeps to the rules sends about one a second.
const MAX_MESSAGES: u32 = 100;

pub(super) async fn upgrade(
    State(node): State<Arc<Node>>,
    PeerRole(role): PeerRole,
    path: Result<Path<String>, PathRejection>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Answer<Response> {
    require_role(&role, &[RoleKind::Gateway])?;
    let uid: RoomUid = id(path)?;
    let upgrade = upgrade.map_err(|error| ProblemResponse::new(Code::BadRequest, error.body_text()))?;
    let upgrade = upgrade.max_message_size(MAX_MESSAGE).max_frame_size(MAX_MESSAGE);
    Ok(upgrade.on_upgrade(move |socket| run(node, uid, socket)))
}

/// Leaves the room when the socket's task ends, however it ends.
struct Membership {
    node: Arc<Node>,
    ticket: JoinTicket,
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.node.leave(self.ticket);
    }
}

async fn run(node: Arc<Node>, uid: RoomUid, mut socket: WebSocket) {
    let join = match read_join(&mut socket).await {
        Some(Ok(join)) => join,
        Some(Err(error)) => return finish(socket, error).await,
        None => return,
    };
    let (mailbox, letters) = Mailbox::new();
    let joined = match node.join(&uid, &join, mailbox) {
        Ok(joined) => joined,
        Err(refusal) => return finish(socket, refused(refusal.code(), refusal.to_string())).await,
    };
    let member = Membership { node, ticket: joined.ticket };
    let last = pipe(&member, &mut socket, letters, &joined.welcome).await;
    drop(member);
    if let Some(last) = last {
        finish(socket, last).await;
    }
}

/// Moves messages both ways until one side ends it. Returns what is still to be said.
async fn pipe(
    member: &Membership,
    socket: &mut WebSocket,
    letters: Letters,
    welcome: &[ServerMessage],
) -> Option<ServerMessage> {
    let Letters { mut queue, mut last } = letters;
    let mut pings = interval(PING_INTERVAL);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut heard, mut messages) = (Instant::now(), 0);
    let mut out: Vec<Message> = welcome.iter().rev().filter_map(encode).collect();
    loop {
        // A write that waits for a slow client is given up when the room ends the socket.
        if let Some(message) = out.pop() {
            tokio::select! {
                biased;
                last = &mut last => return last.ok(),
                sent = timeout(SILENCE, socket.send(message)) => if !matches!(sent, Ok(Ok(()))) { return None },
            }
            continue;
        }
        tokio::select! {
            biased;
            last = &mut last => return last.ok(),
            message = queue.recv() => out.extend(encode(&*message?)),
            _ = pings.tick() => {
                if heard.elapsed() > SILENCE {
                    return None;
                }
                messages = 0;
                out.push(Message::Ping(axum::body::Bytes::new()));
            }
            frame = socket.recv() => {
                heard = Instant::now();
                match frame? {
                    Ok(Message::Text(text)) => {
                        messages += 1;
                        if messages > MAX_MESSAGES {
                            return Some(refused(Code::RateLimited, "too many messages"));
                        }
                        match handle(member, &text) {
                            Heard::Nothing => {}
                            Heard::Wrong(error) => out.extend(encode(&error)),
                            Heard::Leave => return None,
                        }
                    }
                    Ok(Message::Binary(_)) => return Some(refused(Code::BadRequest, "messages must be text")),
                    Ok(Message::Ping(_) | Message::Pong(_)) => {}
                    Ok(Message::Close(_)) | Err(_) => return None,
                }
            }
        }
    }
}

enum Heard {
    Nothing,
    Wrong(ServerMessage),
    Leave,
}

fn handle(member: &Membership, text: &Utf8Bytes) -> Heard {
    match serde_json::from_str(text) {
        Ok(ClientMessage::View { legs }) if legs.len() > MAX_VIEWS => {
            Heard::Wrong(refused(Code::BadRequest, format!("a view speaks of at most {MAX_VIEWS} legs")))
        }
        Ok(ClientMessage::View { legs }) => match member.node.view(member.ticket, legs) {
            Ok(()) => Heard::Nothing,
            Err(refusal) => Heard::Wrong(refused(refusal.code(), refusal.to_string())),
        },
        Ok(ClientMessage::Leave) => Heard::Leave,
        Ok(ClientMessage::Signal { .. }) => Heard::Wrong(refused(
            Code::BadRequest,
            "signals are for peer-to-peer rooms, and this one has a media server",
        )),
        Ok(ClientMessage::Join { .. }) => Heard::Wrong(refused(Code::BadRequest, "joined already")),
        Err(error) => Heard::Wrong(refused(Code::BadRequest, format!("reading the message: {error}"))),
    }
}
