//! The loop of one relay worker thread: listeners that all workers share by `SO_REUSEPORT`, thousands of UDP sockets
//! that open and close under keys of the handler's, TCP streams, commands, timers. One owner, no locks.
//!
//! UDP goes in and out by this module, batched and without an allocation per packet; a socket that takes no more loses
//! packets (counted), as a full router would. Streams are only watched: what is said on them is the handler's.

mod lanes;
mod net;
mod streams;

use crate::commands::CommandReceiver;
use crate::poller::{Events, Readiness};
use crate::receive::{RecvBatch, RecvCounters};
use crate::worker::{LEAST_WAIT, MAX_RECEIVES, WorkerError, command_round, timeout};
use net::Source;
pub use net::{RelayNet, RelayNetError};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use streams::Accepted;
pub use streams::StreamKey;

/// Events per wait.
const MAX_EVENTS: usize = 256;
/// Messages per receive of a listener, which carries everybody.
const LISTENER_MESSAGES: usize = 32;
/// Messages per receive of a relay socket, which carries one.
const RELAY_MESSAGES: usize = 8;
/// Connections taken per event of a TCP listener.
const MAX_ACCEPTS: usize = 32;

/// What was received so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RelayReceived {
    /// At the listening UDP sockets.
    pub listeners: RecvCounters,
    /// At the relay sockets.
    pub relays: RecvCounters,
}

/// What runs inside a relay worker. All calls come from its one thread.
pub trait RelayHandler {
    /// Told from outside by a [`CommandSender`](crate::CommandSender).
    type Command;

    /// A command.
    fn handle_command(&mut self, now: Instant, command: Self::Command, net: &mut RelayNet);
    /// A datagram at a listening UDP socket; the bytes may be changed in place.
    fn handle_listener(
        &mut self,
        now: Instant,
        listener: usize,
        from: SocketAddr,
        datagram: &mut [u8],
        net: &mut RelayNet,
    );
    /// A datagram at the relay socket `key`; the bytes may be changed in place.
    fn handle_relay(&mut self, now: Instant, key: u32, from: SocketAddr, datagram: &mut [u8], net: &mut RelayNet);
    /// A connection at a TCP listener; `false` ends it at once.
    fn handle_accept(
        &mut self,
        now: Instant,
        listener: usize,
        stream: StreamKey,
        from: SocketAddr,
        net: &mut RelayNet,
    ) -> bool;
    /// A stream can be read (which also tells its end) or, if that was wished for, written. What is left unread is told
    /// again.
    fn handle_stream(&mut self, now: Instant, stream: StreamKey, writable: bool, net: &mut RelayNet);
    /// The deadline of `poll_timeout` has passed.
    fn handle_timeout(&mut self, now: Instant, net: &mut RelayNet);
    /// When `handle_timeout` wants to be called next.
    fn poll_timeout(&self) -> Option<Instant>;
    /// The end of a round, before its UDP packets leave: streams are written, events go out, counters are published.
    fn end_round(&mut self, now: Instant, received: RelayReceived, net: &mut RelayNet);
}

/// Buffers of one worker; what they hold is handled before the next receive.
struct Buffers {
    listeners: RecvBatch,
    relays: RecvBatch,
}

