//! Addresses in STUN attributes (RFC 8489, section 14.2), hidden from meddling NATs.

use super::MAGIC_COOKIE;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The family of an IPv4 address, here and where a family is asked for.
pub const IPV4: u8 = 1;
/// Of an IPv6 one.
pub const IPV6: u8 = 2;
/// The first bytes of the cookie.
const PORT_MASK: u16 = 0x2112;

/// Reads an XOR address. Its first byte is reserved.
#[must_use]
pub fn read_xor(value: &[u8], transaction: &[u8; 12]) -> Option<SocketAddr> {
    let (&[_, family, high, low], ip) = value.split_first_chunk::<4>()?;
    let port = u16::from_be_bytes([high, low]) ^ PORT_MASK;
    let ip = match family {
        IPV4 => IpAddr::V4(Ipv4Addr::from_bits(u32::from_be_bytes(ip.try_into().ok()?) ^ MAGIC_COOKIE)),
        IPV6 => IpAddr::V6(Ipv6Addr::from_bits(u128::from_be_bytes(ip.try_into().ok()?) ^ mask(transaction))),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// Writes an XOR address: the bytes, and how many of them count.
#[must_use]
pub fn write_xor(address: SocketAddr, transaction: &[u8; 12]) -> ([u8; 20], usize) {
    let [high, low] = (address.port() ^ PORT_MASK).to_be_bytes();
    let mut value = [0; 20];
    let (head, ip) = value.split_at_mut(4);
    let (family, len) = match address.ip() {
        IpAddr::V4(v4) => {
            let bytes = (v4.to_bits() ^ MAGIC_COOKIE).to_be_bytes();
            ip.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
            (IPV4, 8)
        }
        IpAddr::V6(v6) => {
            let bytes = (v6.to_bits() ^ mask(transaction)).to_be_bytes();
            ip.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
            (IPV6, 20)
        }
    };
    head.iter_mut().zip([0, family, high, low]).for_each(|(to, from)| *to = from);
    (value, len)
}

fn mask(transaction: &[u8; 12]) -> u128 {
    let low = transaction.iter().fold(0, |sum, byte| sum << 8 | u128::from(*byte));
    u128::from(MAGIC_COOKIE) << 96 | low
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_address_survives_the_way(ip in any::<IpAddr>(), port in any::<u16>(), transaction in any::<[u8; 12]>()) {
            let address = SocketAddr::new(ip, port);
            let (bytes, len) = write_xor(address, &transaction);
            prop_assert_eq!(read_xor(&bytes[..len], &transaction), Some(address));
            prop_assert_eq!(read_xor(&bytes[..len - 1], &transaction), None);
        }
    }
}
