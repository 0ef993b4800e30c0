//! STUN messages as a TURN server reads them: attributes, peers, integrity, and a copy that is written of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plenum_turn_core::stun::Message;
use plenum_turn_core::stun::write::{Writer, kind};

fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = Message::parse(bytes) else { return };
    std::hint::black_box((message.is_authentic(b"VOkJxbRl1RmTxUk/WvJxBt"), message.has_integrity()));
    let peers: Vec<_> = message.peers().collect();
    assert_eq!(message.peer.is_some(), peers.iter().any(Option::is_some));
    // What was read can be written, and is read the same again.
    let mut buffer = vec![0; bytes.len() + 64];
    let mut writer = Writer::new(&mut buffer, kind(message.method, 0), message.transaction);
    for peer in peers.iter().flatten().take(16) {
        writer.xor_address(plenum_turn_core::stun::attribute::XOR_PEER_ADDRESS, *peer);
    }
    writer.integrity(b"key");
    writer.fingerprint();
    let Some(len) = writer.finish() else { return };
    let copy = Message::parse(&buffer[..len]).expect("a message");
    assert!(copy.is_authentic(b"key") && copy.fingerprint);
    assert_eq!((copy.method, copy.transaction), (message.method, message.transaction));
    assert!(copy.peers().eq(peers.iter().copied().filter(Option::is_some).take(16)));
});
