//! Trickle fragments.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plenum_media_core::sdp::Fragment;

fuzz_target!(|text: &str| {
    std::hint::black_box(Fragment::parse(text).is_ok());
});
