//! UDP for a client that is written for streams: a datagram is read until it is used up.

use crate::harness::DEADLINE;
use std::collections::VecDeque;
use std::io::{Read, Result, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};

/// What is written at once leaves as one datagram. Payloads must be multiples of four bytes: datagrams are not padded.
pub(crate) struct Datagrams {
    socket: UdpSocket,
    unread: VecDeque<u8>,
}

impl Datagrams {
    /// From a port of its own.
    pub(crate) fn connect(to: SocketAddr) -> Self {
        Self::connect_from(to.ip(), to)
    }

    /// From a port of its own at this address.
    pub(crate) fn connect_from(ip: IpAddr, to: SocketAddr) -> Self {
        let socket = UdpSocket::bind(SocketAddr::new(ip, 0)).unwrap();
        socket.connect(to).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { socket, unread: VecDeque::new() }
    }

    /// The same port once more, for a client that knows nothing of the other.
    pub(crate) fn again(&self) -> Self {
        Self { socket: self.socket.try_clone().unwrap(), unread: VecDeque::new() }
    }
}

impl Read for Datagrams {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if self.unread.is_empty() {
            let mut datagram = [0; 2048];
            let len = self.socket.recv(&mut datagram)?;
            self.unread.extend(&datagram[..len]);
        }
        self.unread.read(buffer)
    }
}

impl Write for Datagrams {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.socket.send(bytes)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
