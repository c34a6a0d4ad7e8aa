//! What is executed, as opposed to what bounds it.

use std::{ffi::OsString, os::fd::BorrowedFd, path::PathBuf};

/// A program with its arguments, environment and descriptors.
#[derive(Debug)]
pub struct Process<'a> {
    /// Absolute path in the process's view.
    pub program: PathBuf,
    /// Arguments after the program's name.
    pub args: Vec<OsString>,
    /// The whole environment; nothing is inherited.
    pub env: Vec<(OsString, OsString)>,
    /// Working directory in the process's view.
    pub cwd: PathBuf,
    /// Standard input.
    pub stdin: Stdio<'a>,
    /// Standard output.
    pub stdout: Stdio<'a>,
    /// Standard error.
    pub stderr: Stdio<'a>,
    /// Further descriptors, passed as 3, 4, … in this order. Every other descriptor is closed.
    pub descriptors: Vec<BorrowedFd<'a>>,
}

impl<'a> Process<'a> {
    /// A program without arguments or environment, in `/`, with all three standard descriptors on
    /// `/dev/null`.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: PathBuf::from("/"),
            stdin: Stdio::Null,
            stdout: Stdio::Null,
            stderr: Stdio::Null,
            descriptors: Vec::new(),
        }
    }
}

/// Where a standard descriptor leads.
#[derive(Debug, Clone, Copy)]
pub enum Stdio<'a> {
    /// The caller's `/dev/null`.
    Null,
    /// The caller's own descriptor of the same number.
    Inherit,
    /// This descriptor of the caller.
    Fd(BorrowedFd<'a>),
}
