//! Waiting for a condition with a deadline. The only place that lets time pass.

use anyhow::{Result, bail};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(50);

/// What a look at a condition found.
#[derive(Debug)]
pub enum Look<T> {
    /// It holds.
    Done(T),
    /// It does not hold yet; what was seen instead, for the message of a missed deadline.
    NotYet(String),
}

impl<T> Look<T> {
    /// `Done` when `holds`, else `NotYet` with what was seen.
    pub fn when(holds: bool, value: T, seen: impl FnOnce() -> String) -> Self {
        if holds { Self::Done(value) } else { Self::NotYet(seen()) }
    }

    /// Replaces the value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Look<U> {
        match self {
            Self::Done(value) => Look::Done(change(value)),
            Self::NotYet(seen) => Look::NotYet(seen),
        }
    }
}

/// Looks until the condition holds, and returns its value.
///
/// # Errors
/// The first error of a look, or the missed deadline with what was seen last.
pub async fn until<T>(what: &str, within: Duration, look: impl AsyncFnMut() -> Result<Look<T>>) -> Result<T> {
    until_every(INTERVAL, what, within, look).await
}

/// The same for looks that cost much.
///
/// # Errors
/// See [`until`].
pub async fn until_every<T>(
    interval: Duration,
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> Result<Look<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        let seen = match look().await? {
            Look::Done(value) => return Ok(value),
            Look::NotYet(seen) => seen,
        };
        if start.elapsed() >= within {
            let mut message = format!("{what}: not within {} ms", within.as_millis());
            if !seen.is_empty() {
                write!(message, "; last seen: {seen}")?;
            }
            bail!(message);
        }
        tokio::time::sleep(interval).await;
    }
}

/// Checks over and over that a condition keeps holding for `during`.
///
/// # Errors
/// The first look that does not hold, with what was seen.
pub async fn throughout(what: &str, during: Duration, mut look: impl AsyncFnMut() -> Result<Look<()>>) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < during {
        if let Look::NotYet(seen) = look().await? {
            bail!("{what}: broke after {} ms: {seen}", start.elapsed().as_millis());
        }
        tokio::time::sleep(INTERVAL).await;
    }
    Ok(())
}
