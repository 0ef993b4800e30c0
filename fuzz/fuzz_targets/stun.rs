//! STUN demultiplexing: classification, parsing, integrity.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plenum_media_core::stun::{Binding, classify};

fuzz_target!(|bytes: &[u8]| {
    std::hint::black_box(classify(bytes));
    if let Some(binding) = Binding::parse(bytes) {
        std::hint::black_box((binding.local_ufrag(), binding.is_authentic("VOkJxbRl1RmTxUk/WvJxBt")));
    }
});
