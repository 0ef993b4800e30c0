//! Whole-server scenarios with virtual time; one per module.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod allocate;
mod authentication;
mod channels;
mod foreign_client;
mod hostile_messages;
mod lifetimes;
mod permissions;
mod properties;
mod quotas;
mod reconfiguration;
mod relaying;
mod retransmissions;
mod soak;
mod streams;
mod support;
mod unauthenticated;
