//! NTP-shaped time (32.32 fixed point seconds) from instants. The epoch is the engine's start, not 1900: peers only
//! ever compare such times with each other.

use std::time::{Duration, Instant};

/// A moment as RTCP writes it.
pub(crate) fn ntp(epoch: Instant, now: Instant) -> u64 {
    // A day ahead, so that no report carries the zero that means "none".
    duration_to_ntp(now.saturating_duration_since(epoch) + Duration::from_secs(86_400))
}

/// A span in 32.32 fixed point seconds.
pub(crate) fn duration_to_ntp(span: Duration) -> u64 {
    let fraction = (u64::from(span.subsec_nanos()) << 32) / 1_000_000_000;
    span.as_secs() << 32 | fraction
}

/// The middle 32 bits, which reports echo.
pub(crate) fn middle(ntp: u64) -> u32 {
    (ntp >> 16 & 0xffff_ffff) as u32
}

/// A span in 1/65536 s, as `DLSR` has it.
pub(crate) fn short(span: Duration) -> u32 {
    middle(duration_to_ntp(span))
}

/// 1/65536 s to a span.
pub(crate) fn from_short(units: u32) -> Duration {
    Duration::from_nanos((u64::from(units) * 1_000_000_000) >> 16)
}

/// A span in ticks of an RTP clock, wrapping.
pub(crate) fn ticks(span: Duration, rate: u32) -> u32 {
    (span.as_micros() * u128::from(rate) / 1_000_000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_survive_the_way_through_report_units() {
        let span = Duration::from_millis(1_250);
        let back = from_short(short(span));
        assert!(span.abs_diff(back) < Duration::from_micros(20), "{back:?}");
        assert_eq!(ticks(span, 90_000), 112_500);
    }
}
