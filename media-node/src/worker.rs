//! One media worker: a thread of its own around an engine and its UDP socket, and the way to speak to it.
//!
//! Commands are bounded and answered by oneshot channels; what must not be lost (rooms, ends of sessions) has room in
//! the channel for all that a node can hold. A worker that panics or breaks ends the process: half a node serves nobody.

mod thread;

use crate::rooms::Action;
use plenum_dataplane::{CommandSender, RecvCounters, SendCounters, SocketError, UdpSocket, command_channel};
use plenum_media_core::{
    Answer, Certificate, Counters, Engine, EngineConfig, Event, Limits, Patched, RelayTable, RoomKey, SessionError,
    SessionKey, SessionKind, SessionStats,
};
use plenum_protocol::control::IfMatch;
use plenum_protocol::problem::{Code, Problem};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Commands that may wait: rooms and sessions of a full node, and the questions below.
const COMMAND_BOUND: usize = 1 << 15;
/// Questions (open, patch, legs) that may wait for one worker; more are refused.
const QUESTIONS: usize = 512;
/// Longest wait for an answer of a worker.
const ANSWER_DEADLINE: Duration = Duration::from_secs(3);
/// Events that may wait for the registry; a worker keeps the rest until there is room.
const EVENT_BOUND: usize = 4096;

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

/// How a worker ended; news only if nobody asked for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("media worker {worker}: {reason}")]
pub struct WorkerFailed {
    /// Which one.
    pub worker: u16,
    /// In plain words.
    pub reason: String,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// Too many wait already.
    #[error("the media worker is busy; try again")]
    Busy,
    /// No answer in time, or the worker is gone.
    #[error("the media worker did not answer")]
    Silent,
    /// The engine said no.
    #[error(transparent)]
    Refused(#[from] SessionError),
}

impl AskError {
    /// The problem document.
    pub(crate) fn problem(&self) -> Problem {
        let code = match self {
            Self::Busy | Self::Silent => Code::Unavailable,
            Self::Refused(error) => error.code(),
        };
        Problem::new(code, self.to_string())
    }
}

/// What all workers of a process share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) certificate: Certificate,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) failures: mpsc::Sender<WorkerFailed>,
}

/// The channel for [`Shared::events`].
pub(crate) fn event_channel() -> (mpsc::Sender<Event>, mpsc::Receiver<Event>) {
    mpsc::channel(EVENT_BOUND)
}

/// The way to one worker. The worker ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Worker {
    number: u16,
    port: u16,
    commands: CommandSender<Command>,
    questions: Semaphore,
    failures: mpsc::Sender<WorkerFailed>,
}

impl Worker {
    /// Binds `port` (0: any) and starts the thread.
    pub(crate) fn start(number: u16, port: u16, shared: Shared) -> Result<Self, StartError> {
        let failed = |source| StartError::Thread { worker: number, source };
        let socket = UdpSocket::bind_any(port)?;
        let port = socket.local_addr().map_err(failed)?.port();
        let (commands, receiver) = command_channel(COMMAND_BOUND).map_err(failed)?;
        let config = EngineConfig {
            worker: number,
            ufrag_tag: ufrag_tag(number),
            seed: rand::random(),
            certificate: shared.certificate,
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
        let failures = shared.failures.clone();
        let engine = Engine::new(config, Instant::now());
        let parts = thread::Parts { number, port, engine, events: shared.events };
        thread::spawn(parts, socket, receiver, shared.failures).map_err(failed)?;
        Ok(Self { number, port, commands, questions: Semaphore::new(QUESTIONS), failures })
    }

    /// The UDP port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Tells what must not be lost. A worker that has no room for it is stuck, which ends the process.
    pub(crate) fn tell(&self, command: Command) {
        if let Err(error) = self.commands.send(command) {
            tracing::error!(worker = self.number, %error, "a media worker takes no commands");
            // Full means that the failure of some worker is on its way already.
            drop(self.failures.try_send(WorkerFailed { worker: self.number, reason: error.to_string() }));
        }
    }

    /// Asks the engine for a session.
    pub(crate) async fn open(
        &self,
        room: RoomKey,
        session: SessionKey,
        kind: SessionKind,
        offer: String,
    ) -> Result<Answer, AskError> {
        Ok(self.ask(|reply| Command::Open { room, session, kind, offer, reply }).await??)
    }

    /// Hands a client's fragment to a session.
    pub(crate) async fn patch(
        &self,
        session: SessionKey,
        if_match: Option<IfMatch>,
        fragment: String,
    ) -> Result<Patched, AskError> {
        Ok(self.ask(|reply| Command::Patch { session, if_match, fragment, reply }).await??)
    }

    /// The legs of a room as the engine sees them.
    pub(crate) async fn legs(&self, room: RoomKey) -> Result<Vec<SessionStats>, AskError> {
        self.ask(|reply| Command::Legs { room, reply }).await
    }

    /// What the worker counted.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, AskError> {
        self.ask(|reply| Command::Snapshot { reply }).await
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, AskError> {
        let _place = self.questions.try_acquire().map_err(|_| AskError::Busy)?;
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).map_err(|_| AskError::Silent)?;
        match tokio::time::timeout(ANSWER_DEADLINE, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(AskError::Silent),
        }
    }
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
