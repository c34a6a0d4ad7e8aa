//! Which processes are children of process 1 of a pid namespace, by its `/proc`. Nothing here
//! allocates: it runs in a copy of the caller's memory.

use rustix::{
    fs::{CWD, Mode, OFlags, RawDir},
    process::Pid,
};
use std::{ffi::CStr, mem::MaybeUninit};

/// Bytes of directory entries that are read at once.
const ENTRIES: usize = 2048;
/// The beginning of `/proc/N/stat` has what is looked for: the program's name has at most 64 bytes.
const STAT: usize = 128;

/// Children of process 1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Orphans {
    None,
    One(Pid),
    /// Several, or they could not be counted.
    More,
}

/// Counts the children of the calling process, which must be process 1 and have nothing else to do.
pub(crate) fn count() -> Orphans {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(proc) = rustix::fs::open(c"/proc", flags, Mode::empty()) else { return Orphans::More };
    let mut buffer = [MaybeUninit::<u8>::uninit(); ENTRIES];
    let mut entries = RawDir::new(&proc, &mut buffer);
    let mut found = Orphans::None;
    while let Some(entry) = entries.next() {
        let Ok(entry) = entry else { return Orphans::More };
        let Some(pid) = number(entry.file_name().to_bytes()).and_then(Pid::from_raw) else {
            continue;
        };
        if parent(entry.file_name()) == Some(1) {
            found = match found {
                Orphans::None => Orphans::One(pid),
                _ => return Orphans::More,
            };
        }
    }
    found
}

/// Parent of a process; `None` when it is gone, or ended and is not reaped.
fn parent(pid: &CStr) -> Option<i32> {
    let mut path = [0_u8; 32];
    let name = pid.to_bytes();
    let parts: [&[u8]; 3] = [b"/proc/", name, b"/stat"];
    let mut at = 0;
    for part in parts {
        path.get_mut(at..at + part.len())?.copy_from_slice(part);
        at += part.len();
    }
    let path = CStr::from_bytes_until_nul(&path).ok()?;
    let file =
        rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut text = [0_u8; STAT];
    let length = rustix::io::read(&file, &mut text).ok()?;
    of_stat(text.get(..length)?)
}

/// The fourth field. The second is the program's name in brackets, and may have any bytes in it.
fn of_stat(text: &[u8]) -> Option<i32> {
    let end = text.iter().rposition(|b| *b == b')')?;
    let mut fields = text.get(end + 2..)?.split(|b| *b == b' ');
    let state = fields.next()?;
    if state == b"Z" || state == b"X" {
        return None;
    }
    number(fields.next()?)
}

fn number(digits: &[u8]) -> Option<i32> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_i32, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| i32::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::of_stat;

    #[test]
    fn the_parent_is_behind_any_name() {
        for (text, expected) in [
            ("12 (nginx) S 1 12 12 0", Some(1)),
            ("12 (a) S 9 b) R 77 12", Some(77)),
            ("12 (dead) Z 1 12", None),
            ("12 (cut) S", None),
            ("12 (cut", None),
            ("", None),
            ("12 (big) S 99999999999 1", None),
        ] {
            assert_eq!(of_stat(text.as_bytes()), expected, "{text}");
        }
    }
}
