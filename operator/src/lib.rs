//! The operator: reconciles Rooms and RelayPools, one leader at a time.
//!
//! Each kind goes through five steps, a file each: observe, validate, plan, apply, report. [`planner`] is pure and used by
//! the command line too; everything else here talks to Kubernetes, media pods or gateways.

pub mod caches;
pub mod changes;
pub mod clock;
pub mod context;
pub mod control;
pub mod errors;
pub mod events;
pub mod identities;
pub mod leader;
pub mod lease;
pub mod ledger;
pub mod metrics;
pub mod nodes;
pub mod overlay;
pub mod peers;
pub mod planner;
pub mod pods;
pub mod pools;
pub mod relays;
pub mod rooms;
pub mod settings;
#[cfg(test)]
mod testing;
