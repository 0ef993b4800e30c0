//! What the engines without I/O have in common: bounded reads and writes, the framing of STUN, randomness from a seed,
//! timers, token buckets.
//!
//! As pure as they are: time is an argument, nothing blocks, and nothing knows of sockets. What only one engine needs
//! stays with it.

pub mod random;
pub mod stun;
pub mod timers;
pub mod token_bucket;
pub mod wire;

pub use random::Random;
pub use timers::Timers;
pub use token_bucket::TokenBucket;
