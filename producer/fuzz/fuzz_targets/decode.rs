//! Bytes that nobody would send, into every decoder.

#![no_main]

mod check;

libfuzzer_sys::fuzz_target!(|input: &[u8]| check::decode(input));
