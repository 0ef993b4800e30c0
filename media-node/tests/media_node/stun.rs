//! Connectivity checks and their answers (RFC 8489), as far as these tests speak them.

use aws_lc_rs::hmac;
use std::net::SocketAddr;

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = [kind.to_be_bytes(), (value.len() as u16).to_be_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A message with MESSAGE-INTEGRITY by `password`.
fn message(kind: u16, transaction: &[u8], attributes: &[u8], password: &str) -> Vec<u8> {
    let len = (attributes.len() + 24) as u16;
    let header = [&kind.to_be_bytes()[..], &len.to_be_bytes(), &COOKIE, transaction].concat();
    let text = [header.as_slice(), attributes].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
    let tag = hmac::sign(&key, &text);
    [text, attribute(0x0008, tag.as_ref())].concat()
}

/// A check that nominates.
pub(super) fn check(username: &str, password: &str) -> Vec<u8> {
    let parts = [
        attribute(0x0006, username.as_bytes()),
        attribute(0x0024, &0x7e00_00ff_u32.to_be_bytes()),
        attribute(0x802a, &7u64.to_be_bytes()),
        attribute(0x0025, &[]),
    ];
    message(0x0001, b"transaction1", &parts.concat(), password)
}

/// The answer to the node's check, which came from `node`.
pub(super) fn success(request: &[u8], node: SocketAddr, password: &str) -> Vec<u8> {
    let SocketAddr::V4(node) = node else { panic!("loopback is IPv4 here") };
    let port = node.port() ^ u16::from_be_bytes([COOKIE[0], COOKIE[1]]);
    let mut mapped = [&[0, 1][..], &port.to_be_bytes()].concat();
    mapped.extend(node.ip().octets().iter().zip(COOKIE).map(|(byte, cookie)| byte ^ cookie));
    message(0x0101, &request[8..20], &attribute(0x0020, &mapped), password)
}
