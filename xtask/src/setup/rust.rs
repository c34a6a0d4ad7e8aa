//! The Rust target of the device, for the toolchain that `rust-toolchain.toml` pins. rustup does
//! not always add it by itself (`RUSTUP_AUTO_INSTALL=0`, a toolchain that was there before).

use crate::error::Error;
use crate::process::{self, say};
use std::process::Command;

/// The device's target.
pub const TARGET: &str = "aarch64-unknown-linux-musl";

/// Adds the target unless it is there.
pub fn add_target() -> Result<(), Error> {
    if target_is_there() {
        return Ok(());
    }
    if process::find("rustup").is_none() {
        return Err(Error::Missing(format!(
            "the Rust target {TARGET} is missing and there is no rustup to add it; install rustup \
             (https://rustup.rs), or a toolchain that brings the target's standard library"
        )));
    }
    say(&format!("setup: about to download Rust's standard library for {TARGET} (135 MB)"));
    let mut command = Command::new("rustup");
    command.args(["target", "add", TARGET]).current_dir(crate::tree::root());
    process::run(command).map_err(|error| {
        Error::Missing(format!(
            "{error}\nThe target could not be downloaded. With a network run \
             `rustup target add {TARGET}` \
             in the work tree (so that it goes to the pinned toolchain), then try again"
        ))
    })
}

fn target_is_there() -> bool {
    let Some(folder) = process::read("rustc", &["--print", "sysroot"]) else { return false };
    let root = std::path::Path::new(folder.trim()).to_path_buf();
    root.join("lib/rustlib").join(TARGET).join("lib").is_dir()
}
