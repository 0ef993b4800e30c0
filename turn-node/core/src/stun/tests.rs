//! The vectors of RFC 5769, and what is made of messages that are not as they should be.

use super::write::{Writer, kind};
use super::*;
use plenum_testing::rfc5769::{LONG_TERM, PASSWORD, REQUEST, RESPONSE_V4, RESPONSE_V6};
use proptest::prelude::*;

#[test]
fn the_request_of_rfc_5769_is_authentic_and_names_what_is_unknown() {
    let message = Message::parse(REQUEST).unwrap();
    assert_eq!((message.class, message.method), (Class::Request, method::BINDING));
    assert_eq!(message.username, Some(b"evtj:h6vY".as_slice()));
    assert_eq!(message.unknown.as_slice(), [0x0024], "PRIORITY is for ICE");
    assert!(message.fingerprint && message.is_authentic(PASSWORD.as_bytes()) && !message.is_authentic(b"another"));
}

#[test]
fn the_responses_of_rfc_5769_are_authentic_and_written_the_same() {
    for (bytes, address) in
        [(RESPONSE_V4, "192.0.2.1:32853"), (RESPONSE_V6, "[2001:db8:1234:5678:11:2233:4455:6677]:32853")]
    {
        let message = Message::parse(bytes).unwrap();
        assert_eq!(message.class, Class::Success);
        assert!(message.fingerprint && message.is_authentic(PASSWORD.as_bytes()));
        let mut buffer = [0; 200];
        let mut writer = Writer::new(&mut buffer, kind(method::BINDING, 0x100), message.transaction);
        writer.attribute(attribute::SOFTWARE, b"test vector");
        writer.xor_address(attribute::XOR_MAPPED_ADDRESS, address.parse().unwrap());
        let len = writer.finish().unwrap();
        // Byte 35 pads: the vectors with a space, this writer with a zero. The signature, which covers it, is left out.
        assert_eq!((&buffer[4..35], &buffer[36..len]), (&bytes[4..35], &bytes[36..len]));
    }
}

#[test]
fn the_long_term_request_of_rfc_5769_is_authentic() {
    use md5::{Digest, Md5};
    let message = Message::parse(LONG_TERM).unwrap();
    assert_eq!(message.username, Some("\u{30de}\u{30c8}\u{30ea}\u{30c3}\u{30af}\u{30b9}".as_bytes()));
    assert_eq!(message.realm, Some(b"example.org".as_slice()));
    assert_eq!(message.nonce, Some(b"f//499k954d6OL34oL9FSTvy64sA".as_slice()));
    let mut digest = Md5::new();
    // "TheMatrIX" after SASLprep, as the RFC says.
    digest.update("\u{30de}\u{30c8}\u{30ea}\u{30c3}\u{30af}\u{30b9}:example.org:TheMatrIX");
    assert!(message.is_authentic(&digest.finalize()));
}

#[test]
fn every_flipped_byte_before_the_fingerprint_breaks_it() {
    for at in 0..REQUEST.len() {
        let mut bad = REQUEST.to_vec();
        bad[at] ^= 0x10;
        assert!(!Message::parse(&bad).is_ok_and(|message| message.fingerprint), "byte {at}");
    }
}

#[test]
fn truncated_messages_do_not_parse() {
    for len in 0..LONG_TERM.len() {
        assert_eq!(Message::parse(&LONG_TERM[..len]), Err(Malformed::Structure));
    }
}

/// A request with these attributes, as they are.
fn request(attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut buffer = vec![0; 2_000];
    let mut writer = Writer::new(&mut buffer, kind(method::ALLOCATE, 0), [7; 12]);
    for (kind, value) in attributes {
        writer.attribute(*kind, value);
    }
    let len = writer.finish().unwrap();
    buffer.truncate(len);
    buffer
}

#[test]
fn methods_and_classes_are_woven_as_the_rfc_draws_them() {
    for method in 0..=0xfff {
        for (class, bits) in
            [(Class::Request, 0), (Class::Indication, 0x10), (Class::Success, 0x100), (Class::Error, 0x110)]
        {
            let mut buffer = [0; 20];
            let len = Writer::new(&mut buffer, kind(method, bits), [0; 12]).finish().unwrap();
            let message = Message::parse(&buffer[..len]).unwrap();
            assert_eq!((message.method, message.class), (method, class));
        }
    }
}

