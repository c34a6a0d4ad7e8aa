//! Where the base services find the device's files: below `/` on a device, below a directory of its
//! own in a test. What is the kernel's (`/sys`, `/dev`) and what is a link to it stays where it is.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// The directory that stands for `/`.
#[derive(Debug, Clone)]
pub struct Root(PathBuf);

impl Root {
    /// All files below `directory`.
    pub fn below(directory: impl Into<PathBuf>) -> Self {
        Self(directory.into())
    }

    /// From what follows the program's name: nothing, or `--root DIR`; the error says what was
    /// expected.
    pub fn from_arguments(
        mut arguments: impl Iterator<Item = OsString>,
    ) -> Result<Self, &'static str> {
        match (arguments.next(), arguments.next(), arguments.next()) {
            (None, ..) => Ok(Self::below("/")),
            (Some(option), Some(directory), None) if option == "--root" => {
                Ok(Self::below(directory))
            }
            _ => Err("expected nothing, or --root DIR"),
        }
    }

    /// An absolute path of the device below the root.
    pub fn at(&self, path: &str) -> PathBuf {
        self.0.join(Path::new(path).strip_prefix("/").unwrap_or(Path::new(path)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_name_one_root_or_none() {
        let root = |words: &[&str]| {
            let parsed = Root::from_arguments(words.iter().map(OsString::from));
            parsed.map(|root| root.at("/run/x").display().to_string()).ok()
        };
        assert_eq!(root(&[]).as_deref(), Some("/run/x"));
        assert_eq!(root(&["--root", "/tmp/a"]).as_deref(), Some("/tmp/a/run/x"));
        for wrong in [&["--root"][..], &["/tmp/a"], &["--root", "/tmp/a", "more"]] {
            assert_eq!(root(wrong), None, "{wrong:?}");
        }
    }
}
