//! The front doors over a fake room, judged from outside: HTTP by `oneshot`, the socket over loopback.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper that fails is a test that fails")]
#![allow(clippy::disallowed_methods, reason = "the tests are the server and the clients")]

mod documented;
mod fake;
mod flow_and_tokens;
mod ice_servers;
mod room_socket;
mod whip_whep;
