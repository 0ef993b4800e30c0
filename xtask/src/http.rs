//! One HTTP request to this machine, without TLS.

use anyhow::Context;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);
const LONGEST_ANSWER: u64 = 1 << 20;

/// The whole answer of whoever listens on this port of localhost. `line` is method and path; `headers` have no end.
pub(crate) fn ask(port: u16, line: &str, headers: &[String], body: &str) -> anyhow::Result<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut request = format!("{line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for header in headers {
        request.push_str(&format!("{header}\r\n"));
    }
    request.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    let mut stream =
        TcpStream::connect_timeout(&address, TIMEOUT).with_context(|| format!("connecting to {address}"))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(request.as_bytes()).with_context(|| format!("asking {address}"))?;
    let mut answer = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer).with_context(|| format!("reading the answer of {address}"))?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
