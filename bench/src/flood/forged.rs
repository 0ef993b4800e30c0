//! Requests from addresses that nobody has: Allocate and Binding in turn, each from a source of its own.

use anyhow::Context as _;
use rtc_stun::attributes::ATTR_REQUESTED_TRANSPORT;
use rtc_stun::message::{CLASS_REQUEST, METHOD_ALLOCATE, METHOD_BINDING, Message, MessageType, Method};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

/// `IPPROTO_RAW`: packets come with their IP header.
const RAW: i32 = 255;
const UDP: u8 = 17;
const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
/// Where the transaction begins in a STUN message.
const TRANSACTION: usize = 8;
const SEND_BUFFER: usize = 4 << 20;
const PAUSE: Duration = Duration::from_micros(100);
/// Longest lateness that is caught up with, seconds: longer would be a burst that nobody asked for.
const CATCH_UP: f64 = 0.01;

/// What was offered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Offered {
    /// Requests that left.
    pub(super) sent: u64,
    /// For how long.
    pub(super) time: Duration,
}

/// Sends `rate` requests a second to `to`.
pub(super) fn flood(to: SocketAddr, rate: u32, time: Duration) -> anyhow::Result<Offered> {
    let SocketAddr::V4(to) = to else { anyhow::bail!("forged requests go to IPv4 addresses only") };
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(RAW))).context("opening a raw socket")?;
    socket.set_send_buffer_size(SEND_BUFFER).context("setting the send buffer")?;
    let address = SockAddr::from(to);
    let mut packets = [packet(METHOD_ALLOCATE, to)?, packet(METHOD_BINDING, to)?];
    let (start, mut sent, mut skipped) = (Instant::now(), 0u64, 0.0);
    loop {
        let elapsed = start.elapsed();
        if elapsed >= time {
            return Ok(Offered { sent, time: elapsed });
        }
        let due = elapsed.as_secs_f64() * f64::from(rate) - skipped - sent as f64;
        let most = f64::from(rate) * CATCH_UP;
        skipped += (due - most).max(0.0);
        if due < 1.0 {
            std::thread::sleep(PAUSE);
            continue;
        }
        for _ in 0..due.min(most) as u64 {
            let [first, second] = &mut packets;
            let packet = if sent.is_multiple_of(2) { first } else { second };
            forge(packet, rand::random(), rand::random());
            socket.send_to(packet, &address).context("sending a forged request")?;
            sent += 1;
        }
    }
}

/// A request with its headers; the kernel fills in the checksum of the first, and the second goes without.
fn packet(method: Method, to: SocketAddrV4) -> anyhow::Result<Vec<u8>> {
    let mut message = Message::new();
    message.set_type(MessageType::new(method, CLASS_REQUEST));
    message.write_header();
    if method == METHOD_ALLOCATE {
        message.add(ATTR_REQUESTED_TRANSPORT, &[UDP, 0, 0, 0]);
    }
    let len = |header: usize| u16::try_from(header + message.raw.len()).context("a request is too long");
    let (udp_len, ip_len) = (len(UDP_HEADER)?.to_be_bytes(), len(IP_HEADER + UDP_HEADER)?.to_be_bytes());
    let ttl = 64;
    let mut packet = vec![0x45, 0, ip_len[0], ip_len[1], 0, 0, 0, 0, ttl, UDP, 0, 0, 0, 0, 0, 0];
    packet.extend(to.ip().octets());
    packet.extend([0, 0]);
    packet.extend(to.port().to_be_bytes());
    packet.extend(udp_len);
    packet.extend([0, 0]);
    packet.extend(message.raw);
    Ok(packet)
}

/// Another source and another transaction.
fn forge(packet: &mut [u8], source: u32, transaction: u64) {
    let source = elsewhere(source);
    let port = (transaction as u16 | 1024).to_be_bytes();
    let at = IP_HEADER + UDP_HEADER + TRANSACTION;
    for (begin, bytes) in [(12, &source.octets()[..]), (IP_HEADER, &port), (at, &transaction.to_be_bytes())] {
        if let Some(place) = packet.get_mut(begin..begin + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }
}

/// An address on the internet: no packet from others is taken by a kernel, or it is the namespace's own.
fn elsewhere(bits: u32) -> Ipv4Addr {
    let [a, b, c, d] = bits.to_be_bytes();
    match a % 224 {
        0 | 10 | 127 => Ipv4Addr::new(11, b, c, d),
        a => Ipv4Addr::new(a, b, c, d),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_request_is_an_ip_packet_with_a_stun_message() {
        let to = SocketAddrV4::new(Ipv4Addr::new(10, 87, 0, 1), 3478);
        let mut packet = packet(METHOD_ALLOCATE, to).unwrap();
        forge(&mut packet, 0x0102_0304, 0x1122_3344_5566_7788);
        assert_eq!(packet.len(), 56);
        assert_eq!(packet[2..4], [0, 56]);
        assert_eq!(packet[12..20], [1, 2, 3, 4, 10, 87, 0, 1]);
        assert_eq!(packet[20..28], [0x77, 0x88, 0x0d, 0x96, 0, 36, 0, 0]);
        assert_eq!(packet[28..30], [0, 3]);
        assert_eq!(packet[36..44], [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88]);
    }

    #[test]
    fn sources_are_addresses_that_a_kernel_takes() {
        for first in 0..=255u32 {
            let source = elsewhere(first << 24 | 1);
            assert!(!source.is_loopback() && !source.is_multicast() && !source.is_private(), "{source}");
        }
    }
}
