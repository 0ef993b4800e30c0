//! The look into ClientHellos, whole or in fragments: the input is split into datagrams at each 0xff byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plenum_media_core::client_hello::HelloPeek;

fuzz_target!(|bytes: &[u8]| {
    std::hint::black_box(HelloPeek::default().add(bytes));
    let mut hello = HelloPeek::default();
    for datagram in bytes.split(|byte| *byte == 0xff) {
        std::hint::black_box(hello.add(datagram));
    }
});
