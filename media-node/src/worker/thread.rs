//! What runs on a worker's thread: the engine behind the data plane's handler, and its events on their way out.

use super::{Command, Snapshot};
use crate::rooms::Action;
use plenum_dataplane::{Handler, Outbox, RecvCounters};
use plenum_media_core::{Engine, Event, PacketSink, SessionSpec};
use plenum_runtime::node::{EventOutlet, answer};
use std::net::SocketAddr;
use std::time::Instant;

/// The data plane's outbox as the engine's sink.
struct Sink<'a, 'b>(&'a mut Outbox<'b>);

impl PacketSink for Sink<'_, '_> {
    fn reserve(&mut self, to: SocketAddr, max_len: usize) -> Option<&mut [u8]> {
        self.0.reserve(to, max_len)
    }

    fn commit(&mut self, len: usize) {
        self.0.commit(len);
    }
}

/// A worker's handler.
pub(super) struct Media {
    engine: Engine,
    port: u16,
    events: EventOutlet<Event>,
    received: RecvCounters,
}

impl Media {
    pub(super) fn new(engine: Engine, port: u16, events: EventOutlet<Event>) -> Self {
        Self { engine, port, events, received: RecvCounters::default() }
    }

    fn act(&mut self, now: Instant, action: Action, out: &mut Outbox<'_>) {
        match action {
            Action::AddRoom(room, limits) => {
                if let Err(error) = self.engine.add_room(room, limits) {
                    tracing::error!(%error, "the engine refused a room");
                }
            }
            Action::RemoveRoom(room) => self.engine.remove_room(now, room, &mut Sink(out)),
            Action::CloseSession(session) => {
                // False: the engine ended it meanwhile, which is what was wanted.
                self.engine.close_session(now, session, &mut Sink(out));
            }
        }
    }
}

impl Handler for Media {
    type Command = Command;

    fn handle_command(&mut self, now: Instant, command: Command, out: &mut Outbox<'_>) {
        match command {
            Command::Configure { outside } => self.engine.configure(&outside, self.port),
            Command::Relays(relays) => self.engine.set_relays(relays),
            Command::Act(action) => self.act(now, action, out),
            Command::Open { room, session, kind, offer, reply } => {
                let spec = SessionSpec { id: session, kind, offer: &offer };
                answer(reply, self.engine.open_session(now, room, spec));
            }
            Command::Patch { session, if_match, fragment, reply } => {
                answer(reply, self.engine.patch_session(now, session, if_match.as_ref(), &fragment));
            }
            Command::Legs { room, reply } => answer(reply, self.engine.legs(room)),
            Command::Snapshot { reply } => {
                let snapshot =
                    Snapshot { engine: self.engine.counters(), sent: out.counters(), received: self.received };
                answer(reply, snapshot);
            }
        }
    }

    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &mut [u8], out: &mut Outbox<'_>) {
        self.engine.handle_datagram(now, from, datagram, &mut Sink(out));
    }

    fn flush(&mut self, now: Instant, out: &mut Outbox<'_>) {
        self.engine.flush(now, &mut Sink(out));
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Outbox<'_>) {
        self.engine.handle_timeout(now, &mut Sink(out));
    }

    fn poll_timeout(&self) -> Option<Instant> {
        [self.engine.poll_timeout(), self.events.poll_timeout()].into_iter().flatten().min()
    }

    fn end_round(&mut self, now: Instant, received: RecvCounters, _out: &mut Outbox<'_>) {
        self.received = received;
        self.events.drain(now, || self.engine.poll_event());
    }
}
