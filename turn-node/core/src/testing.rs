//! For unit tests only.

use std::time::Instant;

/// Some moment to start from: instants cannot be made out of nothing.
#[allow(clippy::disallowed_methods, reason = "tests add to it; they never ask for the time again")]
pub(crate) fn start() -> Instant {
    Instant::now()
}
