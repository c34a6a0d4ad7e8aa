//! `cargo fuzz run medium`, see [`fuzz::TARGETS`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::run("medium", data));
