//! The shell of every process: logs, shutdown, probes and metrics, mutual TLS between the parts, HTTP servers with bounds.
//!
//! Knows nothing of rooms, media or Kubernetes. Everything that is read from a network here is bounded in size and time.

pub mod ca;
pub mod client;
pub mod crypto;
pub mod http;
pub mod mtls;
pub mod probes;
pub mod server;
pub mod shutdown;
pub mod telemetry;
