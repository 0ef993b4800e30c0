//! One room's task: commands in, letters out, one at a time. It never waits for a peer.
//!
//! Ends when the room is empty: by itself, or because the room has another home, a media server, or is over.

use super::room::{Fresh, Out, PeerRoom, Seat};
use super::{NotHere, Peers, Seen};
use crate::homes::{Replicas, home_of};
use crate::remote::rejoin;
use crate::routes::{Route, Standing};
use plenum_protocol::control::NodeJoin;
use plenum_protocol::ids::RoomUid;
use plenum_protocol::room::{ClientMessage, RejoinReason, ServerMessage};
use plenum_signaling::node_side::{Mailbox, TooSlow};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// What sockets say to their room.
pub(super) enum Command {
    Join(Box<NodeJoin>, Mailbox, oneshot::Sender<Result<Entrance, NotHere>>),
    Hear(Seat, ClientMessage),
    Leave(Seat),
}

impl Command {
    /// A join, and where its answer comes.
    pub(super) fn join(join: NodeJoin, mailbox: Mailbox) -> (Self, oneshot::Receiver<Result<Entrance, NotHere>>) {
        let (sender, answer) = oneshot::channel();
        (Self::Join(Box::new(join), mailbox, sender), answer)
    }
}

/// A seat that was taken, and the room to speak to.
pub(super) struct Entrance {
    seat: Seat,
    room: mpsc::Sender<Command>,
}

impl Entrance {
    /// Says something to the room; `false` when it is gone. Waits while the room has much to do.
    pub(super) async fn say(&self, message: ClientMessage) -> bool {
        self.room.send(Command::Hear(self.seat, message)).await.is_ok()
    }

    /// The socket is over.
    pub(super) async fn leave(self) {
        if self.room.send(Command::Leave(self.seat)).await.is_err() {
            tracing::trace!("the room went before its peer");
        }
    }
}

pub(super) struct Actor {
    peers: Peers,
    uid: RoomUid,
    room: PeerRoom,
    mailboxes: BTreeMap<Seat, Mailbox>,
    next: u64,
    route: watch::Receiver<Arc<Route>>,
    replicas: watch::Receiver<Arc<Replicas>>,
    commands: (mpsc::Sender<Command>, mpsc::Receiver<Command>),
    seen: watch::Sender<Arc<Seen>>,
}

impl Actor {
    pub(super) fn new(
        peers: Peers,
        uid: RoomUid,
        route: watch::Receiver<Arc<Route>>,
        commands: (mpsc::Sender<Command>, mpsc::Receiver<Command>),
        seen: watch::Sender<Arc<Seen>>,
    ) -> Self {
        let room = PeerRoom::new(route.borrow().name.clone());
        let replicas = peers.0.parts.homes.follow();
        Self { peers, uid, room, mailboxes: BTreeMap::new(), next: 0, route, replicas, commands, seen }
    }

