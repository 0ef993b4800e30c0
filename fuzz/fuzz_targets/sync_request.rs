//! What the leader sends to a node.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plenum_protocol::control::SyncRequest;

fuzz_target!(|bytes: &[u8]| {
    let Ok(request) = serde_json::from_slice::<SyncRequest>(bytes) else { return };
    let text = serde_json::to_string(&request).expect("a request serialises");
    assert_eq!(serde_json::from_str::<SyncRequest>(&text).expect("and parses again"), request);
});
