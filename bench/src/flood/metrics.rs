//! What the node counts, read from its metrics.

use anyhow::Context as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(5);

/// Counts since the node started, or since another look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Metrics {
    /// Datagrams that the node took from its listener.
    pub(super) received: u64,
    /// Requests that it answered.
    pub(super) answered: u64,
    /// Requests that it left unanswered, for they were too many.
    pub(super) limited: u64,
    /// Datagrams that the kernel dropped, since the node did not take them in time.
    pub(super) overflowed: u64,
}

impl Metrics {
    /// Asks the node.
    pub(super) fn read(address: SocketAddr) -> anyhow::Result<Self> {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect_timeout(&address, DEADLINE)?;
            stream.set_read_timeout(Some(DEADLINE))?;
            stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n")?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        };
        Ok(Self::parse(&ask().with_context(|| format!("reading the metrics of {address}"))?))
    }

    /// Counts since `earlier`.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        Self {
            received: self.received.saturating_sub(earlier.received),
            answered: self.answered.saturating_sub(earlier.answered),
            limited: self.limited.saturating_sub(earlier.limited),
            overflowed: self.overflowed.saturating_sub(earlier.overflowed),
        }
    }

    fn parse(text: &str) -> Self {
        let sum = |name: &str, label: &str| {
            let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
        };
        Self {
            received: sum("plenum_turn_received_datagrams_total{", ""),
            answered: sum("plenum_turn_requests_total{", ""),
            limited: sum("plenum_turn_drops_total{", "reason=\"UnauthenticatedLimited\""),
            overflowed: sum("plenum_turn_drops_total{", "reason=\"ReceiveOverflow\""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_all_workers_and_methods_are_added() {
        let text = "\
# TYPE plenum_turn_requests counter
plenum_turn_requests_total{worker=\"0\",method=\"Allocate\",outcome=\"Unauthorized\",code=\"401\"} 7
plenum_turn_requests_total{worker=\"1\",method=\"Binding\",outcome=\"Success\",code=\"0\"} 5
plenum_turn_received_datagrams_total{worker=\"0\"} 100
plenum_turn_drops_total{worker=\"0\",reason=\"UnauthenticatedLimited\"} 80
plenum_turn_drops_total{worker=\"0\",reason=\"ReceiveOverflow\"} 3
plenum_turn_drops_total{worker=\"0\",reason=\"Malformed\"} 1
";
        let counts = Metrics::parse(text);
        assert_eq!(counts, Metrics { received: 100, answered: 12, limited: 80, overflowed: 3 });
        assert_eq!(counts.since(&counts), Metrics::default());
    }
}
