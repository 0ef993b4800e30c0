//! One wish to stop, seen by every task of a process.

use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Exit code after a second signal.
const IMPATIENT_EXIT: i32 = 130;

/// Whether the process was asked to stop. Clones share the wish; it cannot be taken back.
#[derive(Debug, Clone)]
pub struct Shutdown {
    wish: Arc<watch::Sender<bool>>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    /// Not requested yet; only [`Shutdown::trigger`] requests it.
    #[must_use]
    pub fn new() -> Self {
        Self { wish: Arc::new(watch::Sender::new(false)) }
    }

    /// Requested by the first SIGTERM or SIGINT; the second one ends the process at once.
    ///
    /// # Errors
    /// The signal handlers could not be installed.
    pub fn on_signals() -> Result<Self, std::io::Error> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let shutdown = Self::new();
        tokio::spawn(obey_signals(shutdown.clone(), terminate, interrupt));
        Ok(shutdown)
    }

    /// Requests the stop.
    pub fn trigger(&self) {
        self.wish.send_replace(true);
    }

    /// Whether it was requested.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.wish.borrow()
    }

    /// Returns once it is requested, at once if it was. Safe to cancel.
    pub async fn requested(&self) {
        let mut wish = self.wish.subscribe();
        // The sender lives in `self`, so the channel cannot close while this waits.
        if wish.wait_for(|requested| *requested).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn obey_signals(shutdown: Shutdown, mut terminate: Signal, mut interrupt: Signal) {
    let mut next = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    next().await;
    tracing::info!("asked to stop");
    shutdown.trigger();
    next().await;
    tracing::warn!("asked to stop twice: leaving now");
    std::process::exit(IMPATIENT_EXIT);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_clone_sees_the_wish_even_when_it_asks_late() {
        let shutdown = Shutdown::new();
        let other = shutdown.clone();
        assert!(!other.is_requested());
        let waiting = tokio::spawn(async move { other.requested().await });
        shutdown.trigger();
        waiting.await.unwrap();
        shutdown.clone().requested().await;
        assert!(shutdown.is_requested());
    }
}
