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
    /// The program puts itself into the background: the reaper lives on after it ended with
    /// success, as long as the main process that it left behind (or all, when there are several),
    /// and writes one byte here when the program ended so. Needs
    /// [`crate::Confinement::reaper`].
    pub background: Option<BorrowedFd<'a>>,
}

/// Process id of the program in a pid namespace of its own with a reaper, which is process 1.
pub const PROGRAM_PID: u32 = 2;

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
            background: None,
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
