//! `cargo fuzz run snap_yaml`, see [`fuzz::TARGETS`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::run("snap_yaml", data));
