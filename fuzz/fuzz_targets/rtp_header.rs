//! RTP headers and header extensions.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plenum_media_core::rtp::RtpHeader;

fuzz_target!(|bytes: &[u8]| {
    let Some(header) = RtpHeader::parse(bytes) else { return };
    let payload = bytes.get(header.len..).expect("the header lies within the packet");
    std::hint::black_box(header.without_padding(payload));
    for id in 0..=u8::MAX {
        std::hint::black_box(header.extension(bytes, id));
    }
});
