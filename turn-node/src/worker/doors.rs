//! The listeners of a node as its workers bind them: once per address of the pod.

use crate::certificates::Certificates;
use crate::settings::{Door, Listener, Settings};
use plenum_dataplane::RelayNetError;
use plenum_runtime::server::PublicTls;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

/// What is spoken at a TCP listener.
#[derive(Clone)]
pub(super) enum TcpDoor {
    Plain,
    Tls(Arc<PublicTls>),
}

struct Opening<D> {
    name: String,
    address: SocketAddr,
    door: D,
}

/// Everything that each worker listens at, in the order of its sockets.
pub(super) struct Doors {
    udp: Vec<Opening<()>>,
    tcp: Vec<Opening<TcpDoor>>,
}

impl Doors {
    pub(super) fn new(settings: &Settings, certificates: &Certificates) -> Self {
        let (mut udp, mut tcp) = (Vec::new(), Vec::new());
        for Listener { name, door, port } in &settings.listeners {
            for address in settings.addresses.iter().map(|ip| SocketAddr::new(*ip, *port)) {
                let name = name.clone();
                match door {
                    Door::Udp => udp.push(Opening { name, address, door: () }),
                    Door::Tcp => tcp.push(Opening { name, address, door: TcpDoor::Plain }),
                    Door::Tls { .. } => {
                        // Every TLS listener has one: they were made from the same list.
                        let Some(tls) = certificates.of(&name) else { continue };
                        tcp.push(Opening { name, address, door: TcpDoor::Tls(tls) });
                    }
                }
            }
        }
        Self { udp, tcp }
    }

    /// Whether nobody else is at the addresses. Sockets that share a port (`SO_REUSEPORT`) would not tell: two nodes of
    /// one host would then take each other's packets.
    pub(super) fn check_free(&self) -> Result<(), RelayNetError> {
        for address in self.udp() {
            let failed = |source| RelayNetError::Listen { transport: "udp", address, source };
            UdpSocket::bind(address).map(drop).map_err(failed)?;
        }
        for address in self.tcp() {
            let failed = |source| RelayNetError::Listen { transport: "tcp", address, source };
            TcpListener::bind(address).map(drop).map_err(failed)?;
        }
        Ok(())
    }

    pub(super) fn udp(&self) -> Vec<SocketAddr> {
        self.udp.iter().map(|opening| opening.address).collect()
    }

    pub(super) fn tcp(&self) -> Vec<SocketAddr> {
        self.tcp.iter().map(|opening| opening.address).collect()
    }

    pub(super) fn tcp_doors(&self) -> Vec<TcpDoor> {
        self.tcp.iter().map(|opening| opening.door.clone()).collect()
    }

    /// Where the sockets of a worker are: in the order of [`Doors::udp`] and [`Doors::tcp`].
    pub(super) fn bound(&mut self, udp: &[SocketAddr], tcp: &[SocketAddr]) {
        self.udp.iter_mut().zip(udp).for_each(|(opening, address)| opening.address = *address);
        self.tcp.iter_mut().zip(tcp).for_each(|(opening, address)| opening.address = *address);
    }

    pub(super) fn named(&self) -> Vec<(String, SocketAddr)> {
        let udp = self.udp.iter().map(|opening| (opening.name.clone(), opening.address));
        udp.chain(self.tcp.iter().map(|opening| (opening.name.clone(), opening.address))).collect()
    }
}
