//! The custom resources of Plenum (`rtc.plenum.dev/v1alpha1`): Room and RelayPool, their names and conditions.
//!
//! Pure: types, schemas and small helpers; no I/O, no clock. A field enters here in the change that honours it.
//! [`crds`] is what `crds/` is generated from.
#![allow(clippy::duplicated_attributes, reason = "clippy takes the keys of several `printcolumn(...)` for one list")]

pub mod cases;
pub mod conditions;
mod crd;
pub mod names;
pub mod pool;
pub mod room;
mod schema;
pub mod selector;

pub use conditions::Condition;
pub use crd::crds;
pub use pool::{RelayPool, RelayPoolSpec, RelayPoolStatus};
pub use room::{Room, RoomSpec, RoomStatus};
