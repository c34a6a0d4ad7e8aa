//! `cargo fuzz run snap_file`, see [`fuzz::TARGETS`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::run("snap_file", data));
