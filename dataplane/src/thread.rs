//! The thread of a worker, and the news when it ends against its will.

use crate::worker::WorkerError;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `body` on a thread called `name`. An error or a panic is told to `broke`, in plain words; an end is not.
///
/// # Errors
/// When the system has no thread left.
pub fn spawn_worker(
    name: String,
    body: impl FnOnce() -> Result<(), WorkerError> + Send + 'static,
    broke: impl FnOnce(String) + Send + 'static,
) -> io::Result<()> {
    std::thread::Builder::new().name(name).spawn(move || watch(body, broke)).map(drop)
}

fn watch(body: impl FnOnce() -> Result<(), WorkerError>, broke: impl FnOnce(String)) {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => broke(error.to_string()),
        Err(_) => broke("panicked".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(body: impl FnOnce() -> Result<(), WorkerError>) -> Option<String> {
        let mut told = None;
        watch(body, |reason| told = Some(reason));
        told
    }

    #[test]
    fn a_worker_that_panics_or_breaks_is_told_and_one_that_ends_is_not() {
        assert_eq!(told(|| Ok(())), None);
        assert_eq!(told(|| panic!("a defect")), Some("panicked".to_owned()));
        let reason = told(|| Err(WorkerError::Receive(io::ErrorKind::NotConnected.into())));
        assert!(reason.is_some_and(|reason| reason.contains("receiving from the worker's socket")));
    }
}
