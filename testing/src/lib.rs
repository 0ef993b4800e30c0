//! For tests alone, and a dependency of nothing else: an allocator that counts, dice that fall the same way twice, a
//! moment to start virtual time from, the test vectors of STUN.

mod counting;
mod dice;
pub mod rfc5769;

pub use counting::Counting;
pub use dice::Dice;

use std::time::Instant;

/// Some moment: instants cannot be made out of nothing. Tests of pure code add to it and never ask for the time again.
#[must_use]
pub fn some_moment() -> Instant {
    Instant::now()
}
