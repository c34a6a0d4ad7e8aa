//! Foreign programs: found on the path and in the sbin folders, their output shown when they fail.

use crate::{Error, Result};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Lines of a failed program's output that are shown.
const TAIL_LINES: usize = 20;

/// The foreign programs that a build uses, with their Debian packages.
const PACKAGES: &[(&str, &str)] = &[
    ("mkfs.erofs", "erofs-utils"),
    ("mke2fs", "e2fsprogs"),
    ("mksquashfs", "squashfs-tools"),
    ("unsquashfs", "squashfs-tools"),
    ("fdtget", "device-tree-compiler"),
    ("fdtput", "device-tree-compiler"),
    ("git", "git"),
    ("cargo", "none; see rustup.rs"),
];

/// A command for a foreign program, or an error that names its package.
pub fn command(program: &str) -> Result<Command> {
    let mut command = Command::new(find(program)?);
    command.env("LC_ALL", "C");
    Ok(command)
}

fn find(program: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].iter().map(|p| Path::new(p).to_path_buf()));
    folders.map(|folder| folder.join(program)).find(|file| file.is_file()).ok_or_else(|| {
        let package = PACKAGES.iter().find(|(name, _)| *name == program);
        Error::MissingTool {
            program: program.into(),
            package: package.map_or("unknown", |(_, package)| package),
        }
    })
}

/// Runs to the end; a failure carries the last lines that the program printed. Returns its standard
/// output.
pub fn run(command: &mut Command) -> Result<String> {
    let program = Path::new(command.get_program()).display().to_string();
    let output = command.output().map_err(Error::file("start", &program))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = text.lines().collect();
    Err(Error::Tool {
        program,
        status: output.status.to_string(),
        output: lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n"),
    })
}
