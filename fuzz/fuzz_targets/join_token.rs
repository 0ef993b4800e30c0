//! Join tokens: the unverified issuer, and verification.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plenum_protocol::token;

fuzz_target!(|text: &str| {
    std::hint::black_box(token::issuer(text).is_ok());
    assert!(token::verify(text, b"a secret that the fuzzer cannot sign with", 1_000).is_err());
});
