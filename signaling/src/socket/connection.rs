//! The client's end of a room socket: one task reads and writes, so there is one writer.

use super::{ClientFrame, PONG, parse_client_frame};
use crate::RoomConnection;
use crate::limits::{
    Allowance, MESSAGES_PER_SECOND, PING_INTERVAL, SIGNALS_PER_SECOND, SILENCE_LIMIT, VIEW_INTERVAL, WRITE_DEADLINE,
};
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use plenum_protocol::problem::Code;
use plenum_protocol::room::{ClientMessage, RejoinReason, ServerMessage};
use std::time::Instant;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Within what time a client rejoins whose room does not keep up with it, in milliseconds.
const REJOIN_WITHIN: u32 = 250;

pub(super) struct Connection {
    socket: WebSocket,
    heard: Instant,
    viewed: Option<Instant>,
    allowance: Allowance,
}

/// Whether a socket goes on.
enum Next {
    GoOn,
    /// With the close code and reason for the client.
    End(u16, &'static str),
}

impl Connection {
    pub(super) fn new(socket: WebSocket) -> Self {
        let now = Instant::now();
        Self { socket, heard: now, viewed: None, allowance: Allowance::new(now) }
    }

    /// Next frame; `None` when the connection is gone or broken.
    pub(super) async fn next(&mut self) -> Option<Message> {
        match self.socket.recv().await? {
            Ok(message) => Some(message),
            Err(error) => {
                tracing::debug!(%error, "room socket broke");
                None
            }
        }
    }

    /// Passes messages both ways until one side ends.
    pub(super) async fn pipe(mut self, room: RoomConnection) {
        let RoomConnection { to_room, mut from_room } = room;
        let mut pings = interval(PING_INTERVAL);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (code, reason) = loop {
            let next = tokio::select! {
                frame = self.next() => match frame {
                    Some(frame) => self.handle_frame(frame, &to_room).await,
                    None => return leave(&to_room).await,
                },
                message = from_room.recv() => self.handle_room(message).await,
                _ = pings.tick() => self.handle_tick().await,
            };
            if let Next::End(code, reason) = next {
                break (code, reason);
            }
        };
        leave(&to_room).await;
        // The room's side sees by this that the last message was written.
        drop(from_room);
        self.close(code, reason).await;
    }

    async fn handle_frame(&mut self, frame: Message, to_room: &mpsc::Sender<ClientMessage>) -> Next {
        let now = Instant::now();
        self.heard = now;
        let text = match frame {
            Message::Text(text) => text,
            other => return self.handle_other(other, now).await,
        };
        let parsed = parse_client_frame(&text);
        let allowed = match &parsed {
            Ok(ClientFrame::Room(ClientMessage::Signal { .. })) => self.allowance.take_signal(text.len(), now),
            _ => self.allowance.take_message(now),
        };
        if !allowed {
            return self.cut_off().await;
        }
        match parsed {
            Ok(frame) => self.handle_message(frame, now, to_room).await,
            Err(detail) => {
                self.refuse(Code::BadRequest, detail).await;
                Next::GoOn
            }
        }
    }

    async fn handle_other(&mut self, frame: Message, now: Instant) -> Next {
        if !self.allowance.take_message(now) {
            return self.cut_off().await;
        }
        match frame {
            Message::Binary(_) => {
                self.refuse(Code::BadRequest, "send JSON in text frames".to_owned()).await;
                Next::GoOn
            }
            Message::Close(_) => Next::End(close_code::NORMAL, "bye"),
            Message::Text(_) | Message::Ping(_) | Message::Pong(_) => Next::GoOn,
        }
    }

    /// Who floods goes, and only they.
    async fn cut_off(&mut self) -> Next {
        let detail =
            format!("at most {MESSAGES_PER_SECOND} messages and {SIGNALS_PER_SECOND} signals a second are taken");
        self.refuse(Code::RateLimited, detail).await;
        Next::End(close_code::POLICY, "too many messages")
    }

