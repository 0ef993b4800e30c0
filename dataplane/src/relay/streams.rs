//! TCP listeners and the streams that they took, by keys that do not come back soon.

use crate::socket::set_option;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Connections that may wait to be taken; more are the kernel's to refuse.
const BACKLOG: i32 = 1024;
/// Unsent bytes that the kernel holds for a stream; more only delays what is relayed.
const UNSENT_BYTES: libc::c_int = 64 << 10;
/// How long sent bytes may stay without an answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// How long a stream may be silent before the kernel asks whether the other side is there.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Slots fit into 16 bits of a key.
pub(super) const MAX_STREAMS: usize = 1 << 16;

/// Names a stream of one worker. The key of an ended stream comes back after 65,535 others in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey(u32);

impl StreamKey {
    fn new(slot: usize, generation: u16) -> Self {
        Self(u32::from(generation) << 16 | (slot as u32 & 0xffff))
    }

    /// As a number.
    #[must_use]
    pub fn to_bits(self) -> u32 {
        self.0
    }

    /// The key of [`StreamKey::to_bits`].
    #[must_use]
    pub fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Small number that no other living stream of the worker has: an index for the handler's own tables.
    #[must_use]
    pub fn slot(self) -> usize {
        (self.0 & 0xffff) as usize
    }

    fn generation(self) -> u16 {
        (self.0 >> 16) as u16
    }
}

#[derive(Debug)]
struct Slot {
    generation: u16,
    stream: Option<TcpStream>,
    wants_write: bool,
}

/// What an accept brought.
pub(super) enum Accepted {
    Stream(StreamKey, SocketAddr),
    /// A connection that had no place: it is closed already.
    Refused,
    /// Nobody waits.
    Nobody,
    /// The process or the host has no room for another descriptor.
    Exhausted,
}

/// The listeners and streams of one worker.
#[derive(Debug)]
pub(super) struct Streams {
    listeners: Vec<Socket>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    max: usize,
}

impl Streams {
    /// At most `max` streams at once.
    pub(super) fn new(max: usize) -> Self {
        Self { listeners: Vec::new(), slots: Vec::new(), free: Vec::new(), max: max.min(MAX_STREAMS) }
    }

    /// Listens on `address`, which others may bind too; the kernel spreads connections over them.
    pub(super) fn listen(&mut self, address: SocketAddr) -> io::Result<&Socket> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())?;
        // Streams inherit all of these.
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_user_timeout(Some(ANSWER_DEADLINE))?;
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4))?;
        set_option(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, UNSENT_BYTES)?;
        socket.listen(BACKLOG)?;
        self.listeners.push(socket);
        self.listeners.last().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn listeners(&self) -> &[Socket] {
        &self.listeners
    }

    pub(super) fn accept(&mut self, listener: usize) -> io::Result<Accepted> {
        let Some(socket) = self.listeners.get(listener) else { return Ok(Accepted::Nobody) };
        let (socket, from) = match socket.accept4(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) {
            Ok((socket, from)) => (socket, from),
            Err(error) => {
                return match error.raw_os_error() {
                    Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => Ok(Accepted::Exhausted),
                    Some(libc::EBADF | libc::ENOTSOCK | libc::EINVAL | libc::EFAULT | libc::EOPNOTSUPP) => Err(error),
                    // Nobody there any more: interrupted, or the connection was reset before it was taken.
                    _ => Ok(Accepted::Nobody),
                };
            }
        };
        let Some(from) = from.as_socket().map(unmap) else { return Ok(Accepted::Nobody) };
        Ok(self.insert(socket.into()).map_or(Accepted::Refused, |key| Accepted::Stream(key, from)))
    }

    fn insert(&mut self, stream: TcpStream) -> Option<StreamKey> {
        let slot = match self.free.pop() {
            Some(slot) => slot as usize,
            None if self.slots.len() < self.max => {
                self.slots.push(Slot { generation: 0, stream: None, wants_write: false });
                self.slots.len() - 1
            }
            None => return None,
        };
        let place = self.slots.get_mut(slot)?;
        place.stream = Some(stream);
        place.wants_write = false;
        Some(StreamKey::new(slot, place.generation))
    }

    pub(super) fn get(&self, key: StreamKey) -> Option<&TcpStream> {
        let slot = self.slots.get(key.slot())?;
        slot.stream.as_ref().filter(|_| slot.generation == key.generation())
    }

    /// Remembers the wish; the stream if it is another than before.
    pub(super) fn set_wants_write(&mut self, key: StreamKey, wants_write: bool) -> Option<&TcpStream> {
        let slot = self.slots.get_mut(key.slot()).filter(|slot| slot.generation == key.generation())?;
        let before = std::mem::replace(&mut slot.wants_write, wants_write);
        slot.stream.as_ref().filter(|_| before != wants_write)
    }

    /// Ends a stream; nothing when it is over.
    pub(super) fn close(&mut self, key: StreamKey) {
        if let Some(slot) = self.slots.get_mut(key.slot()).filter(|slot| slot.generation == key.generation())
            && slot.stream.take().is_some()
        {
            slot.generation = slot.generation.wrapping_add(1);
            self.free.push(key.slot() as u32);
        }
    }
}

/// A v4-mapped address as IPv4.
fn unmap(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
