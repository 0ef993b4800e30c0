//! What runs on a worker's thread: the engine behind the data plane's handler, and its events on their way out.

use super::{Command, Snapshot, WorkerFailed};
use crate::rooms::Action;
use plenum_dataplane::{CommandReceiver, Handler, Outbox, RecvCounters, UdpSocket, WorkerError, run_worker};
use plenum_media_core::{Engine, Event, PacketSink, SessionSpec};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

/// How soon events that found no room are tried again.
const EVENT_RETRY: Duration = Duration::from_millis(10);

/// What a worker's thread begins with.
pub(super) struct Parts {
    pub(super) number: u16,
    pub(super) port: u16,
    pub(super) engine: Engine,
    pub(super) events: mpsc::Sender<Event>,
}

/// Starts the thread. However it ends before its commands do is told to `failures`.
pub(super) fn spawn(
    parts: Parts,
    socket: UdpSocket,
    commands: CommandReceiver<Command>,
    failures: mpsc::Sender<WorkerFailed>,
) -> std::io::Result<()> {
    let worker = parts.number;
    let body = move || {
        let mut media = Media::new(parts);
        watch(worker, &failures, || run_worker(socket, &commands, &mut media));
    };
    std::thread::Builder::new().name(format!("media-{worker}")).spawn(body).map(drop)
}

/// Runs a worker's body; an error or a panic is told.
fn watch(worker: u16, failures: &mpsc::Sender<WorkerFailed>, body: impl FnOnce() -> Result<(), WorkerError>) {
    let reason = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "panicked".to_owned(),
    };
    tracing::error!(worker, reason, "a media worker broke");
    // Full means that another worker's failure is on its way already.
    drop(failures.try_send(WorkerFailed { worker, reason }));
}

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

/// An asker that gave up has told its caller so already.
fn answer<T>(reply: oneshot::Sender<T>, answer: T) {
    if reply.send(answer).is_err() {
        tracing::trace!("nobody waits for the answer any more");
    }
}

struct Media {
    port: u16,
    engine: Engine,
    events: mpsc::Sender<Event>,
    /// The event that found no room; the others wait in the engine, which bounds them.
    waiting: Option<Event>,
    retry: Option<Instant>,
    received: RecvCounters,
}

impl Media {
    fn new(parts: Parts) -> Self {
        let Parts { number: _, port, engine, events } = parts;
        Self { port, engine, events, waiting: None, retry: None, received: RecvCounters::default() }
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

    fn drain_events(&mut self, now: Instant) {
        self.retry = None;
        while let Some(event) = self.waiting.take().or_else(|| self.engine.poll_event()) {
            match self.events.try_send(event) {
                Ok(()) => {}
                Err(TrySendError::Full(event)) => {
                    self.waiting = Some(event);
                    self.retry = Some(now + EVENT_RETRY);
                    return;
                }
                // The registry is gone: the process ends.
                Err(TrySendError::Closed(_)) => return,
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
        match (self.engine.poll_timeout(), self.retry) {
            (Some(engine), Some(retry)) => Some(engine.min(retry)),
            (engine, retry) => engine.or(retry),
        }
    }

    fn end_round(&mut self, now: Instant, received: RecvCounters, _out: &mut Outbox<'_>) {
        self.received = received;
        self.drain_events(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_panics_or_breaks_is_told_and_one_that_ends_is_not() {
        let (failures, mut told) = mpsc::channel(4);
        watch(1, &failures, || Ok(()));
        assert!(told.try_recv().is_err());
        watch(2, &failures, || panic!("a defect"));
        assert_eq!(told.try_recv(), Ok(WorkerFailed { worker: 2, reason: "panicked".to_owned() }));
        watch(3, &failures, || Err(WorkerError::Receive(std::io::ErrorKind::NotConnected.into())));
        assert_eq!(told.try_recv().map(|failure| failure.worker), Ok(3));
    }
}
