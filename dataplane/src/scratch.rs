//! Headers for one `sendmmsg`: many messages of one buffer to one socket.

use crate::address::RawAddress;
use crate::train::{MAX_MESSAGES, Message};
use std::io;
use std::os::fd::RawFd;

/// Control message space: UDP_SEGMENT needs 24 bytes.
type Control = [u64; 3];

/// Headers for one `sendmmsg`. Their pointers mean something only during [`Scratch::send`].
pub(crate) struct Scratch {
    names: Box<[RawAddress]>,
    control: Box<[Control]>,
    vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
}

// SAFETY: the raw pointers inside are written and read within one call of `send`, which has the only reference; between
// calls nobody follows them, so the buffers may move to another thread.
unsafe impl Send for Scratch {}

impl Scratch {
    pub(crate) fn new() -> Self {
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
    pub(crate) fn send(&mut self, fd: RawFd, dual: bool, bytes: &[u8], messages: &[Message]) -> io::Result<usize> {
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
