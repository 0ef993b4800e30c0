//! Media pods as they answer: one task per pod polls it every second, grants and revokes rooms, and notices its death.

mod fleet;
pub mod health;
mod poll;
mod reach;
mod state;

pub use fleet::{Fleet, GrantError, NodeView, follow};
pub use state::NodeState;
