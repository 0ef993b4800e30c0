//! Socket addresses in the kernel's form. On a dual-stack socket IPv4 travels as v4-mapped IPv6; callers never see that.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Storage for an address that the kernel reads or writes.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) union RawAddress {
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

/// Room that the kernel may write.
pub(crate) const RAW_ADDRESS_LEN: libc::socklen_t = size_of::<RawAddress>() as libc::socklen_t;

impl RawAddress {
    /// An address of no family.
    pub(crate) const EMPTY: Self = Self {
        v6: libc::sockaddr_in6 {
            sin6_family: 0,
            sin6_port: 0,
            sin6_flowinfo: 0,
            sin6_addr: libc::in6_addr { s6_addr: [0; 16] },
            sin6_scope_id: 0,
        },
    };

    /// The address for a socket that is dual-stack (`dual`) or of the address's own family, and its length.
    pub(crate) fn new(address: SocketAddr, dual: bool) -> (Self, libc::socklen_t) {
        match address {
            SocketAddr::V4(v4) if !dual => {
                let raw = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                    sin_zero: [0; 8],
                };
                (Self { v4: raw }, size_of::<libc::sockaddr_in>() as libc::socklen_t)
            }
            SocketAddr::V4(v4) => Self::from_v6(SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0)),
            SocketAddr::V6(v6) => Self::from_v6(v6),
        }
    }

    fn from_v6(v6: SocketAddrV6) -> (Self, libc::socklen_t) {
        let raw = libc::sockaddr_in6 {
            sin6_family: libc::AF_INET6 as libc::sa_family_t,
            sin6_port: v6.port().to_be(),
            sin6_flowinfo: v6.flowinfo(),
            sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
            sin6_scope_id: v6.scope_id(),
        };
        (Self { v6: raw }, size_of::<libc::sockaddr_in6>() as libc::socklen_t)
    }

    /// What the kernel wrote; `None` for another family. v4-mapped addresses come back as IPv4.
    pub(crate) fn read(&self) -> Option<SocketAddr> {
        // SAFETY: both variants are plain integers of which every bit pattern is valid, the union is always fully
        // initialised (`EMPTY` or `new`), and both begin with the family.
        let (family, v4, v6) = unsafe { (i32::from(self.v4.sin_family), self.v4, self.v6) };
        match family {
            libc::AF_INET => {
                let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
                Some(SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(v4.sin_port))))
            }
            libc::AF_INET6 => {
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                let port = u16::from_be(v6.sin6_port);
                Some(match ip.to_ipv4_mapped() {
                    Some(ip) => SocketAddr::V4(SocketAddrV4::new(ip, port)),
                    None => SocketAddr::V6(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id)),
                })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_the_way_to_the_kernel_and_back() {
        for text in ["192.0.2.7:4000", "[2001:db8::7]:4001"] {
            let address: SocketAddr = text.parse().unwrap();
            for dual in [false, true] {
                let (raw, len) = RawAddress::new(address, dual);
                assert_eq!(raw.read(), Some(address));
                assert!(len <= RAW_ADDRESS_LEN);
            }
        }
    }

    #[test]
    fn an_address_of_an_unknown_family_is_none() {
        assert_eq!(RawAddress::EMPTY.read(), None);
    }
}
