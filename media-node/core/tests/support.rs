//! A virtual network with virtual time: the engine in the middle, full ICE and DTLS clients around it.
#![allow(dead_code, unreachable_pub, reason = "shared by test binaries that use a part of it each")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a helper of tests fails like a test")]

pub mod client;
pub mod net;
pub mod offer;
pub mod rtc_stack;
pub mod str0m_parts;

use std::net::SocketAddr;
use std::time::Instant;

use plenum_media_core::srtp::Profile;

/// ICE (full, controlling) and DTLS (active) of a client.
pub trait Stack {
    fn credentials(&self) -> (String, String);
    fn fingerprint(&self) -> String;
    /// Starts checks towards the node, whose credentials are `remote`.
    fn start(&mut self, now: Instant, remote: (&str, &str), node: SocketAddr);
    /// New credentials, checks from `address`; call `start` again with the node's new ones.
    fn restart(&mut self, now: Instant, address: SocketAddr);
    fn handle(&mut self, now: Instant, datagram: &[u8]);
    fn tick(&mut self, now: Instant);
    fn transmit(&mut self) -> Option<Vec<u8>>;
    fn keys(&mut self) -> Option<(Profile, Vec<u8>)>;
    /// Sends `close_notify`.
    fn close(&mut self, now: Instant);
}