/// Runs `handler` on `net` until every sender of `commands` is gone. Reads the clock once per batch.
///
/// # Errors
/// When a socket or the epoll set breaks; never because of what peers send.
pub fn run_relay_worker<H: RelayHandler>(
    mut net: RelayNet,
    commands: &CommandReceiver<H::Command>,
    handler: &mut H,
) -> Result<(), WorkerError> {
    net.watch_waker(commands.waker()).map_err(WorkerError::Poll)?;
    let mut buffers = Buffers { listeners: RecvBatch::new(LISTENER_MESSAGES), relays: RecvBatch::new(RELAY_MESSAGES) };
    let mut events = Events::new(MAX_EVENTS);
    let mut least_wait = Duration::ZERO;
    loop {
        let deadline = [handler.poll_timeout(), net.poll_timeout()].into_iter().flatten().min();
        net.wait(&mut events, timeout(deadline, least_wait)).map_err(WorkerError::Poll)?;
        let found = || (0..events.len()).filter_map(|index| events.get(index));
        // Commands first: who was told that one is under way may send at once.
        let woken = found().any(|event| matches!(Source::from_token(event.token), Some(Source::Waker)));
        let open =
            !woken || command_round(commands, |command| handler.handle_command(Instant::now(), command, &mut net));
        for event in found() {
            handle_event(event, &mut net, &mut buffers, handler)?;
        }
        let now = Instant::now();
        least_wait = Duration::ZERO;
        if handler.poll_timeout().is_some_and(|deadline| deadline <= now) {
            handler.handle_timeout(now, &mut net);
            least_wait = LEAST_WAIT;
        }
        net.handle_timeout(now).map_err(WorkerError::Poll)?;
        let received = RelayReceived { listeners: buffers.listeners.counters(), relays: buffers.relays.counters() };
        handler.end_round(now, received, &mut net);
        net.flush();
        if !open {
            return Ok(());
        }
    }
}

fn handle_event<H: RelayHandler>(
    event: Readiness,
    net: &mut RelayNet,
    buffers: &mut Buffers,
    handler: &mut H,
) -> Result<(), WorkerError> {
    match Source::from_token(event.token) {
        Some(Source::Listener(listener)) => listener_round(listener, net, &mut buffers.listeners, handler)?,
        Some(Source::Relay { key, generation }) => {
            relay_round((key, generation), net, &mut buffers.relays, handler)?;
        }
        Some(Source::Acceptor(listener)) => accept_round(listener, net, handler)?,
        Some(Source::Stream(stream)) if net.stream(stream).is_some() => {
            handler.handle_stream(Instant::now(), stream, event.writable, net);
        }
        // Ended by a command or an earlier event of the same wait: its key is dead.
        Some(Source::Stream(_) | Source::Waker) | None => {}
    }
    Ok(())
}

fn listener_round<H: RelayHandler>(
    listener: usize,
    net: &mut RelayNet,
    batch: &mut RecvBatch,
    handler: &mut H,
) -> Result<(), WorkerError> {
    for _ in 0..MAX_RECEIVES {
        let messages = net.receive_listener(listener, batch).map_err(WorkerError::Receive)?;
        if messages == 0 {
            return Ok(());
        }
        let now = Instant::now();
        for (from, datagram) in batch.datagrams() {
            handler.handle_listener(now, listener, from, datagram, net);
        }
        if messages < batch.capacity() {
            return Ok(());
        }
    }
    Ok(())
}

fn relay_round<H: RelayHandler>(
    (key, generation): (u32, u32),
    net: &mut RelayNet,
    batch: &mut RecvBatch,
    handler: &mut H,
) -> Result<(), WorkerError> {
    for _ in 0..MAX_RECEIVES {
        // 0 also when it was closed meanwhile.
        let messages = net.receive_relay(key, generation, batch).map_err(WorkerError::Receive)?;
        if messages == 0 {
            return Ok(());
        }
        let now = Instant::now();
        for (from, datagram) in batch.datagrams() {
            // The handler may close it on any datagram.
            if net.relay(key, generation).is_none() {
                return Ok(());
            }
            handler.handle_relay(now, key, from, datagram, net);
        }
        if messages < batch.capacity() {
            return Ok(());
        }
    }
    Ok(())
}

fn accept_round<H: RelayHandler>(listener: usize, net: &mut RelayNet, handler: &mut H) -> Result<(), WorkerError> {
    for _ in 0..MAX_ACCEPTS {
        let now = Instant::now();
        match net.accept(now, listener).map_err(WorkerError::Poll)? {
            Accepted::Stream(stream, from) => {
                if !handler.handle_accept(now, listener, stream, from, net) {
                    net.close_stream(stream);
                }
            }
            Accepted::Refused => {}
            Accepted::Nobody | Accepted::Exhausted => return Ok(()),
        }
    }
    Ok(())
}
