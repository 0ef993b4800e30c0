//! Joining a room by its socket: opens the node's room socket, says who joins, and starts the pipe.

mod losses;
mod moves;
mod pipe;

use super::binding::{Bound, SOCKET_PATIENCE};
use super::{Gateway, SourceAddress};
use crate::metrics::NodeError;
use crate::routes::Standing;
use futures_util::{SinkExt as _, StreamExt as _};
pub(crate) use pipe::rejoin;

use losses::Losses;
use moves::Moves;
use pipe::Pipe;
use plenum_protocol::control::NodeJoin;
use plenum_protocol::peer::Instance;
use plenum_protocol::problem::{Code, Problem};
use plenum_protocol::room::ServerMessage;
use plenum_runtime::client::{CallError, Message, NodeSocket};
use plenum_signaling::limits::QUEUE_LEN;
use plenum_signaling::{Access, JoinRequest, Refusal, RoomConnection};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long the connection to the node, and then its answer to the join, may take.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_500);
const JOIN_TIMEOUT: Duration = Duration::from_secs(3);

/// Who joins.
struct Newcomer<'a> {
    access: &'a Access,
    name: String,
    instance: Option<Instance>,
}

impl Gateway {
    pub(super) async fn join_room(&self, access: &Access, join: JoinRequest) -> Result<RoomConnection, Refusal> {
        let started = Instant::now();
        let room = &access.room;
        if self.0.closing.is_requested() {
            return Err(Refusal::new(Code::Unavailable, "this gateway is going away; connect again"));
        }
        let before = self.0.routes.get(room);
        if let Some(Standing::Closed(why)) = before.as_deref().map(|route| &route.standing) {
            return Ok(ended(format!("room {room}: {why}")));
        }
        let source = join.source.map(|SourceAddress(address)| address);
        let permit = self.0.sockets.take(room, source)?;
        let newcomer =
            Newcomer { access, name: join.name.unwrap_or_else(|| access.name.clone()), instance: join.instance };
        let enter = || self.on_node(room, SOCKET_PATIENCE, |bound| self.enter(bound, &newcomer));
        let (bound, node, joined) = match (enter().await, before) {
            // The third person of a room that grows.
            (Err(refusal), Some(route))
                if refusal.code() == Code::Full && route.upgrades && route.standing == Standing::Peers =>
            {
                self.upgrade(room, route.uid.clone()).await?;
                enter().await?
            }
            (entered, _) => entered?,
        };
        let Some(route) = self.0.routes.follow(room) else {
            return Ok(ended(format!("room {room} was deleted")));
        };
        let (to_room, from_client) = mpsc::channel(QUEUE_LEN);
        let (to_client, from_room) = mpsc::channel(QUEUE_LEN);
        if to_client.try_send(joined).is_err() {
            return Err(Refusal::new(Code::Internal, "a new queue was full"));
        }
        self.0.counters.socket_joined(started.elapsed().as_secs_f64());
        let (counters, closing) = (self.0.counters.clone(), self.0.closing.clone());
        let (losses, moves) = (Losses::new(&self.0.relays), Moves::new(&self.0.homes, &bound));
        tokio::spawn(
            Pipe { node, bound, route, losses, moves, closing, from_client, to_client, counters, permit }.run(),
        );
        Ok(RoomConnection { to_room, from_room })
    }

    /// Opens the node's socket and joins; the node's answer is `Joined`, or the error that it sent instead.
    async fn enter(
        &self,
        bound: Bound,
        newcomer: &Newcomer<'_>,
    ) -> Result<(Bound, NodeSocket, ServerMessage), CallError> {
        let Newcomer { access, name, instance } = newcomer;
        let path = format!("/v1/rooms/{}/socket", bound.uid);
        let mut node = self.0.client.websocket(&bound.target(), &path, CONNECT_TIMEOUT).await?;
        let join = NodeJoin {
            epoch: bound.epoch,
            identity: access.identity.clone(),
            name: name.clone(),
            can_publish: access.can_publish,
            can_subscribe: access.can_subscribe,
            instance: instance.clone(),
            gateway: self.0.pod.clone(),
        };
        let answer = timeout(JOIN_TIMEOUT, exchange(&mut node, &join)).await;
        match answer.map_err(|_| CallError::Timeout(JOIN_TIMEOUT))? {
            Some(joined @ ServerMessage::Joined { .. }) => Ok((bound, node, joined)),
            Some(ServerMessage::Error { code, detail }) => Err(CallError::Problem(Problem::new(code, detail))),
            // The node let go of the room while we joined.
            Some(ServerMessage::Rejoin { .. }) => Err(not_granted()),
            Some(ServerMessage::Ended { detail }) => Err(CallError::Problem(Problem::new(Code::Unavailable, detail))),
            Some(_) => {
                self.0.counters.node_error(NodeError::Malformed);
                Err(CallError::Problem(Problem::new(Code::Internal, "the node answered the join with another message")))
            }
            None => Err(not_granted()),
        }
    }
}

/// A node that breaks off without a word is treated as one that does not have the room.
fn not_granted() -> CallError {
    CallError::Problem(Problem::new(Code::NotGranted, "the node ended the join"))
}

async fn exchange(node: &mut NodeSocket, join: &NodeJoin) -> Option<ServerMessage> {
    let text = serde_json::to_string(join).ok()?;
    node.send(Message::text(text)).await.ok()?;
    loop {
        match node.next().await?.ok()? {
            Message::Text(text) => return serde_json::from_str(&text).ok(),
            Message::Close(_) => return None,
            _ => {}
        }
    }
}

/// A connection that only says that the room is over.
fn ended(detail: String) -> RoomConnection {
    let (to_room, _) = mpsc::channel(1);
    let (to_client, from_room) = mpsc::channel(1);
    if to_client.try_send(ServerMessage::Ended { detail }).is_err() {
        tracing::debug!("a new queue was full");
    }
    RoomConnection { to_room, from_room }
}
