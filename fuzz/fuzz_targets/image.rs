//! `cargo fuzz run image`, see [`fuzz::TARGETS`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::run("image", data));
