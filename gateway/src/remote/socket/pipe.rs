//! One joined socket: messages both ways between client and node, until either goes, the room moves, or the gateway stops.

use super::super::binding::Bound;
use super::losses::Losses;
use super::moves::Moves;
use crate::metrics::{Counters, NodeError, SocketEnd};
use crate::routes::{Route, Standing};
use crate::sockets::SocketPermit;
use futures_util::{SinkExt as _, StreamExt as _};
use plenum_protocol::room::{ClientMessage, RejoinReason, ServerMessage};
use plenum_runtime::client::{Message, NodeSocket};
use plenum_runtime::shutdown::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How often the node is pinged, and how long it may be silent.
const NODE_PING: Duration = Duration::from_secs(2);
const NODE_SILENCE: Duration = Duration::from_secs(7);
/// How long one message may take, either way.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// Over what time clients spread their way back, in milliseconds.
const SPREAD_MOVED: u32 = 250;
const SPREAD_SHUTDOWN: u32 = 1_000;
const SPREAD_UPGRADED: u32 = 50;

pub(super) struct Pipe {
    pub(super) node: NodeSocket,
    pub(super) bound: Bound,
    pub(super) route: watch::Receiver<Arc<Route>>,
    pub(super) losses: Losses,
    pub(super) moves: Moves,
    pub(super) closing: Shutdown,
    pub(super) from_client: mpsc::Receiver<ClientMessage>,
    pub(super) to_client: mpsc::Sender<ServerMessage>,
    pub(super) counters: Counters,
    /// Held until the client has its last message.
    pub(super) permit: SocketPermit,
}

/// Why the pipe ends, and the last message for the client if it has not got one.
struct End(SocketEnd, Option<ServerMessage>);

impl Pipe {
    pub(super) async fn run(mut self) {
        let End(reason, last) = self.pass().await;
        if let Some(last) = last
            && timeout(SEND_TIMEOUT, self.to_client.send(last)).await.is_err()
        {
            tracing::debug!("a client did not take its last message");
        }
        self.leave_node().await;
        // The front door drops its end once the last message is written.
        self.from_client.close();
        if timeout(SEND_TIMEOUT, self.to_client.closed()).await.is_err() {
            tracing::debug!("a front door did not let go");
        }
        self.counters.socket_ended(reason);
        drop(self.permit);
    }

    async fn pass(&mut self) -> End {
        // The room may have moved since the join began.
        if let Some(end) = self.handle_route(false) {
            return end;
        }
        let mut pings = interval(NODE_PING);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        let closing = self.closing.clone();
        loop {
            let end = tokio::select! {
                frame = self.node.next() => {
                    heard = Instant::now();
                    match frame {
                        Some(Ok(frame)) => self.handle_node(frame).await,
                        Some(Err(_)) | None => Some(self.node_lost()),
                    }
                }
                message = self.from_client.recv() => self.handle_client(message).await,
                changed = self.route.changed() => self.handle_route(changed.is_err()),
                () = closing.requested() => Some(End(SocketEnd::Shutdown, Some(rejoin(RejoinReason::GatewayShutdown)))),
                pod = self.losses.next() => self.handle_lost(pod),
                () = self.moves.next() => self.handle_move(),
                _ = pings.tick() => self.handle_tick(heard.elapsed()).await,
            };
            if let Some(end) = end {
                return end;
            }
        }
    }

    async fn handle_node(&mut self, frame: Message) -> Option<End> {
        match frame {
            Message::Text(text) => {
                let Ok(message) = serde_json::from_str::<ServerMessage>(&text) else {
                    // A newer node may say what this version does not know.
                    self.counters.node_error(NodeError::Malformed);
                    return None;
                };
                let end = match &message {
                    ServerMessage::Rejoin { reason, .. } => Some(End(end_of(*reason), None)),
                    ServerMessage::Ended { .. } => Some(End(SocketEnd::Room, None)),
                    _ => None,
                };
                match timeout(SEND_TIMEOUT, self.to_client.send(message)).await {
                    Ok(Ok(())) => end,
                    // Too slow, or gone: the front door closes when this end is dropped.
                    Ok(Err(_)) | Err(_) => Some(End(SocketEnd::Client, None)),
                }
            }
            Message::Close(_) => Some(self.node_lost()),
            _ => None,
        }
    }

    async fn handle_client(&mut self, message: Option<ClientMessage>) -> Option<End> {
        let Some(message @ (ClientMessage::View { .. } | ClientMessage::Signal { .. })) = message else {
            return Some(End(SocketEnd::Client, None));
        };
        if self.send_node(&message).await { None } else { Some(self.node_lost()) }
    }

