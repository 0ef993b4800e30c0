//! One non-blocking UDP socket with segmentation offload both ways where the kernel has it.

use crate::address::RawAddress;
use crate::receive::RecvBatch;
use crate::send::{MAX_MESSAGES, Message, Offload, SendBatch, SendState};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};

/// Asked of the kernel for each direction; it may give less (`net.core.rmem_max`, `wmem_max`).
const BUFFER_BYTES: usize = 4 << 20;
/// Control message space: UDP_SEGMENT needs 24 bytes.
type Control = [u64; 3];

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

/// A bound UDP socket and what sending needs. Receiving and sending never block.
pub struct UdpSocket {
    socket: Socket,
    /// An IPv6 socket that carries IPv4 too.
    dual: bool,
    gro: bool,
    offload: Offload,
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
        Self::open(address).map_err(|source| SocketError::Bind { address, source })
    }

    fn open(address: SocketAddr) -> io::Result<Self> {
        let dual = address.is_ipv6() && address.ip().is_unspecified();
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(!dual)?;
        }
        socket.set_nonblocking(true)?;
        // Best effort: a small buffer costs bursts, which the counters show.
        let _smaller_in = socket.set_recv_buffer_size(BUFFER_BYTES).is_err();
        let _smaller_out = socket.set_send_buffer_size(BUFFER_BYTES).is_err();
        socket.bind(&address.into())?;
        let fd = socket.as_raw_fd();
        let gro = set_option(fd, libc::SOL_UDP, libc::UDP_GRO, 1).is_ok();
        // Zero is the default: this only asks whether the kernel knows the option.
        let gso = set_option(fd, libc::SOL_UDP, libc::UDP_SEGMENT, 0).is_ok();
        // Without it kernel drops are not counted; nothing else changes.
        let _uncounted = set_option(fd, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1).is_err();
        Ok(Self { socket, dual, gro, offload: Offload::new(gso), scratch: Scratch::new() })
    }

    /// The bound address.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    /// Effective receive and send buffer sizes in bytes, as the kernel counts.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn buffer_sizes(&self) -> io::Result<(usize, usize)> {
        Ok((self.socket.recv_buffer_size()?, self.socket.send_buffer_size()?))
    }

    /// Trains come in whole (UDP_GRO).
    #[must_use]
    pub fn receives_trains(&self) -> bool {
        self.gro
    }

    /// Trains go out whole (UDP_SEGMENT). Becomes false when the kernel refuses them.
    #[must_use]
    pub fn sends_trains(&self) -> bool {
        self.offload.is_enabled()
    }

    /// Receives what is there; 0 messages when nothing is. Errors that a peer can cause are counted in the batch.
    ///
    /// # Errors
    /// When the socket itself is broken.
    pub fn receive(&self, batch: &mut RecvBatch) -> io::Result<usize> {
        match batch.fill(self.socket.as_raw_fd()) {
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

    /// Sends what is in the arena, as far as the socket takes it. Packets that the kernel refuses are counted drops.
    pub fn send(&mut self, batch: &mut SendBatch) -> SendState {
        let (fd, dual, scratch) = (self.socket.as_raw_fd(), self.dual, &mut self.scratch);
        batch.drain(&mut self.offload, |bytes, messages| scratch.send(fd, dual, bytes, messages))
    }
}

impl AsRawFd for UdpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl std::fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UdpSocket")
            .field("socket", &self.socket)
            .field("dual", &self.dual)
            .field("gro", &self.gro)
            .field("gso", &self.offload.is_enabled())
            .finish_non_exhaustive()
    }
}

fn set_option(fd: RawFd, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `value` is an int that lives across the call, and `len` is its size.
    let result = unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), len) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Headers for one `sendmmsg`. Their pointers mean something only during [`Scratch::send`].
struct Scratch {
    names: Box<[RawAddress]>,
    control: Box<[Control]>,
    vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
}

// SAFETY: the raw pointers inside are written and read within one call of `send`, which has the only reference; between
// calls nobody follows them, so the buffers may move to another thread.
unsafe impl Send for Scratch {}

impl Scratch {
    fn new() -> Self {
        // SAFETY: `mmsghdr` is integers and pointers; all zero is a valid value of it.
        let header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        let vector = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        Self {
            names: vec![RawAddress::EMPTY; MAX_MESSAGES].into_boxed_slice(),
            control: vec![Control::default(); MAX_MESSAGES].into_boxed_slice(),
            vectors: vec![vector; MAX_MESSAGES].into_boxed_slice(),
            headers: vec![header; MAX_MESSAGES].into_boxed_slice(),
        }
    }

    /// One `sendmmsg`: how many messages went, or the error of the first.
    fn send(&mut self, fd: RawFd, dual: bool, bytes: &[u8], messages: &[Message]) -> io::Result<usize> {
        let count = self.prepare(dual, bytes, messages);
        // SAFETY: the first `count` headers were just pointed at live buffers with true lengths; `bytes` and the
        // buffers of this scratch stay where they are until the call returns, and the kernel only reads them.
        let result = unsafe { libc::sendmmsg(fd, self.headers.as_mut_ptr(), count, libc::MSG_DONTWAIT as _) };
        usize::try_from(result).map_err(|_| io::Error::last_os_error())
    }

    fn prepare(&mut self, dual: bool, bytes: &[u8], messages: &[Message]) -> libc::c_uint {
        let mut count = 0;
        let places = self.names.iter_mut().zip(self.control.iter_mut());
        let headers = self.headers.iter_mut().zip(self.vectors.iter_mut()).zip(places);
        for (message, ((header, vector), (name, control))) in messages.iter().zip(headers) {
            let payload = bytes.get(message.start..message.start + message.len).unwrap_or_default();
            let (raw, raw_len) = RawAddress::new(message.to, dual);
            *name = raw;
            *vector = libc::iovec { iov_base: payload.as_ptr().cast_mut().cast(), iov_len: payload.len() };
            let inner = &mut header.msg_hdr;
            inner.msg_name = std::ptr::from_mut(name).cast();
            inner.msg_namelen = raw_len;
            inner.msg_iov = vector;
            inner.msg_iovlen = 1;
            inner.msg_flags = 0;
            set_segment(inner, control, message);
            count += 1;
        }
        count
    }
}

/// Names the segment size of a train in the header's control message; a single packet has none.
fn set_segment(header: &mut libc::msghdr, control: &mut Control, message: &Message) {
    let segment = u16::try_from(message.segment).unwrap_or(0);
    if message.packets() <= 1 || segment == 0 {
        header.msg_control = std::ptr::null_mut();
        header.msg_controllen = 0;
        return;
    }
    header.msg_control = std::ptr::from_mut(control).cast();
    // SAFETY: `control` is 24 bytes, aligned to 8: CMSG_SPACE(2) is 24, so the one control message with its u16 lies
    // within it, and CMSG_FIRSTHDR is not null. The payload is written unaligned.
    unsafe {
        header.msg_controllen = libc::CMSG_SPACE(size_of::<u16>() as u32) as _;
        let first = libc::CMSG_FIRSTHDR(header);
        (*first).cmsg_level = libc::SOL_UDP;
        (*first).cmsg_type = libc::UDP_SEGMENT;
        (*first).cmsg_len = libc::CMSG_LEN(size_of::<u16>() as u32) as _;
        libc::CMSG_DATA(first).cast::<u16>().write_unaligned(segment);
    }
}
