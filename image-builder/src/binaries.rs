//! The programs that run on the device: static aarch64, size first.

use crate::{Binaries, Error, Result, board::workspace_root, rootfs::PROGRAMS, tool};
use std::path::PathBuf;
use std::process::Command;

/// What the device's programs are compiled for.
pub const TARGET: &str = "aarch64-unknown-linux-musl";
/// Environment variable of a test run: every program for this machine was just built, and would be
/// compiled once more, with the features of its package alone, if it were asked for by itself.
const BUILT: &str = "HOLDFAST_BUILT";
/// Packages of the workspace that hold them.
const PACKAGES: [&str; 3] = ["init", "updater", "app-runtime"];

/// Folder with all programs; builds them when asked to.
pub fn obtain(binaries: &Binaries) -> Result<PathBuf> {
    let folder = match binaries {
        Binaries::Prebuilt(folder) => folder.clone(),
        Binaries::Build => build()?,
    };
    for (name, _) in PROGRAMS {
        let path = folder.join(name);
        if !path.is_file() {
            return Err(Error::input(format!("the program {} is missing", path.display())));
        }
    }
    Ok(folder)
}

/// `cargo` in the root of the workspace. What an outer cargo (`cargo run`, `cargo test`) says of
/// the package that it runs is taken out of the environment: some build scripts watch those
/// variables, and would have everything compiled again each time.
pub fn cargo() -> Result<Command> {
    let mut command = tool::command("cargo")?;
    command.current_dir(workspace_root());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    Ok(command)
}

/// `cargo build` with its progress on standard error. Returns the folder of the programs.
fn build() -> Result<PathBuf> {
    let mut command = cargo()?;
    command.args(["build", "--locked", "--profile", "device", "--target", TARGET]);
    PACKAGES.iter().for_each(|package| {
        command.args(["--package", package]);
    });
    PROGRAMS.iter().for_each(|(name, _)| {
        command.args(["--bin", name]);
    });
    compile(command, "the device's programs")?;
    Ok(target().join(TARGET).join("device"))
}

/// A program of the work tree for this machine, built when it is not current. `kind` is cargo's
/// word, `bin` or `example`.
pub fn of_this_machine(package: &str, kind: &str, name: &str) -> Result<PathBuf> {
    if std::env::var_os(BUILT).is_none() {
        let mut command = cargo()?;
        command.args(["build", "--quiet", "--package", package, &format!("--{kind}"), name]);
        compile(command, name)?;
    }
    let folder = target().join("debug");
    Ok(if kind == "example" { folder.join("examples").join(name) } else { folder.join(name) })
}

fn compile(mut cargo: Command, what: &str) -> Result<()> {
    let status = cargo.status().map_err(Error::file("start", "cargo"))?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Tool {
        program: format!("cargo build of {what}"),
        status: status.to_string(),
        output: "see the compiler's messages above".into(),
    })
}

/// Cargo's target folder: `CARGO_TARGET_DIR`, or `target` in the work tree.
pub fn target() -> PathBuf {
    let root = workspace_root();
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root.join("target"), |folder| root.join(folder))
}
