//! Whole-engine scenarios on a virtual network with virtual time; one per module.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod bitrate_bound;
mod cipher_fallback;
mod downstream_loss;
mod expiry;
mod hostile_packets;
mod ice_restart;
mod keyframe_requests;
mod media_flow;
mod negotiation;
mod relayed;
mod reports;
mod support;
mod upstream_loss;
