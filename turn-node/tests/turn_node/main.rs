//! The whole node on loopback: mutual TLS, sync, relaying over UDP, TCP and TLS, probes, the end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod client;
mod control;
mod datagrams;
mod harness;
mod quotas;
mod relaying;
mod streams;
