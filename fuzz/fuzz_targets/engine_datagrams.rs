//! A sequence of datagrams to an engine with one open session.
//!
//! The input is a list of entries `kind, length (two bytes), bytes`. Kinds: from a stranger as it is; from the
//! session's client as it is; or as the attributes of a connectivity check with valid integrity, which reaches the ICE
//! agent. Any panic ends the process, those that the engine would catch included.
#![no_main]

use aws_lc_rs::hmac;
use libfuzzer_sys::fuzz_target;
use plenum_media_core::sdp::{Fragment, IceCredentials};
use plenum_media_core::{
    Certificate, Engine, EngineConfig, Limits, PacketSink, RoomKey, RoomLimits, SessionKey, SessionKind, SessionSpec,
};
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const ROOM: RoomKey = RoomKey(1);
const OFFER: &str = include_str!("../seeds/sdp_offer/chromium_publish");
const CLIENT_UFRAG: &str = "abcd";

/// Checks that the engine keeps to what it reserves.
#[derive(Default)]
struct Sink {
    buffer: Vec<u8>,
    reserved: Option<usize>,
}

impl PacketSink for Sink {
    fn reserve(&mut self, _to: SocketAddr, max_len: usize) -> Option<&mut [u8]> {
        self.buffer.resize(max_len, 0);
        self.reserved = Some(max_len);
        Some(&mut self.buffer)
    }

    fn commit(&mut self, len: usize) {
        let reserved = self.reserved.take().expect("commit follows reserve");
        assert!(len <= reserved);
    }
}

fn engine(now: Instant) -> (Engine, IceCredentials) {
    static CERTIFICATE: OnceLock<Certificate> = OnceLock::new();
    let certificate = CERTIFICATE.get_or_init(|| Certificate::generate().expect("a certificate")).clone();
    let limits = Limits::default();
    let config = EngineConfig { worker: 0, ufrag_tag: *b"fuzz", seed: [1; 32], certificate, limits };
    let mut engine = Engine::new(config, now);
    engine.configure(&["203.0.113.5".parse().expect("an address")], 20_000);
    engine.add_room(ROOM, RoomLimits { max_bitrate_kbps: 1_000, max_sessions: 4, relay_only: false }).expect("room");
    let spec = SessionSpec { id: SessionKey(1), kind: SessionKind::Publish, offer: OFFER };
    let answer = engine.open_session(now, ROOM, spec).expect("the offer is good");
    let ice = Fragment::parse(&answer.sdp).expect("the answer is good").ice.expect("credentials");
    (engine, ice)
}

/// A binding request with a good username, then `attributes`, then valid integrity.
fn check(ice: &IceCredentials, attributes: &[u8]) -> Vec<u8> {
    let username = format!("{}:{CLIENT_UFRAG}", ice.ufrag);
    let mut message = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 6];
    message.extend((username.len() as u16).to_be_bytes());
    message.extend(username.bytes());
    message.resize(message.len().next_multiple_of(4), 0);
    message.extend(attributes.get(..attributes.len() / 4 * 4).unwrap_or_default());
    let len = (message.len() + 24 - 20) as u16;
    message[2..4].copy_from_slice(&len.to_be_bytes());
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, ice.pwd.as_bytes());
    let tag = hmac::sign(&key, &message);
    message.extend([0, 8, 0, 20]);
    message.extend(tag.as_ref());
    message
}

fuzz_target!(|bytes: &[u8]| {
    let mut now = Instant::now();
    let (mut engine, ice) = engine(now);
    let client: SocketAddr = "198.51.100.1:1000".parse().expect("an address");
    let stranger: SocketAddr = "192.0.2.1:1000".parse().expect("an address");
    let mut sink = Sink::default();
    // The client has checked once, so its DTLS records reach DTLS.
    engine.handle_datagram(now, client, &mut check(&ice, &[0, 0x25, 0, 0]), &mut sink);
    let mut rest = bytes;
    while let [kind, high, low, tail @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(tail.len());
        let (datagram, tail) = tail.split_at(len);
        rest = tail;
        match kind % 3 {
            0 => engine.handle_datagram(now, stranger, &mut datagram.to_vec(), &mut sink),
            1 => engine.handle_datagram(now, client, &mut datagram.to_vec(), &mut sink),
            _ => engine.handle_datagram(now, client, &mut check(&ice, datagram), &mut sink),
        }
        engine.flush(now, &mut sink);
        now += Duration::from_millis(u64::from(*kind));
        engine.handle_timeout(now, &mut sink);
        while engine.poll_event().is_some() {}
        assert!(engine.demux_entries() < 5_000);
    }
});
