//! `cargo fuzz run key_set`, see [`fuzz::TARGETS`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::run("key_set", data));
