//! RTCP compounds, every field of every packet.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plenum_media_core::rtcp::{Compound, Packet};

fuzz_target!(|bytes: &[u8]| {
    for packet in Compound::new(bytes).flatten() {
        let items = match packet {
            Packet::SenderReport { reports, .. } | Packet::ReceiverReport { reports } => reports.iter().count(),
            Packet::Goodbye(sources) => sources.iter().count(),
            Packet::Nack { lost, .. } => lost.iter().count(),
            Packet::FullIntra(entries) => entries.iter().count(),
            Packet::DelaySinceLast(delays) => delays.iter().count(),
            _ => 0,
        };
        assert!(items <= bytes.len() * 17);
    }
});
