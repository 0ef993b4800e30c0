//! The media node's engine: a selective forwarding unit without I/O, clock or threads of its own.
//!
//! One [`Engine`] serves one worker. Its owner feeds datagrams ([`Engine::handle_datagram`]), flushes after each
//! batch ([`Engine::flush`]), wakes it when [`Engine::poll_timeout`] is due ([`Engine::handle_timeout`]), drains
//! [`Engine::poll_event`], and calls commands between batches. Packets leave through a [`PacketSink`].
//! Forwarding a media packet allocates nothing. A hostile packet is counted and dropped, never an error.

pub mod client_hello;
pub mod config;
pub mod counters;
pub mod engine;
pub mod event;
pub mod relays;
pub mod rtcp;
pub mod rtp;
pub mod sdp;
pub mod session_error;
pub mod sink;
pub mod srtp;
pub mod stun;
pub mod transport;

mod demux;
mod forward;
mod media;
mod session;

pub use config::{Certificate, CertificateError, EngineConfig, Limits, RoomKey, RoomLimits, SessionKey};
pub use counters::Counters;
pub use engine::Engine;
pub use event::{CloseReason, Event, Path};
pub use relays::{RelayTable, RelayTableError};
pub use session::{Answer, Patched, SessionKind, SessionPhase, SessionSpec, SessionStats};
pub use session_error::SessionError;
pub use sink::PacketSink;
