//! The epoll set of one worker: its socket and its waker, level-triggered.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

const SOCKET: u64 = 0;
const WAKER: u64 = 1;

/// What a wait found.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ready {
    /// Datagrams, or an error that a receive will tell.
    pub(crate) readable: bool,
    /// Room in the send buffer (only when asked for).
    pub(crate) writable: bool,
    /// The waker woke.
    pub(crate) woken: bool,
}

/// Waits for the socket or the waker.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
    socket: RawFd,
    wants_write: bool,
}

impl Poller {
    /// Both descriptors must outlive the poller; the worker loop owns all three.
    pub(crate) fn new(socket: RawFd, waker: RawFd) -> io::Result<Self> {
        // SAFETY: `epoll_create1` takes no pointers.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just made this descriptor, nobody else owns it.
        let epoll = unsafe { OwnedFd::from_raw_fd(fd) };
        let poller = Self { epoll, socket, wants_write: false };
        poller.control(libc::EPOLL_CTL_ADD, socket, libc::EPOLLIN, SOCKET)?;
        poller.control(libc::EPOLL_CTL_ADD, waker, libc::EPOLLIN, WAKER)?;
        Ok(poller)
    }

    fn control(&self, operation: i32, fd: RawFd, events: i32, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: events as u32, u64: token };
        // SAFETY: `event` lives across the call; the kernel copies it.
        let result = unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, fd, &raw mut event) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Also wake when the socket can be written, or no more.
    pub(crate) fn set_wants_write(&mut self, wants_write: bool) -> io::Result<()> {
        if self.wants_write != wants_write {
            let events = if wants_write { libc::EPOLLIN | libc::EPOLLOUT } else { libc::EPOLLIN };
            self.control(libc::EPOLL_CTL_MOD, self.socket, events, SOCKET)?;
            self.wants_write = wants_write;
        }
        Ok(())
    }

    /// Waits for at most `timeout` (rounded up to milliseconds), for ever without one. A signal ends it with nothing.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> io::Result<Ready> {
        let millis = timeout.map_or(-1, |timeout| {
            let millis = timeout.as_micros().div_ceil(1000);
            i32::try_from(millis).unwrap_or(i32::MAX)
        });
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 2];
        // SAFETY: `events` has room for the two entries named and lives across the call.
        let count = unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), 2, millis) };
        if count < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(Ready::default()) } else { Err(error) };
        }
        let mut ready = Ready::default();
        for event in events.iter().take(usize::try_from(count).unwrap_or(0)) {
            let (token, bits) = (event.u64, event.events as i32);
            if token == WAKER {
                ready.woken = true;
            } else {
                ready.readable |= bits & (libc::EPOLLIN | libc::EPOLLERR | libc::EPOLLHUP) != 0;
                ready.writable |= bits & libc::EPOLLOUT != 0;
            }
        }
        Ok(ready)
    }
}
