//! `cargo fuzz run release_manifest`, see [`fuzz::TARGETS`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::run("release_manifest", data));
