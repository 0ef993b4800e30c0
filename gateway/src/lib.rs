//! The gateway: authenticates clients, finds the media node of their room, and adapts their connection to it.
//!
//! Stateless: everything about a room lives in its media node, so any replica serves any client. Must not decide
//! where rooms run (the operator does) nor touch media.

mod auth;
mod control;
mod front;
mod identity;
mod keys;
mod leader;
mod metrics;
mod page;
mod rates;
mod relays;
mod remote;
mod routes;
mod run;
mod settings;
mod sockets;
mod watches;

pub use front::router;
pub use keys::ApiKeys;
pub use leader::{Leader, LeaderError, LookUp};
pub use metrics::Counters;
pub use rates::Rates;
pub use relays::Relays;
pub use remote::{Gateway, Parts};
pub use routes::{Place, RelayRules, Route, Routes, Standing};
pub use run::{check, run};
pub use settings::{Command, Settings};
pub use sockets::SocketPermits;
