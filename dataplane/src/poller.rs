//! The epoll set of one worker, level-triggered: descriptors under tokens of the caller's.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// What to wake for; errors and hang-ups always wake, as readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Errors only.
    Nothing,
    /// Something to read.
    Read,
    /// Something to read, or room to write.
    ReadWrite,
}

impl Interest {
    fn bits(self) -> u32 {
        let bits = match self {
            Self::Nothing => 0,
            Self::Read => libc::EPOLLIN,
            Self::ReadWrite => libc::EPOLLIN | libc::EPOLLOUT,
        };
        bits as u32
    }
}

/// What a wait found at one descriptor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Readiness {
    pub(crate) token: u64,
    /// Something to read, or an error that a read will tell.
    pub(crate) readable: bool,
    /// Room in the send buffer (only when asked for).
    pub(crate) writable: bool,
}

/// Room for what one wait finds.
#[derive(Debug)]
pub(crate) struct Events {
    events: Box<[libc::epoll_event]>,
    found: usize,
}

impl Events {
    /// Room for `count`, at least one.
    pub(crate) fn new(count: usize) -> Self {
        Self { events: vec![libc::epoll_event { events: 0, u64: 0 }; count.max(1)].into_boxed_slice(), found: 0 }
    }

    /// How many the last wait found.
    pub(crate) fn len(&self) -> usize {
        self.found
    }

    /// The found one at `index`.
    pub(crate) fn get(&self, index: usize) -> Option<Readiness> {
        let event = self.events.get(..self.found)?.get(index)?;
        let (token, bits) = (event.u64, event.events as i32);
        Some(Readiness {
            token,
            readable: bits & (libc::EPOLLIN | libc::EPOLLERR | libc::EPOLLHUP | libc::EPOLLRDHUP) != 0,
            writable: bits & libc::EPOLLOUT != 0,
        })
    }
}

/// Waits for descriptors. A descriptor that is closed leaves the set by itself.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: `epoll_create1` takes no pointers.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just made this descriptor, nobody else owns it.
        Ok(Self { epoll: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Waits for `fd` too, under `token`.
    pub(crate) fn add(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, interest)
    }

    /// Waits for something else at `fd`.
    pub(crate) fn change(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, interest)
    }

    fn control(&self, operation: i32, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest.bits(), u64: token };
        // SAFETY: `event` lives across the call; the kernel copies it.
        let result = unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, fd, &raw mut event) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Waits for at most `timeout` (rounded up to milliseconds), for ever without one. A signal ends it with nothing.
    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let millis = timeout.map_or(-1, |timeout| {
            let millis = timeout.as_micros().div_ceil(1000);
            i32::try_from(millis).unwrap_or(i32::MAX)
        });
        let (room, epoll) = (i32::try_from(events.events.len()).unwrap_or(i32::MAX), self.epoll.as_raw_fd());
        events.found = 0;
        // SAFETY: `events` has room for the entries named and lives across the call.
        let count = unsafe { libc::epoll_wait(epoll, events.events.as_mut_ptr(), room, millis) };
        if count < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) };
        }
        events.found = usize::try_from(count).unwrap_or(0);
        Ok(())
    }
}
