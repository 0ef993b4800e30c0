//! What a gateway sends to a node.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plenum_protocol::control::{NodeJoin, OpenSession, PatchSession};

fuzz_target!(|bytes: &[u8]| {
    std::hint::black_box(serde_json::from_slice::<OpenSession>(bytes).is_ok());
    std::hint::black_box(serde_json::from_slice::<PatchSession>(bytes).is_ok());
    std::hint::black_box(serde_json::from_slice::<NodeJoin>(bytes).is_ok());
});
