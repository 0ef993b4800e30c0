//! The loop of one worker thread: commands, datagrams, timers, packets out. One owner, no locks.

use crate::commands::{CommandReceiver, Received};
use crate::outbox::Outbox;
use crate::poller::{Events, Interest, Poller};
use crate::receive::{RecvBatch, RecvCounters};
use crate::send::SendBatch;
use crate::socket::UdpSocket;
use crate::train::SendState;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

/// Messages per receive.
const RECEIVE_MESSAGES: usize = 32;
/// Bytes of the send arena. It is sent whenever it is full, so it bounds what waits while the socket is blocked.
const ARENA_BYTES: usize = 512 << 10;
/// Receives and commands per round, so that neither starves the other or the timers.
pub(crate) const MAX_RECEIVES: usize = 4;
const MAX_COMMANDS: usize = 64;
/// Least wait after timers fired, so that a deadline in the past does not spin.
pub(crate) const LEAST_WAIT: Duration = Duration::from_millis(1);

const SOCKET: u64 = 0;
const WAKER: u64 = 1;

/// What runs inside a worker. All calls come from its one thread.
pub trait Handler {
    /// Told from outside by a [`CommandSender`](crate::CommandSender).
    type Command;

    /// A command.
    fn handle_command(&mut self, now: Instant, command: Self::Command, out: &mut Outbox<'_>);
    /// A datagram; the bytes may be changed in place.
    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &mut [u8], out: &mut Outbox<'_>);
    /// All datagrams of a receive were handed over.
    fn flush(&mut self, now: Instant, out: &mut Outbox<'_>);
    /// The deadline of `poll_timeout` has passed.
    fn handle_timeout(&mut self, now: Instant, out: &mut Outbox<'_>);
    /// When `handle_timeout` wants to be called next.
    fn poll_timeout(&self) -> Option<Instant>;
    /// The end of a round, whatever was in it: events go out, counters are published.
    fn end_round(&mut self, now: Instant, received: RecvCounters, out: &mut Outbox<'_>);
}

/// Why a worker could not go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The epoll set failed.
    #[error("waiting for the worker's socket: {0}")]
    Poll(#[source] io::Error),
    /// The socket failed.
    #[error("receiving from the worker's socket: {0}")]
    Receive(#[source] io::Error),
}

/// Runs `handler` on `socket` until every sender of `commands` is gone. Reads the clock once per batch.
///
/// # Errors
/// When the socket or the epoll set breaks; never because of what peers send.
pub fn run_worker<H: Handler>(
    mut socket: UdpSocket,
    commands: &CommandReceiver<H::Command>,
    handler: &mut H,
) -> Result<(), WorkerError> {
    let mut poller = Watch::new(&socket, commands).map_err(WorkerError::Poll)?;
    let mut receive = RecvBatch::new(RECEIVE_MESSAGES);
    let mut arena = SendBatch::new(ARENA_BYTES);
    let mut least_wait = Duration::ZERO;
    loop {
        let ready = poller.wait(timeout(handler.poll_timeout(), least_wait)).map_err(WorkerError::Poll)?;
        if ready.readable {
            receive_round(&mut socket, &mut receive, &mut arena, handler)?;
        }
        let mut out = Outbox { socket: &mut socket, batch: &mut arena };
        let open = !ready.woken
            || command_round(commands, |command| handler.handle_command(Instant::now(), command, &mut out));
        let now = Instant::now();
        least_wait = Duration::ZERO;
        if handler.poll_timeout().is_some_and(|deadline| deadline <= now) {
            handler.handle_timeout(now, &mut out);
            least_wait = LEAST_WAIT;
        }
        handler.end_round(now, receive.counters(), &mut out);
        let state = out.send();
        if !open {
            return Ok(());
        }
        poller.set_wants_write(state == SendState::Blocked).map_err(WorkerError::Poll)?;
    }
}

/// The epoll set of one socket and the waker.
#[derive(Debug)]
struct Watch {
    poller: Poller,
    events: Events,
    socket: RawFd,
    wants_write: bool,
}

/// What a wait found.
#[derive(Debug, Clone, Copy, Default)]
struct Ready {
    /// Datagrams, or an error that a receive will tell. Room to write needs no mention: every round sends.
    readable: bool,
    /// The waker woke.
    woken: bool,
}

impl Watch {
    /// Both must outlive it; the worker loop owns all three.
    fn new<C>(socket: &UdpSocket, commands: &CommandReceiver<C>) -> io::Result<Self> {
        let poller = Poller::new()?;
        let socket = socket.as_raw_fd();
        poller.add(socket, SOCKET, Interest::Read)?;
        poller.add(commands.waker().as_raw_fd(), WAKER, Interest::Read)?;
        Ok(Self { poller, events: Events::new(2), socket, wants_write: false })
    }

    /// Also wake when the socket can be written, or no more.
    fn set_wants_write(&mut self, wants_write: bool) -> io::Result<()> {
        if self.wants_write != wants_write {
            let interest = if wants_write { Interest::ReadWrite } else { Interest::Read };
            self.poller.change(self.socket, SOCKET, interest)?;
            self.wants_write = wants_write;
        }
        Ok(())
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<Ready> {
        self.poller.wait(&mut self.events, timeout)?;
        let mut ready = Ready::default();
        for event in (0..self.events.len()).filter_map(|index| self.events.get(index)) {
            match event.token {
                WAKER => ready.woken = true,
                _ => ready.readable |= event.readable,
            }
        }
        Ok(ready)
    }
}

pub(crate) fn timeout(deadline: Option<Instant>, least: Duration) -> Option<Duration> {
    deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()).max(least))
}

fn receive_round<H: Handler>(
    socket: &mut UdpSocket,
    receive: &mut RecvBatch,
    arena: &mut SendBatch,
    handler: &mut H,
) -> Result<(), WorkerError> {
    for _ in 0..MAX_RECEIVES {
        let messages = socket.receive(receive).map_err(WorkerError::Receive)?;
        if messages == 0 {
            return Ok(());
        }
        let now = Instant::now();
        let mut out = Outbox { socket: &mut *socket, batch: &mut *arena };
        for (from, datagram) in receive.datagrams() {
            handler.handle_datagram(now, from, datagram, &mut out);
        }
        handler.flush(now, &mut out);
        out.send();
        if messages < receive.capacity() {
            return Ok(());
        }
    }
    Ok(())
}

/// Handles waiting commands; `false` when all senders are gone.
pub(crate) fn command_round<C>(commands: &CommandReceiver<C>, mut handle: impl FnMut(C)) -> bool {
    commands.waker().clear();
    for _ in 0..MAX_COMMANDS {
        match commands.receive() {
            Received::Command(command) => handle(command),
            Received::Empty => return true,
            Received::Closed => return false,
        }
    }
    commands.waker().wake();
    true
}