    async fn handle_message(
        &mut self,
        frame: ClientFrame,
        now: Instant,
        to_room: &mpsc::Sender<ClientMessage>,
    ) -> Next {
        match frame {
            ClientFrame::Ping => match self.write(Message::Text(Utf8Bytes::from_static(PONG))).await {
                true => Next::GoOn,
                false => Next::End(close_code::AWAY, "too slow"),
            },
            ClientFrame::Room(ClientMessage::Leave) => Next::End(close_code::NORMAL, "left"),
            ClientFrame::Room(ClientMessage::Join { .. }) => {
                self.refuse(Code::BadRequest, "this socket has joined already".to_owned()).await;
                Next::GoOn
            }
            ClientFrame::Room(view @ ClientMessage::View { .. }) => {
                if self.viewed.is_some_and(|last| now.saturating_duration_since(last) < VIEW_INTERVAL) {
                    return Next::GoOn;
                }
                self.viewed = Some(now);
                match to_room.try_send(view) {
                    // A view is the latest of many: one that finds the queue full is not worth waiting for.
                    Ok(()) | Err(TrySendError::Full(_)) => Next::GoOn,
                    Err(TrySendError::Closed(_)) => Next::End(close_code::AGAIN, "the room is gone"),
                }
            }
            ClientFrame::Room(signal @ ClientMessage::Signal { .. }) => match to_room.try_send(signal) {
                Ok(()) => Next::GoOn,
                // Without one of its signals a negotiation hangs: better to begin anew. Waiting here would stop what the
                // room has to say.
                Err(TrySendError::Full(_)) => {
                    let last = ServerMessage::Rejoin { reason: RejoinReason::TooSlow, within_millis: REJOIN_WITHIN };
                    self.handle_room(Some(last)).await
                }
                Err(TrySendError::Closed(_)) => Next::End(close_code::AGAIN, "the room is gone"),
            },
        }
    }

    async fn handle_room(&mut self, message: Option<ServerMessage>) -> Next {
        let Some(message) = message else { return Next::End(close_code::AGAIN, "the room is gone") };
        let last = match &message {
            ServerMessage::Rejoin { .. } => Some((close_code::AWAY, "rejoin")),
            ServerMessage::Ended { .. } => Some((close_code::NORMAL, "ended")),
            _ => None,
        };
        match (self.send(&message).await, last) {
            (true, None) => Next::GoOn,
            (true, Some((code, reason))) => Next::End(code, reason),
            (false, _) => Next::End(close_code::AWAY, "too slow"),
        }
    }

    async fn handle_tick(&mut self) -> Next {
        if self.heard.elapsed() > SILENCE_LIMIT {
            return Next::End(close_code::AWAY, "silent");
        }
        match self.write(Message::Ping(axum::body::Bytes::new())).await {
            true => Next::GoOn,
            false => Next::End(close_code::AWAY, "too slow"),
        }
    }

    /// Tells the client what was refused.
    pub(super) async fn refuse(&mut self, code: Code, detail: String) {
        if !self.send(&ServerMessage::Error { code, detail }).await {
            tracing::debug!("a refusal could not be written");
        }
    }

    async fn send(&mut self, message: &ServerMessage) -> bool {
        match serde_json::to_string(message) {
            Ok(text) => self.write(Message::Text(text.into())).await,
            Err(error) => {
                tracing::error!(%error, "a room message could not be encoded");
                false
            }
        }
    }

    async fn write(&mut self, message: Message) -> bool {
        matches!(timeout(WRITE_DEADLINE, self.socket.send(message)).await, Ok(Ok(())))
    }

    /// Says goodbye and waits shortly for the client's own close, so that the last message is not lost to a reset.
    pub(super) async fn close(mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
        if !self.write(Message::Close(Some(frame))).await {
            return;
        }
        let drained = timeout(WRITE_DEADLINE, async { while self.next().await.is_some() {} }).await;
        if drained.is_err() {
            tracing::debug!("a client did not close its room socket");
        }
    }
}

/// The room hears that the client goes, unless it is gone itself.
async fn leave(to_room: &mpsc::Sender<ClientMessage>) {
    if !matches!(timeout(WRITE_DEADLINE, to_room.send(ClientMessage::Leave)).await, Ok(Ok(()))) {
        tracing::debug!("the room went before the client");
    }
}