    fn handle_route(&mut self, gone: bool) -> Option<End> {
        if gone {
            return Some(End(
                SocketEnd::Room,
                Some(ServerMessage::Ended { detail: "the room was deleted".to_owned() }),
            ));
        }
        let route = Arc::clone(&self.route.borrow_and_update());
        self.losses.care_for(&route.relays.pools);
        moved(&self.bound, &route)
    }

    /// While a room waits for its media server nobody else takes its peers in: they stay where they are.
    fn handle_move(&mut self) -> Option<End> {
        if self.route.borrow().standing == Standing::Peers {
            return Some(End(SocketEnd::HomeMoved, Some(rejoin(RejoinReason::HomeMoved))));
        }
        self.moves.forget();
        None
    }

    /// A client that is behind with its messages finds out by itself.
    fn handle_lost(&mut self, pod: String) -> Option<End> {
        match self.to_client.try_send(ServerMessage::RelayLost { pod }) {
            Ok(()) => self.counters.told_relay_lost(),
            Err(error) => tracing::debug!(%error, "a client is not told of a lost relay"),
        }
        None
    }

    async fn handle_tick(&mut self, silence: Duration) -> Option<End> {
        if silence > NODE_SILENCE {
            return Some(self.node_lost());
        }
        let sent = timeout(SEND_TIMEOUT, self.node.send(Message::Ping(Vec::new().into()))).await;
        if matches!(sent, Ok(Ok(()))) { None } else { Some(self.node_lost()) }
    }

    /// The node ended the socket. When the watch knows why already, the client hears that.
    fn node_lost(&mut self) -> End {
        let known = match self.route.has_changed() {
            Ok(_) => self.handle_route(false),
            Err(_) => self.handle_route(true),
        };
        known.unwrap_or_else(|| End(SocketEnd::NodeLost, Some(rejoin(RejoinReason::MediaNodeLost))))
    }

    async fn send_node(&mut self, message: &ClientMessage) -> bool {
        let Ok(text) = serde_json::to_string(message) else { return false };
        matches!(timeout(SEND_TIMEOUT, self.node.send(Message::text(text))).await, Ok(Ok(())))
    }

    /// The node ends the participant's sessions at once instead of when they fall silent.
    async fn leave_node(&mut self) {
        let left = self.send_node(&ClientMessage::Leave).await;
        let closed = timeout(SEND_TIMEOUT, self.node.close(None)).await;
        tracing::trace!(left, closed = matches!(closed, Ok(Ok(()))), "left a room");
    }
}

/// What a change of the room means for a socket under `bound`; `None` while it still holds.
fn moved(bound: &Bound, route: &Route) -> Option<End> {
    match &route.standing {
        Standing::Closed(detail) => Some(End(SocketEnd::Room, Some(ServerMessage::Ended { detail: detail.clone() }))),
        Standing::Peers if bound.is_at_home() => None,
        // It has no media server yet: the call goes on between the peers.
        Standing::Unbound { .. } if bound.is_at_home() => None,
        Standing::Bound(_) if bound.is_at_home() => {
            Some(End(SocketEnd::Upgraded, Some(rejoin(RejoinReason::Upgraded))))
        }
        Standing::Bound(_) if route.uid == bound.uid && route.epoch == bound.epoch => None,
        Standing::Bound(_) | Standing::Peers => Some(End(SocketEnd::Rebound, Some(rejoin(RejoinReason::Rebound)))),
        Standing::Unbound { .. } => Some(End(SocketEnd::NodeLost, Some(rejoin(RejoinReason::MediaNodeLost)))),
    }
}

/// How a socket ends whose room says so itself.
fn end_of(reason: RejoinReason) -> SocketEnd {
    match reason {
        RejoinReason::HomeMoved => SocketEnd::HomeMoved,
        RejoinReason::Upgraded => SocketEnd::Upgraded,
        RejoinReason::Rebound
        | RejoinReason::MediaNodeLost
        | RejoinReason::GatewayShutdown
        | RejoinReason::TooSlow
        | RejoinReason::RelayRequired => SocketEnd::Rebound,
    }
}

pub(crate) fn rejoin(reason: RejoinReason) -> ServerMessage {
    let within_millis = match reason {
        RejoinReason::GatewayShutdown => SPREAD_SHUTDOWN,
        RejoinReason::Upgraded => SPREAD_UPGRADED,
        RejoinReason::Rebound
        | RejoinReason::MediaNodeLost
        | RejoinReason::TooSlow
        | RejoinReason::RelayRequired
        | RejoinReason::HomeMoved => SPREAD_MOVED,
    };
    ServerMessage::Rejoin { reason, within_millis }
}
