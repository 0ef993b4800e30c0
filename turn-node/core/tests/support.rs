//! A server in a virtual network with virtual time, and small clients around it.
#![allow(dead_code, unreachable_pub, reason = "shared by test binaries that use a part of it each")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a helper of tests fails like a test")]

pub mod client;
pub mod fake_io;
pub mod world;
