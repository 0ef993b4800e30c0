//! Receive buffers: what one `recvmmsg` brings, handed out as single datagrams (GRO trains are split here).

use crate::address::{RAW_ADDRESS_LEN, RawAddress};
use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;

/// One message: the largest GRO train.
const MESSAGE_BYTES: usize = 65_535;
/// Control message space: UDP_GRO and SO_RXQ_OVFL need 24 bytes each.
type Control = [u64; 8];

/// What was received so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecvCounters {
    /// `recvmmsg` calls that brought something.
    pub calls: u64,
    /// Messages: trains or single datagrams.
    pub messages: u64,
    /// Datagrams.
    pub datagrams: u64,
    /// Payload bytes.
    pub bytes: u64,
    /// Empty, truncated, or without a source that could be answered (port 0): not handed out.
    pub unusable: u64,
    /// Dropped by the kernel because the socket's receive buffer was full.
    pub overflowed: u64,
    /// Errors told by the socket (a peer's ICMP, for one).
    pub errors: u64,
}

#[derive(Debug, Clone, Copy)]
struct Message {
    from: SocketAddr,
    len: usize,
    segment: usize,
}

/// Buffers for one `recvmmsg`, used again and again. About 64 KiB of address space per message.
pub struct RecvBatch {
    bytes: Box<[u8]>,
    names: Box<[RawAddress]>,
    control: Box<[Control]>,
    vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
    /// One per message of the last receive; `None` when it is unusable.
    received: Vec<Option<Message>>,
    counters: RecvCounters,
}

impl RecvBatch {
    /// Room for `messages` messages, at least one.
    #[must_use]
    pub fn new(messages: usize) -> Self {
        let messages = messages.max(1);
        let vector = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        // SAFETY: `mmsghdr` is integers and pointers; all zero is a valid value of it.
        let header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        Self {
            bytes: vec![0; messages * MESSAGE_BYTES].into_boxed_slice(),
            names: vec![RawAddress::EMPTY; messages].into_boxed_slice(),
            control: vec![Control::default(); messages].into_boxed_slice(),
            vectors: vec![vector; messages].into_boxed_slice(),
            headers: vec![header; messages].into_boxed_slice(),
            received: Vec::with_capacity(messages),
            counters: RecvCounters::default(),
        }
    }

    /// Most messages per receive.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.headers.len()
    }

    /// Counts so far.
    #[must_use]
    pub fn counters(&self) -> RecvCounters {
        self.counters
    }

    /// The datagrams of the last receive, in order of arrival.
    pub fn datagrams(&mut self) -> impl Iterator<Item = (SocketAddr, &mut [u8])> {
        self.received.iter().zip(self.bytes.chunks_exact_mut(MESSAGE_BYTES)).flat_map(|(message, bytes)| {
            let (from, len, segment) = message.map_or((None, 0, 1), |m| (Some(m.from), m.len, m.segment));
            let bytes = bytes.get_mut(..len).unwrap_or_default();
            bytes.chunks_mut(segment).filter_map(move |datagram| from.map(|from| (from, datagram)))
        })
    }

    /// Receives what is there into the buffers; 0 messages when nothing is. `dropped` is the socket's running count of
    /// datagrams that the kernel dropped, as far as it is counted.
    pub(crate) fn fill(&mut self, fd: RawFd, dropped: &Cell<u32>) -> io::Result<usize> {
        self.received.clear();
        self.prepare();
        let count = libc::c_uint::try_from(self.headers.len()).unwrap_or(libc::c_uint::MAX);
        // SAFETY: `prepare` just pointed every header at live buffers of this batch with their true lengths; nothing
        // moves them before the call returns, and no timeout is passed.
        let result = unsafe {
            libc::recvmmsg(fd, self.headers.as_mut_ptr(), count, libc::MSG_DONTWAIT as _, std::ptr::null_mut())
        };
        let Ok(messages) = usize::try_from(result) else { return Err(io::Error::last_os_error()) };
        self.counters.calls += 1;
        self.counters.messages += messages as u64;
        for index in 0..messages {
            let message = self.read(index, dropped);
            match message {
                Some(message) => {
                    self.counters.datagrams += message.len.div_ceil(message.segment) as u64;
                    self.counters.bytes += message.len as u64;
                }
                None => self.counters.unusable += 1,
            }
            self.received.push(message);
        }
        Ok(messages)
    }

    pub(crate) fn count_error(&mut self) {
        self.counters.errors += 1;
    }

    /// Points every header at its buffers.
    fn prepare(&mut self) {
        let buffers = self.bytes.chunks_exact_mut(MESSAGE_BYTES);
        let places = self.names.iter_mut().zip(self.control.iter_mut());
        for (((header, vector), (name, control)), buffer) in
            self.headers.iter_mut().zip(self.vectors.iter_mut()).zip(places).zip(buffers)
        {
            *name = RawAddress::EMPTY;
            *vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
            header.msg_len = 0;
            let inner = &mut header.msg_hdr;
            inner.msg_name = std::ptr::from_mut(name).cast();
            inner.msg_namelen = RAW_ADDRESS_LEN;
            inner.msg_iov = vector;
            inner.msg_iovlen = 1;
            inner.msg_control = std::ptr::from_mut(control).cast();
            inner.msg_controllen = size_of::<Control>() as _;
            inner.msg_flags = 0;
        }
    }

    fn read(&mut self, index: usize, dropped: &Cell<u32>) -> Option<Message> {
        let header = self.headers.get(index)?;
        let len = header.msg_len as usize;
        let (segment, overflow) = read_control(&header.msg_hdr);
        if let Some(total) = overflow {
            self.counters.overflowed += u64::from(total.wrapping_sub(dropped.replace(total)));
        }
        if len == 0 || len > MESSAGE_BYTES || header.msg_hdr.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0 {
            return None;
        }
        let from = self.names.get(index)?.read().filter(|from| from.port() != 0)?;
        let segment = segment.filter(|segment| (1..=len).contains(segment)).unwrap_or(len);
        Some(Message { from, len, segment })
    }
}

impl std::fmt::Debug for RecvBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecvBatch").field("capacity", &self.capacity()).field("counters", &self.counters).finish()
    }
}

/// Segment size of a GRO train, and the socket's running count of dropped datagrams.
fn read_control(header: &libc::msghdr) -> (Option<usize>, Option<u32>) {
    let (mut segment, mut overflow) = (None, None);
    // SAFETY: the kernel filled `msg_control` with well-formed control messages within `msg_controllen`; the CMSG
    // functions stay inside that. Payloads are read unaligned: `int` for UDP_GRO, `u32` for SO_RXQ_OVFL.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(header);
        while !control.is_null() {
            match ((*control).cmsg_level, (*control).cmsg_type) {
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    let size = libc::CMSG_DATA(control).cast::<libc::c_int>().read_unaligned();
                    segment = usize::try_from(size).ok();
                }
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                    overflow = Some(libc::CMSG_DATA(control).cast::<u32>().read_unaligned());
                }
                _ => {}
            }
            control = libc::CMSG_NXTHDR(header, control);
        }
    }
    (segment, overflow)
}