#[test]
fn what_follows_the_integrity_is_not_trusted() {
    let mut buffer = [0; 200];
    let mut writer = Writer::new(&mut buffer, kind(method::REFRESH, 0), [7; 12]);
    writer.integrity(b"key");
    writer.attribute(attribute::LIFETIME, &[0; 4]);
    writer.attribute(0x7fff, &[]);
    let len = writer.finish().unwrap();
    let message = Message::parse(&buffer[..len]).unwrap();
    assert!(message.is_authentic(b"key"));
    assert_eq!((message.lifetime, message.unknown.as_slice()), (None, [].as_slice()));
}

#[test]
fn the_first_of_an_attribute_counts_and_all_peers_do() {
    let peers: [SocketAddr; 3] =
        ["192.0.2.1:1".parse().unwrap(), "[2001:db8::1]:2".parse().unwrap(), "192.0.2.3:3".parse().unwrap()];
    let mut buffer = [0; 200];
    let mut writer = Writer::new(&mut buffer, kind(method::CREATE_PERMISSION, 0), [7; 12]);
    writer.attribute(attribute::LIFETIME, &[0, 0, 0, 1]);
    writer.attribute(attribute::LIFETIME, &[0, 0, 0, 2]);
    for peer in peers {
        writer.xor_address(attribute::XOR_PEER_ADDRESS, peer);
    }
    let len = writer.finish().unwrap();
    let message = Message::parse(&buffer[..len]).unwrap();
    assert_eq!(message.lifetime, Some(1));
    assert_eq!(message.peer, Some(peers[0]));
    assert_eq!(message.peers().collect::<Vec<_>>(), peers.map(Some));
}

#[test]
fn values_of_the_wrong_form_make_a_message_invalid_but_still_a_message() {
    for (kind, value) in [
        (attribute::LIFETIME, [0; 3].as_slice()),
        (attribute::CHANNEL_NUMBER, &[0x40, 0]),
        (attribute::REQUESTED_TRANSPORT, &[17]),
        (attribute::REQUESTED_ADDRESS_FAMILY, &[]),
        (attribute::EVEN_PORT, &[]),
        (attribute::RESERVATION_TOKEN, &[0; 7]),
        (attribute::XOR_PEER_ADDRESS, &[0, 1, 0, 0, 1, 2, 3]),
        (attribute::XOR_PEER_ADDRESS, &[0, 3, 0, 0, 1, 2, 3, 4]),
    ] {
        assert!(Message::parse(&request(&[(kind, value)])).unwrap().invalid, "{kind:#06x}");
    }
    let short_integrity = request(&[(attribute::MESSAGE_INTEGRITY, &[0; 19])]);
    assert_eq!(Message::parse(&short_integrity), Err(Malformed::Structure));
}

#[test]
fn unknown_attributes_are_named_once_and_at_most_eight() {
    let many: Vec<(u16, &[u8])> = (0..30).map(|index| (0x7f00 + index / 2, [].as_slice())).collect();
    let bytes = request(&many);
    assert_eq!(
        Message::parse(&bytes).unwrap().unknown.as_slice(),
        [0x7f00, 0x7f01, 0x7f02, 0x7f03, 0x7f04, 0x7f05, 0x7f06, 0x7f07]
    );
    let optional = request(&[(0x8fff, &[1, 2, 3])]);
    assert!(Message::parse(&optional).unwrap().unknown.as_slice().is_empty());
}

#[test]
fn a_message_of_too_many_attributes_is_noise() {
    let many = vec![(0x8fff, [].as_slice()); MAX_ATTRIBUTES + 1];
    assert_eq!(Message::parse(&request(&many)), Err(Malformed::Structure));
}

#[test]
fn a_buffer_that_is_too_small_makes_no_message() {
    for len in 0..60 {
        let mut buffer = vec![0; len];
        let mut writer = Writer::new(&mut buffer, kind(method::BINDING, 0x100), [0; 12]);
        writer.attribute(attribute::SOFTWARE, b"soft");
        writer.integrity(b"key");
        writer.fingerprint();
        assert_eq!(writer.finish(), None, "{len}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(message) = Message::parse(&bytes) {
            std::hint::black_box((message.is_authentic(b"x"), message.peers().count()));
        }
    }

    #[test]
    fn arbitrary_attributes_never_panic(attributes in proptest::collection::vec((any::<u16>(), proptest::collection::vec(any::<u8>(), 0..24)), 0..20)) {
        let attributes: Vec<(u16, &[u8])> = attributes.iter().map(|(kind, value)| (*kind, value.as_slice())).collect();
        if let Ok(message) = Message::parse(&request(&attributes)) {
            std::hint::black_box((message.is_authentic(b"x"), message.peers().count()));
        }
    }
}
