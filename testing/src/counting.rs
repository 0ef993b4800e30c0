//! Counts what passes through the global allocator.
#![allow(unsafe_code, reason = "a global allocator can only be replaced by unsafe code; this one counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

thread_local! {
    static OWN: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator with a count. A test program takes it for its global allocator.
#[derive(Debug)]
pub struct Counting {
    /// Threads whose names begin so count together; unset: each thread counts its own.
    threads: Option<&'static str>,
    together: AtomicU64,
    live_bytes: AtomicI64,
}

impl Counting {
    /// Each thread counts its own allocations.
    #[must_use]
    pub const fn by_thread() -> Self {
        Self { threads: None, together: AtomicU64::new(0), live_bytes: AtomicI64::new(0) }
    }

    /// The threads whose names begin with `prefix` (at most 15 bytes) count together, and others not at all.
    #[must_use]
    pub const fn of_threads(prefix: &'static str) -> Self {
        Self { threads: Some(prefix), ..Self::by_thread() }
    }

    /// Allocations so far, growth of what was there included.
    pub fn allocations(&self) -> u64 {
        if self.threads.is_some() { self.together.load(Ordering::Relaxed) } else { OWN.with(Cell::get) }
    }

    /// Bytes that the whole process holds now, whoever asked for them.
    pub fn live_bytes(&self) -> i64 {
        self.live_bytes.load(Ordering::Relaxed)
    }

    fn count(&self) {
        match self.threads {
            None => OWN.with(|count| count.set(count.get() + 1)),
            Some(prefix) if own_name().starts_with(prefix.as_bytes()) => {
                self.together.fetch_add(1, Ordering::Relaxed);
            }
            Some(_) => {}
        }
    }
}

/// The name of this thread with zeros behind it, asked without an allocation; zeros alone when it cannot be told.
fn own_name() -> [u8; 16] {
    let mut name = [0u8; 16];
    // SAFETY: PR_GET_NAME writes at most 16 bytes, terminator included, which `name` has.
    let result = unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    if result == 0 { name } else { [0; 16] }
}

/// No layout is larger than `isize::MAX`.
fn bytes(layout: Layout) -> i64 {
    layout.size() as i64
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches atomics, a thread-local number and the
// stack. What grows comes through `alloc`, as `GlobalAlloc` does it by itself.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.count();
        self.live_bytes.fetch_add(bytes(layout), Ordering::Relaxed);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.live_bytes.fetch_sub(bytes(layout), Ordering::Relaxed);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}
