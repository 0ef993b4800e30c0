//! What the person at the terminal sees: one line per step with the seconds since the start, and whether they asked
//! to stop. Owns the clock and the signals of the process; runs nothing.

use signal_hook::consts::{SIGINT, SIGTERM};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The terminal.
pub(crate) struct Console {
    started: Instant,
    interrupted: Arc<AtomicBool>,
}

impl Console {
    /// Starts the clock and takes over SIGINT and SIGTERM, so that a run that is stopped still cleans up.
    pub(crate) fn start() -> std::io::Result<Self> {
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // A second signal ends the process at once.
            signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&interrupted))?;
            signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
        }
        Ok(Self { started: Instant::now(), interrupted })
    }

    /// Time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// One line: `[  12.3 s] text`.
    pub(crate) fn step(&self, text: impl std::fmt::Display) {
        eprintln!("[{:7.1} s] {text}", self.elapsed().as_secs_f64());
    }

    /// Somebody pressed Ctrl-C or sent SIGTERM.
    pub(crate) fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }

    /// For cleaning up: what runs on it goes on after a signal (a second one ends the process).
    pub(crate) fn calm(&self) -> Self {
        Self { started: self.started, interrupted: Arc::default() }
    }
}
