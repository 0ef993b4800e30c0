//! The whole node on loopback: mutual TLS, sync, sessions, room sockets, probes, the end.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod harness;
mod life;
mod relays;
mod sessions;
mod sockets;
mod stun;
mod sync;
