//! The gateway: authenticates clients, finds the media node of their room, and adapts their connection to it.
//!
//! Any replica serves any client: everything about a room lives in its media node, or, of a peer-to-peer room, at the one
//! replica that is its home (`homes`, `peers`). Must not decide where rooms run (the operator does) nor touch media.

mod auth;
mod control;
mod front;
mod homes;
mod identity;
mod keys;
mod leader;
mod metrics;
mod page;
mod peers;
mod rates;
mod relays;
mod remote;
mod routes;
mod run;
mod settings;
mod sockets;
mod watches;

pub use control::control_router;
pub use front::router;
pub use homes::{Home, Homes, Replicas, home_of};
pub use keys::ApiKeys;
pub use leader::{Leader, LeaderError, LookUp};
pub use metrics::Counters;
pub use peers::{Peers, PeersParts};
pub use rates::Rates;
pub use relays::Relays;
pub use remote::{Gateway, Parts};
pub use routes::{Place, RelayRules, Route, Routes, Standing};
pub use run::{check, run};
pub use settings::{Command, Settings};
pub use sockets::SocketPermits;
