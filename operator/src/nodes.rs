//! The pods of pools as they answer: one task per pod polls it every second and notices its death; the leader's polls
//! configure them, grant and revoke rooms. Operators that wait poll too, by pings that change nothing, so that a new leader
//! knows who is dead. What is said to a pod depends on its role, whether it is alive does not.

mod contact;
mod fleet;
pub mod health;
mod media;
mod poll;
mod reach;
mod relay;
mod relay_state;
mod state;

pub use fleet::{Fleet, GrantError, NodeView, follow};
pub(crate) use reach::gateways;
