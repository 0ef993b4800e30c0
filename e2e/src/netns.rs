//! Sockets in other network namespaces: of nodes, pods and clients on this machine. A socket stays where it was made.

use anyhow::{Context, Result, anyhow};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::process::Command;
use std::thread;

/// A UDP socket at `address`, in the network of the process `pid`.
///
/// # Errors
/// There is no such process, this user may not enter its network, or the address is not there.
pub fn udp_socket(pid: u32, address: SocketAddr) -> Result<UdpSocket> {
    let path = format!("/proc/{pid}/ns/net");
    let network = File::open(&path).with_context(|| format!("opening {path}"))?;
    // The namespace belongs to a thread: one that enters another is not used again.
    let made = thread::spawn(move || -> io::Result<UdpSocket> {
        move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
        let socket = UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    });
    let made = made.join().map_err(|_| anyhow!("the thread that makes a socket panicked"))?;
    made.with_context(|| format!("binding {address} in the network of process {pid}"))
}

/// An address on the loopback link of a network, until it is dropped.
#[derive(Debug)]
pub struct ExtraAddress {
    pid: u32,
    address: String,
}

impl ExtraAddress {
    /// Adds `address` (as `192.0.2.1/32`) to the network of the process `pid`.
    ///
    /// # Errors
    /// `ip` refuses.
    pub fn add(pid: u32, address: &str) -> Result<Self> {
        // One that an ended run left is fine.
        ip(pid, &["address", "replace", address, "dev", "lo"])?;
        Ok(Self { pid, address: address.to_owned() })
    }
}

impl Drop for ExtraAddress {
    fn drop(&mut self) {
        if let Err(error) = ip(self.pid, &["address", "delete", &self.address, "dev", "lo"]) {
            eprintln!("removing {}: {error:#}", self.address);
        }
    }
}

fn ip(pid: u32, words: &[&str]) -> Result<()> {
    let network = format!("--net=/proc/{pid}/ns/net");
    let output = Command::new("nsenter").arg(network).arg("ip").args(words).output().context("running nsenter")?;
    if !output.status.success() {
        return Err(anyhow!("ip {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(())
}
