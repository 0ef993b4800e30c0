//! Reception of one source for receiver reports (RFC 3550, sections 6.4.1 and A.3, A.8).

use super::clock;
use crate::rtcp::{ReportBlock, SenderInfo};
use std::time::Instant;

/// The last sender report of the source.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReportSeen {
    pub(crate) info: SenderInfo,
    pub(crate) at: Instant,
}

/// Counts of one source.
#[derive(Debug, Default)]
pub(crate) struct ReceiveStats {
    first: Option<u64>,
    highest: u64,
    received: u64,
    expected_before: u64,
    received_before: u64,
    /// In 1/16 of a tick, as RFC 3550 computes it.
    jitter: u32,
    transit: Option<u32>,
    pub(crate) sender_report: Option<ReportSeen>,
}

impl ReceiveStats {
    /// A packet came. `arrival` is in ticks of the media clock.
    pub(crate) fn received(&mut self, index: u64, timestamp: u32, arrival: u32) {
        self.first.get_or_insert(index);
        self.highest = self.highest.max(index);
        self.received += 1;
        let transit = arrival.wrapping_sub(timestamp);
        if let Some(before) = self.transit.replace(transit) {
            let distance = (transit.wrapping_sub(before) as i32).unsigned_abs().min(1 << 20);
            self.jitter = self.jitter.saturating_add(distance) - ((self.jitter + 8) >> 4);
        }
    }

    /// The block for the next receiver report; counts from the last one on.
    pub(crate) fn report(&mut self, ssrc: u32, now: Instant) -> Option<ReportBlock> {
        let first = self.first?;
        let expected = (self.highest + 1).saturating_sub(first);
        let lost = expected as i64 - self.received as i64;
        let expected_now = expected.saturating_sub(self.expected_before);
        let received_now = self.received.saturating_sub(self.received_before);
        let lost_now = expected_now.saturating_sub(received_now);
        self.expected_before = expected;
        self.received_before = self.received;
        let fraction = (lost_now << 8).checked_div(expected_now).unwrap_or(0).min(255);
        let report = self.sender_report;
        Some(ReportBlock {
            ssrc,
            fraction_lost: fraction as u8,
            lost: i32::try_from(lost).unwrap_or(i32::MAX),
            highest: (self.highest & 0xffff_ffff) as u32,
            jitter: self.jitter >> 4,
            last_sender_report: report.map_or(0, |seen| clock::middle(seen.info.ntp)),
            delay: report.map_or(0, |seen| clock::short(now.saturating_duration_since(seen.at))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_is_told_since_the_last_report_and_in_all() {
        let mut stats = ReceiveStats::default();
        for index in (0..100u64).filter(|index| index % 4 != 1) {
            stats.received(index, index as u32 * 90, index as u32 * 90);
        }
        let report = stats.report(7, plenum_testing::some_moment()).unwrap();
        assert_eq!((report.lost, report.fraction_lost, report.highest, report.jitter), (25, 64, 99, 0));
        for index in 100..200u64 {
            stats.received(index, 0, 0);
        }
        let report = stats.report(7, plenum_testing::some_moment()).unwrap();
        assert_eq!((report.lost, report.fraction_lost), (25, 0));
    }

    #[test]
    fn nothing_received_means_no_block() {
        assert_eq!(ReceiveStats::default().report(1, plenum_testing::some_moment()), None);
    }
}
