//! Bodies of `POST /v1/ice-servers`; what parses must survive the way out and back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plenum_protocol::ice::IceServersRequest;

fuzz_target!(|bytes: &[u8]| {
    let Ok(request) = serde_json::from_slice::<IceServersRequest>(bytes) else { return };
    let text = serde_json::to_string(&request).expect("a request serialises");
    assert_eq!(serde_json::from_str::<IceServersRequest>(&text).expect("and parses again"), request);
});
