//! What the cluster tests stand on: the API server, client namespaces, browsers, tokens, invariants.
//!
//! One type per file. Every wait has a deadline and says what it last saw; every process and object that is made
//! here is ended here, on failure too. It knows nothing of single tests.

pub mod browser;
pub mod call;
pub mod client;
pub mod cluster;
pub mod diagnosis;
pub mod door;
pub mod env;
pub mod epochs;
pub mod foreign_client;
pub mod grants;
pub mod http;
pub mod invariants;
pub mod kube;
pub mod lanes;
pub mod metrics;
pub mod netns;
pub mod page;
pub mod peers;
pub mod plain_client;
pub mod process;
pub mod relays;
pub mod room_socket;
pub mod scene;
pub mod suite;
pub mod tokens;
pub mod trust;
pub mod turn_client;
pub mod wait;