    pub(super) async fn run(mut self, first: Command) {
        self.peers.0.parts.counters.peer_room_began();
        self.handle(first);
        // Home and standing may have changed since the newcomer asked.
        self.judge(false);
        let closing = self.peers.0.parts.closing.clone();
        while self.room.len() > 0 {
            tokio::select! {
                command = self.commands.1.recv() => command.into_iter().for_each(|command| self.handle(command)),
                changed = self.route.changed() => self.judge(changed.is_err()),
                _ = self.replicas.changed() => self.judge(false),
                () = closing.requested() => self.judge(false),
            }
        }
        self.peers.forget(&self.uid);
        // Who asks now is answered by the channel's end, and tries again.
        self.peers.0.parts.counters.peer_room_ended();
        tracing::debug!(uid = %self.uid, "a peer-to-peer room is empty");
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Join(join, mailbox, answer) => {
                let entrance = self.join(*join, mailbox);
                if entrance.is_err() {
                    self.peers.0.parts.counters.peer_refused();
                }
                // A socket that is gone already says so by leaving, or never learns of its seat.
                if let Err(Ok(entrance)) = answer.send(entrance) {
                    self.leave(entrance.seat);
                }
            }
            Command::Hear(seat, message @ ClientMessage::Signal { .. }) => {
                self.peers.0.parts.counters.signal();
                let out = self.room.handle(seat, message);
                self.deliver(out);
                return;
            }
            Command::Hear(seat, ClientMessage::Leave) | Command::Leave(seat) => self.leave(seat),
            Command::Hear(seat, message) => {
                let out = self.room.handle(seat, message);
                self.deliver(out);
            }
        }
        self.show();
    }

    fn join(&mut self, join: NodeJoin, mailbox: Mailbox) -> Result<Entrance, NotHere> {
        let seat = Seat(self.next);
        self.next += 1;
        let max_kbps = self.route.borrow().max_kbps;
        let out = self.room.join(seat, join, fresh(max_kbps)?)?;
        self.mailboxes.insert(seat, mailbox);
        self.deliver(out);
        Ok(Entrance { seat, room: self.commands.0.clone() })
    }

    fn leave(&mut self, seat: Seat) {
        self.mailboxes.remove(&seat);
        let out = self.room.leave(seat);
        self.deliver(out);
    }

    /// Who does not read what is waiting goes, and only they.
    fn deliver(&mut self, out: Vec<Out>) {
        let mut out = VecDeque::from(out);
        while let Some(next) = out.pop_front() {
            match next {
                Out::Last(seat, message) => self.end(seat, message),
                Out::Say(seat, message) => {
                    let Some(mailbox) = self.mailboxes.get(&seat) else { continue };
                    if let Err(TooSlow) = mailbox.post(&Arc::new(message)) {
                        self.peers.0.parts.counters.peer_too_slow();
                        self.end(seat, rejoin(RejoinReason::TooSlow));
                        out.extend(self.room.leave(seat));
                    }
                }
            }
        }
    }

    fn end(&mut self, seat: Seat, last: ServerMessage) {
        if let Some(mailbox) = self.mailboxes.remove(&seat) {
            mailbox.end(last);
        }
    }

    /// Sends everybody away when the room is not for here any more.
    fn judge(&mut self, deleted: bool) {
        let Some(last) = self.verdict(deleted) else { return };
        if let ServerMessage::Rejoin { reason, .. } = &last {
            self.peers.0.parts.counters.peer_room_left(*reason);
            tracing::info!(uid = %self.uid, ?reason, "a peer-to-peer room goes elsewhere");
        }
        let out = self.room.dismiss(&last);
        self.deliver(out);
        self.show();
    }

    fn verdict(&mut self, deleted: bool) -> Option<ServerMessage> {
        if deleted {
            return Some(ServerMessage::Ended { detail: "the room was deleted".to_owned() });
        }
        let parts = &self.peers.0.parts;
        if parts.closing.is_requested() {
            return Some(rejoin(RejoinReason::HomeMoved));
        }
        match &self.route.borrow_and_update().standing {
            Standing::Closed(detail) => Some(ServerMessage::Ended { detail: detail.clone() }),
            Standing::Bound(_) => Some(rejoin(RejoinReason::Upgraded)),
            // It gets a media server, but has none yet: the call goes on.
            Standing::Unbound { .. } => None,
            Standing::Peers => {
                let home = home_of(&self.uid, &self.replicas.borrow_and_update());
                // Without any ready gateway there is nowhere to go.
                let elsewhere = home.is_some_and(|home| home.pod != parts.pod);
                elsewhere.then(|| rejoin(RejoinReason::HomeMoved))
            }
        }
    }

    fn show(&self) {
        let now = Seen { participants: self.room.len(), legs: self.room.legs(), counts: self.room.counts() };
        self.seen.send_if_modified(|seen| {
            let differs = **seen != now;
            if differs {
                *seen = Arc::new(now);
            }
            differs
        });
    }
}

fn fresh(max_kbps: u32) -> Result<Fresh, NotHere> {
    let (mut participant, mut key) = ([0; 16], [0; 16]);
    let filled = aws_lc_rs::rand::fill(&mut participant).and_then(|()| aws_lc_rs::rand::fill(&mut key));
    filled.map_err(|_| NotHere::NoRandomness)?;
    Ok(Fresh { participant: u128::from_ne_bytes(participant), key: u128::from_ne_bytes(key), max_kbps })
}
