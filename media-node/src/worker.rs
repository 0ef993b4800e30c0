//! One media worker: a thread of its own around an engine and its UDP socket, and the way to speak to it.
//!
//! Commands are bounded and answered by oneshot channels; what must not be lost (rooms, ends of sessions) has room in
//! the channel for all that a node can hold.

mod thread;

use crate::rooms::Action;
use plenum_dataplane::{RecvCounters, SendCounters, SocketError, UdpSocket, command_channel, run_worker, spawn_worker};
use plenum_media_core::{
    Answer, Certificate, Counters, Engine, EngineConfig, Event, Limits, Patched, RelayTable, RoomKey, SessionError,
    SessionKey, SessionKind, SessionStats,
};
use plenum_protocol::control::IfMatch;
use plenum_protocol::problem::Problem;
use plenum_runtime::node::{AskError, EventOutlet, Failures, WorkerHandle};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;
use thread::Media;
use tokio::sync::{mpsc, oneshot};

/// Commands that may wait: rooms and sessions of a full node, and the questions below.
const COMMAND_BOUND: usize = 1 << 15;
/// Questions (open, patch, legs) that may wait for one worker; more are refused.
const QUESTIONS: usize = 512;

/// What a worker is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// Outside addresses for later answers.
    Configure { outside: Arc<[IpAddr]> },
    /// The cluster's relays.
    Relays(Arc<RelayTable>),
    /// Rooms and ends of sessions.
    Act(Action),
    /// A session is wanted.
    Open { room: RoomKey, session: SessionKey, kind: SessionKind, offer: String, reply: Reply<Answer> },
    /// Candidates or an ICE restart.
    Patch { session: SessionKey, if_match: Option<IfMatch>, fragment: String, reply: Reply<Patched> },
    /// The legs of a room.
    Legs { room: RoomKey, reply: oneshot::Sender<Vec<SessionStats>> },
    /// What was counted.
    Snapshot { reply: oneshot::Sender<Snapshot> },
}

/// Where the engine's answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, SessionError>>;

/// Counts of one worker since it started.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Snapshot {
    pub(crate) engine: Counters,
    pub(crate) sent: SendCounters,
    pub(crate) received: RecvCounters,
}

/// Why a worker could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// No thread, no descriptor.
    #[error("starting media worker {worker}")]
    Thread {
        /// Which one.
        worker: u16,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
}

/// What all workers of a process share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) certificate: Certificate,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) failures: Failures,
}

/// The way to one worker. The worker ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Worker {
    port: u16,
    handle: WorkerHandle<Command>,
}

impl Worker {
    /// Binds `port` (0: any) and starts the thread.
    pub(crate) fn start(number: u16, port: u16, shared: Shared) -> Result<Self, StartError> {
        let Shared { certificate, events, failures } = shared;
        let failed = |source| StartError::Thread { worker: number, source };
        let socket = UdpSocket::bind_any(port)?;
        let port = socket.local_addr().map_err(failed)?.port();
        let (commands, receiver) = command_channel(COMMAND_BOUND).map_err(failed)?;
        let config = EngineConfig {
            worker: number,
            ufrag_tag: ufrag_tag(number),
            seed: rand::random(),
            certificate,
            limits: Limits::default(),
        };
        let (receive, send) = socket.buffer_sizes().map_err(failed)?;
        tracing::info!(
            worker = number,
            port,
            receive_buffer = receive,
            send_buffer = send,
            gro = socket.receives_trains(),
            gso = socket.sends_trains(),
            "media worker"
        );
        let name = format!("media-{number}");
        let handle =
            WorkerHandle::new(name.clone(), QUESTIONS, failures.clone(), move |command| commands.send(command));
        let mut media = Media::new(Engine::new(config, Instant::now()), port, EventOutlet::new(events));
        let body = move || run_worker(socket, &receiver, &mut media);
        spawn_worker(name.clone(), body, move |reason| failures.tell(&name, reason)).map_err(failed)?;
        Ok(Self { port, handle })
    }

    /// The UDP port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The way to its thread.
    pub(crate) fn handle(&self) -> &WorkerHandle<Command> {
        &self.handle
    }

    /// Asks the engine for a session.
    pub(crate) async fn open(
        &self,
        room: RoomKey,
        session: SessionKey,
        kind: SessionKind,
        offer: String,
    ) -> Result<Answer, Problem> {
        self.handle.ask(|reply| Command::Open { room, session, kind, offer, reply }).await?.map_err(refused)
    }

    /// Hands a client's fragment to a session.
    pub(crate) async fn patch(
        &self,
        session: SessionKey,
        if_match: Option<IfMatch>,
        fragment: String,
    ) -> Result<Patched, Problem> {
        self.handle.ask(|reply| Command::Patch { session, if_match, fragment, reply }).await?.map_err(refused)
    }

    /// The legs of a room as the engine sees them.
    pub(crate) async fn legs(&self, room: RoomKey) -> Result<Vec<SessionStats>, AskError> {
        self.handle.ask(|reply| Command::Legs { room, reply }).await
    }
}

/// The engine said no.
fn refused(error: SessionError) -> Problem {
    Problem::new(error.code(), error.to_string())
}

/// First characters of all ICE username fragments of a worker: `w` and its number in three hexadecimal digits.
fn ufrag_tag(number: u16) -> [u8; 4] {
    let digit = |shift: u32| b"0123456789abcdef"[usize::from(number >> shift) & 15];
    [b'w', digit(8), digit(4), digit(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_worker_has_a_tag_of_its_own() {
        assert_eq!(&ufrag_tag(0), b"w000");
        assert_eq!(&ufrag_tag(171), b"w0ab");
    }
}
