//! What passes between operator, gateway, media nodes and clients: ids, tokens, messages, ports.
//!
//! Pure: no I/O, no clock (time is an argument), no randomness (identifiers are made by callers).
//! Wire form is JSON in `camelCase`; unknown fields are ignored, so that versions can differ by one.

pub mod control;
pub mod flow;
pub mod ice;
pub mod ids;
pub mod peer;
pub mod ports;
pub mod problem;
pub mod reach;
pub mod relay;
pub mod room;
pub mod token;
pub mod turn;
