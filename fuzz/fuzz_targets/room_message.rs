//! Messages of clients on the room socket; what parses must survive the way out and back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plenum_protocol::room::ClientMessage;

fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = serde_json::from_slice::<ClientMessage>(bytes) else { return };
    let text = serde_json::to_string(&message).expect("a message serialises");
    assert_eq!(serde_json::from_str::<ClientMessage>(&text).expect("and parses again"), message);
});
