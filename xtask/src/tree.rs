//! The work tree: where it is, and which files belong to it. Only files that git knows or would add
//! are looked at, so build output never is.

use crate::error::Error;
use std::path::PathBuf;
use std::process::Command;

/// The root of the work tree.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask has a parent").to_path_buf()
}

/// Cargo's target folder.
pub fn target() -> PathBuf {
    root().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// The folder outside the work tree for what is built once, as `image-builder` has it:
/// `$HOLDFAST_CACHE`, or `holdfast` in `$XDG_CACHE_HOME`, or in `~/.cache`.
pub fn cache() -> Result<PathBuf, Error> {
    let folder = |name: &str| {
        let value = std::env::var_os(name).filter(|value| !value.is_empty());
        value.map(PathBuf::from)
    };
    folder("HOLDFAST_CACHE")
        .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("holdfast")))
        .or_else(|| Some(folder("HOME")?.join(".cache/holdfast")))
        .ok_or_else(|| Error::Missing("no place for the cache: set HOLDFAST_CACHE".into()))
}

/// Names of the Rust files in a folder of the work tree, without their ending, sorted: each is a
/// program.
pub fn programs(folder: &str) -> Result<Vec<String>, Error> {
    let folder = root().join(folder);
    let failed = |cause| Error::File { what: format!("list {}", folder.display()), cause };
    let mut names: Vec<String> = folder
        .read_dir()
        .map_err(failed)?
        .flatten()
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".rs")?.to_string()))
        .collect();
    names.sort();
    Ok(names)
}

/// Paths of all files of the work tree, relative to [`root`], sorted.
pub fn files() -> Result<Vec<String>, Error> {
    let line = "git ls-files --cached --others --exclude-standard";
    let output =
        Command::new("git").args(line.split(' ').skip(1)).current_dir(root()).output().map_err(
            |e| Error::Command { line: line.into(), how: format!("did not start: {e}") },
        )?;
    if !output.status.success() {
        return Err(Error::Command { line: line.into(), how: format!("ended: {}", output.status) });
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut files: Vec<String> =
        text.lines().filter(|path| root().join(path).is_file()).map(String::from).collect();
    files.sort();
    files.dedup();
    Ok(files)
}
