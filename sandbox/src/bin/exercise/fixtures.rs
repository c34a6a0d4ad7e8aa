//! What the exercises work on.

use std::{
    fs::{File, OpenOptions},
    io::{Error, Write},
    os::fd::{AsRawFd, OwnedFd},
};

/// Name of the call, with a case after a blank, and whether it works.
pub type Exercise = (&'static str, fn() -> bool);

/// This program.
pub const ITSELF: &str = "/proc/self/exe";

/// Whether the call worked; if not, says why.
pub fn ok(result: i64) -> bool {
    if result < 0 {
        eprint!("{}", Error::last_os_error());
    }
    result >= 0
}

/// Whether the kernel's own answer is this error, which it gives only after the filter let the call
/// through.
pub fn fails(result: i64, errno: i32) -> bool {
    let found = Error::last_os_error();
    if result >= 0 || found.raw_os_error() != Some(errno) {
        eprint!("{result} {found}");
        return false;
    }
    true
}

/// Works, or the file system lacks it.
pub fn ok_or(result: i64, errno: i32) -> bool {
    result >= 0 || fails(result, errno)
}

/// A file of ten bytes in the working directory.
pub fn file(name: &str) -> File {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true);
    let mut file = options.open(name).expect("a file can be made");
    file.write_all(b"0123456789").expect("and written");
    file
}

/// The working directory.
pub fn directory() -> File {
    File::open(".").expect("it can be opened")
}

/// A pipe with three bytes in it.
pub fn pipe() -> (OwnedFd, OwnedFd) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe can be made");
    writer.write_all(b"abc").expect("and written");
    (reader.into(), writer.into())
}

/// The number of a descriptor that stays open until the process ends.
pub fn leak(fd: impl Into<OwnedFd>) -> i32 {
    let fd = fd.into();
    let number = fd.as_raw_fd();
    std::mem::forget(fd);
    number
}
