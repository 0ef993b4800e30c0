//! The loop of one worker thread: commands, datagrams, timers, packets out. One owner, no locks.

use crate::commands::{CommandReceiver, Received};
use crate::outbox::Outbox;
use crate::poller::Poller;
use crate::receive::{RecvBatch, RecvCounters};
use crate::send::{SendBatch, SendState};
use crate::socket::UdpSocket;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// Messages per receive.
const RECEIVE_MESSAGES: usize = 32;
/// Bytes of the send arena. It is sent whenever it is full, so it bounds what waits while the socket is blocked.
const ARENA_BYTES: usize = 512 << 10;
/// Receives and commands per round, so that neither starves the other or the timers.
const MAX_RECEIVES: usize = 4;
const MAX_COMMANDS: usize = 64;
/// Least wait after timers fired, so that a deadline in the past does not spin.
const LEAST_WAIT: Duration = Duration::from_millis(1);

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
    let mut poller = Poller::new(socket.as_raw_fd(), commands.waker().as_raw_fd()).map_err(WorkerError::Poll)?;
    let mut receive = RecvBatch::new(RECEIVE_MESSAGES);
    let mut arena = SendBatch::new(ARENA_BYTES);
    let mut least_wait = Duration::ZERO;
    loop {
        let ready = poller.wait(timeout(handler.poll_timeout(), least_wait)).map_err(WorkerError::Poll)?;
        if ready.readable {
            receive_round(&mut socket, &mut receive, &mut arena, handler)?;
        }
        let mut out = Outbox { socket: &mut socket, batch: &mut arena };
        let open = !ready.woken || command_round(commands, handler, &mut out);
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

fn timeout(deadline: Option<Instant>, least: Duration) -> Option<Duration> {
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
fn command_round<H: Handler>(commands: &CommandReceiver<H::Command>, handler: &mut H, out: &mut Outbox<'_>) -> bool {
    commands.waker().clear();
    for _ in 0..MAX_COMMANDS {
        match commands.receive() {
            Received::Command(command) => handler.handle_command(Instant::now(), command, out),
            Received::Empty => return true,
            Received::Closed => return false,
        }
    }
    commands.waker().wake();
    true
}
