//! Signals between peers: what a gateway and a home let pass fits into a message when it is passed on, and parses again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plenum_protocol::room::{ClientMessage, MAX_MESSAGE, ServerMessage};

fuzz_target!(|bytes: &[u8]| {
    let Ok(ClientMessage::Signal { to, signal }) = serde_json::from_slice(bytes) else { return };
    if signal.check(bytes.len()).is_err() {
        return;
    }
    let heard = ServerMessage::Signal { from: to, signal };
    let text = serde_json::to_string(&heard).expect("a message serialises");
    assert!(text.len() <= MAX_MESSAGE, "{} bytes", text.len());
    assert_eq!(serde_json::from_str::<ServerMessage>(&text).expect("and parses again"), heard);
});
