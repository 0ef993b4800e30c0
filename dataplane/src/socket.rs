//! Non-blocking UDP sockets with segmentation offload both ways where the kernel has it.

use crate::receive::RecvBatch;
use crate::scratch::Scratch;
use crate::send::SendBatch;
use crate::train::{Offload, SendState};
use socket2::{Domain, Protocol, Socket, Type};
use std::cell::Cell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};

/// Asked of the kernel for each direction; it may give less (`net.core.rmem_max`, `wmem_max`).
pub(crate) const BUFFER_BYTES: usize = 4 << 20;

/// Why a socket could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The kernel refused the address or the socket.
    #[error("binding udp {address}: {source}")]
    Bind {
        /// What was asked for.
        address: SocketAddr,
        /// The kernel's reason.
        source: io::Error,
    },
}

/// How an [`Endpoint`] is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EndpointOptions {
    /// Socket buffer of each direction, bytes. The kernel counts against it, it does not set it aside.
    pub(crate) buffer_bytes: usize,
    /// Others may bind the same address; the kernel spreads flows over them.
    pub(crate) reuse_port: bool,
}

/// A bound UDP socket without what sending and receiving need: small, so that one worker can have thousands.
#[derive(Debug)]
pub(crate) struct Endpoint {
    socket: Socket,
    /// An IPv6 socket that carries IPv4 too.
    dual: bool,
    gro: bool,
    offload: Offload,
    /// Datagrams that the kernel dropped, as far as they are counted.
    dropped: Cell<u32>,
}

impl Endpoint {
    /// A socket on `address`; `[::]` carries IPv4 too.
    pub(crate) fn open(address: SocketAddr, options: EndpointOptions) -> io::Result<Self> {
        let dual = address.is_ipv6() && address.ip().is_unspecified();
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(!dual)?;
        }
        if options.reuse_port {
            socket.set_reuse_port(true)?;
        }
        // Best effort: a small buffer costs bursts, which the counters show.
        let _smaller_in = socket.set_recv_buffer_size(options.buffer_bytes).is_err();
        let _smaller_out = socket.set_send_buffer_size(options.buffer_bytes).is_err();
        socket.bind(&address.into())?;
        let fd = socket.as_raw_fd();
        // Costs a few percent where nothing merges (audio alone), and saves more than half where bursts do (video).
        let gro = set_option(fd, libc::SOL_UDP, libc::UDP_GRO, 1).is_ok();
        // Zero is the default: this only asks whether the kernel knows the option.
        let gso = set_option(fd, libc::SOL_UDP, libc::UDP_SEGMENT, 0).is_ok();
        // Without it kernel drops are not counted; nothing else changes.
        let _uncounted = set_option(fd, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1).is_err();
        Ok(Self { socket, dual, gro, offload: Offload::new(gso), dropped: Cell::new(0) })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    /// Descriptor, dual-stack, and what is known of offload: what a send needs.
    pub(crate) fn parts(&mut self) -> (RawFd, bool, &mut Offload) {
        (self.socket.as_raw_fd(), self.dual, &mut self.offload)
    }

    /// Receives what is there; 0 messages when nothing is. Errors that a peer can cause are counted in the batch.
    pub(crate) fn receive(&self, batch: &mut RecvBatch) -> io::Result<usize> {
        match batch.fill(self.socket.as_raw_fd(), &self.dropped) {
            Ok(messages) => Ok(messages),
            Err(error) => match error.raw_os_error() {
                Some(libc::EAGAIN | libc::EINTR) => Ok(0),
                Some(libc::EBADF | libc::ENOTSOCK | libc::EINVAL | libc::EFAULT) | None => Err(error),
                Some(_) => {
                    batch.count_error();
                    Ok(0)
                }
            },
        }
    }
}

impl AsRawFd for Endpoint {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// A bound UDP socket and what sending needs. Receiving and sending never block.
pub struct UdpSocket {
    endpoint: Endpoint,
    scratch: Scratch,
}

impl UdpSocket {
    /// A socket on every address of the host: IPv6 and IPv4 where the host has both, else IPv4.
    ///
    /// # Errors
    /// When the port is taken or no socket can be made.
    pub fn bind_any(port: u16) -> Result<Self, SocketError> {
        match Self::bind(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)) {
            Ok(socket) => Ok(socket),
            Err(SocketError::Bind { source, .. }) if source.kind() != io::ErrorKind::AddrInUse => {
                Self::bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port))
            }
            Err(error) => Err(error),
        }
    }

    /// A socket on `address`; `[::]` carries IPv4 too.
    ///
    /// # Errors
    /// When the address is taken or not of this host, or no socket can be made.
    pub fn bind(address: SocketAddr) -> Result<Self, SocketError> {
        let options = EndpointOptions { buffer_bytes: BUFFER_BYTES, reuse_port: false };
        let endpoint = Endpoint::open(address, options).map_err(|source| SocketError::Bind { address, source })?;
        Ok(Self { endpoint, scratch: Scratch::new() })
    }

    /// The bound address.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Effective receive and send buffer sizes in bytes, as the kernel counts.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn buffer_sizes(&self) -> io::Result<(usize, usize)> {
        let socket = &self.endpoint.socket;
        Ok((socket.recv_buffer_size()?, socket.send_buffer_size()?))
    }

    /// Trains come in whole (UDP_GRO).
    #[must_use]
    pub fn receives_trains(&self) -> bool {
        self.endpoint.gro
    }

    /// From now on datagrams come in one by one, as where the kernel has no UDP_GRO: what others are measured beside.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn receive_singles(&mut self) -> io::Result<()> {
        set_option(self.as_raw_fd(), libc::SOL_UDP, libc::UDP_GRO, 0)?;
        self.endpoint.gro = false;
        Ok(())
    }

    /// Trains go out whole (UDP_SEGMENT). Becomes false when the kernel refuses them.
    #[must_use]
    pub fn sends_trains(&self) -> bool {
        self.endpoint.offload.is_enabled()
    }

    /// Receives what is there; 0 messages when nothing is. Errors that a peer can cause are counted in the batch.
    ///
    /// # Errors
    /// When the socket itself is broken.
    pub fn receive(&self, batch: &mut RecvBatch) -> io::Result<usize> {
        self.endpoint.receive(batch)
    }

    /// Sends what is in the arena, as far as the socket takes it. Packets that the kernel refuses are counted drops.
    pub fn send(&mut self, batch: &mut SendBatch) -> SendState {
        let (fd, dual, offload) = self.endpoint.parts();
        let scratch = &mut self.scratch;
        batch.drain(offload, |bytes, messages| scratch.send(fd, dual, bytes, messages))
    }
}

impl AsRawFd for UdpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.endpoint.as_raw_fd()
    }
}

impl std::fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UdpSocket").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

pub(crate) fn set_option(fd: RawFd, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `value` is an int that lives across the call, and `len` is its size.
    let result = unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), len) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
