//! The shell of every process: logs, shutdown, probes and metrics, mutual TLS between the parts, HTTP servers with bounds;
//! and that of every node, media or TURN.
//!
//! Knows nothing of rooms, media or Kubernetes. Everything that is read from a network here is bounded in size and time.

pub mod ca;
pub mod client;
pub mod crypto;
pub mod http;
pub mod mtls;
pub mod node;
pub mod probes;
mod secret_files;
pub mod server;
pub mod shutdown;
pub mod telemetry;
