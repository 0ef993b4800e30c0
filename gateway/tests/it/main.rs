//! A gateway over media nodes that the tests play: real mutual TLS, real sockets, on loopback.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper that fails is a test that fails")]

mod fake_node;
mod fake_relay;
mod http_sessions;
mod peer_world;
mod peers;
mod peers_flow;
mod relays;
mod sockets;
mod world;
