//! Decides where rooms go and which pods come and go. Pure: no I/O, no clock, no randomness.
//!
//! Inputs are views that others made of what they saw, sorted, so that equal input gives an equal plan.

pub mod lifecycle;
pub mod place;
pub mod pool;
pub mod relay;
pub mod room;
pub mod views;

pub use lifecycle::{Ended, Life, LifePlan, LifeSeen, Presence, plan_life};
pub use place::{Choice, Unplaced, UnplacedReason, place};
pub use pool::{PoolAction, PoolPod, PoolWish, plan_pool};
pub use relay::{RelayPlan, plan_relays};
pub use room::{Bound, Cause, RoomPlan, RoomSeen, plan_room};
pub use views::{FleetView, PodKey, PodState, PodView, PoolView, RelayPoolView, ValidRoom};
