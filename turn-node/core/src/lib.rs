//! The TURN server (RFC 8656, RFC 8489) without I/O, clock or threads of its own.
//!
//! One [`Server`] serves one worker. Its owner feeds messages of clients ([`Server::handle_client`]) and datagrams of
//! peers ([`Server::handle_peer`]), wakes it when [`Server::poll_timeout`] is due ([`Server::handle_timeout`]) and
//! drains [`Server::poll_event`] after each batch. Everything leaves through an [`Io`].
//! Relaying a packet allocates nothing, an unauthenticated request leaves nothing behind, and a hostile packet is
//! counted and dropped, never an error.

pub mod channel_data;
pub mod client;
pub mod config;
pub mod counters;
pub mod event;
pub mod io;
pub mod ledger;
pub mod peers;
pub mod server;
pub mod stun;

mod allocation;
mod answer_limit;
mod credentials;
mod ended;
mod nonce;
mod port_pool;
mod seeded;
mod transactions;

pub use channel_data::{Frame, MAX_FRAME, frame_len};
pub use client::{ClientId, RelayId};
pub use config::{CheckedConfig, ConfigError, Limits, ServerConfig};
pub use counters::{Counters, Drops, Method, Outcome, Relayed};
pub use event::Event;
pub use io::{Io, OpenError};
pub use ledger::Ledger;
pub use server::{Memory, Server};
