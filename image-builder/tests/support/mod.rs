//! What the tests share: a spec with placeholder programs, and foreign programs.

#![allow(dead_code, reason = "each test program uses a part")]

pub mod mirror;

use image_builder::{Binaries, ImageSpec, keys, rootfs};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// 2026-01-02 03:04:06 UTC: even seconds, as FAT stores them.
pub const TIME: u64 = 1_767_323_046;

/// A spec of `board` with keys and placeholder programs made in `dir`.
///
/// Nothing in these tests runs the device's programs; `hil-tests` boots the real ones.
pub fn spec(board: &str, dir: &Path) -> ImageSpec {
    let programs = dir.join("programs");
    fs::create_dir_all(&programs).unwrap();
    for (name, _) in rootfs::PROGRAMS {
        fs::write(programs.join(name), format!("placeholder for {name}\n").repeat(1000)).unwrap();
    }
    let keys_dir = dir.join("keys");
    keys::init(&keys_dir).unwrap();
    ImageSpec {
        binaries: Binaries::Prebuilt(programs),
        build_time: Some(TIME),
        ..ImageSpec::new(board, "1.2.3", keys_dir)
    }
}

/// What a foreign program said and whether it was content.
pub struct Said {
    pub ok: bool,
    pub text: String,
}

/// Runs a foreign program; it must be installed (`cargo xtask test` sees to that).
pub fn tool(program: &str, arguments: &[&str]) -> Said {
    let mut command = image_builder::tool::command(program).unwrap();
    finish(command.args(arguments))
}

/// Runs the tool under test.
pub fn holdfast(arguments: &[&str]) -> Said {
    finish(Command::new(env!("CARGO_BIN_EXE_holdfast")).args(arguments))
}

fn finish(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Said { ok: output.status.success(), text }
}

/// Runs a foreign program that must succeed.
pub fn accepted(program: &str, arguments: &[&str]) -> String {
    let said = tool(program, arguments);
    assert!(said.ok, "{program} {arguments:?}:\n{}", said.text);
    said.text
}

/// Writes a part of a file into a file of its own.
pub fn cut(from: &Path, offset: u64, size: u64, to: &Path) -> PathBuf {
    let bytes = fs::read(from).unwrap();
    let end = ((offset + size) as usize).min(bytes.len());
    fs::write(to, &bytes[offset as usize..end]).unwrap();
    to.to_path_buf()
}

/// A path as text.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
