//! What Landlock allows: the mounts once more, by another mechanism. A process that came by a right
//! or a descriptor that the mounts do not bound still reaches nothing but what was mounted for it.
//!
//! | kernel | version | what it adds |
//! |---|---|---|
//! | 5.13 | 1 | files, and no changes of mounts |
//! | 5.19 | 2 | renames between directories (before, there are none) |
//! | 6.2 | 3 | truncating |
//! | 6.7 | 4 | TCP ports |
//! | 6.10 | 5 | ioctl on devices |
//! | 6.12 | 6 | abstract sockets and signals stay inside |
//!
//! With the host's view, which is bounded by mounts alone, only ports and the last line are asked
//! for.
//!
//! Version 7 adds nothing that is used here. What a kernel lacks is in the [`Report`] of each
//! start.

use crate::{
    confinement::{Landlock, Ports},
    error::{Error, Result},
    landlock::{self, Handled, Ruleset},
    plan::c_path,
};
use std::{fmt, path::PathBuf};

/// Rights to files, from linux/landlock.h.
const EXECUTE: u64 = 1;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
const REMOVE_DIR: u64 = 1 << 4;
const REMOVE_FILE: u64 = 1 << 5;
const MAKE_CHAR: u64 = 1 << 6;
const MAKE_DIR: u64 = 1 << 7;
const MAKE_REG: u64 = 1 << 8;
const MAKE_SOCK: u64 = 1 << 9;
const MAKE_FIFO: u64 = 1 << 10;
const MAKE_BLOCK: u64 = 1 << 11;
const MAKE_SYM: u64 = 1 << 12;
const REFER: u64 = 1 << 13;
const TRUNCATE: u64 = 1 << 14;
const IOCTL_DEV: u64 = 1 << 15;
/// Rights to ports.
const BIND_TCP: u64 = 1;
const CONNECT_TCP: u64 = 1 << 1;
/// Scopes: abstract sockets and signals.
const SCOPES: u64 = 1 | SCOPE_SIGNAL;
const SCOPE_SIGNAL: u64 = 1 << 1;

/// Device nodes are never made, so those two rights are in no rule.
const ALL_FILES: u64 = READ | EXECUTE | WRITE | MAKE_CHAR | MAKE_BLOCK | IOCTL_DEV;
const READ: u64 = READ_FILE | READ_DIR;
const WRITE: u64 = WRITE_FILE
    | TRUNCATE
    | REMOVE_DIR
    | REMOVE_FILE
    | MAKE_DIR
    | MAKE_REG
    | MAKE_SOCK
    | MAKE_FIFO
    | MAKE_SYM
    | REFER;
/// The rights that a rule for something that is no directory may give.
const OF_FILE: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;

/// What may be done below a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access(u64);

impl Access {
    /// See what is there.
    pub(crate) const LIST: Self = Self(READ_DIR);
    /// `/proc`: its files are written, and none are made.
    pub(crate) const PROC: Self = Self(READ | WRITE_FILE | TRUNCATE);
    /// `/dev`.
    pub(crate) const DEVICES: Self = Self(READ | WRITE_FILE | IOCTL_DEV);

    /// Of files.
    pub(crate) const fn files(writable: bool, executable: bool) -> Self {
        let write = if writable { WRITE } else { 0 };
        let execute = if executable { EXECUTE } else { 0 };
        Self(READ | write | execute)
    }

    /// For something that is no directory.
    pub(crate) const fn of_file(self) -> Self {
        Self(self.0 & OF_FILE)
    }
}

/// How much of the asked fence this kernel has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Version of the kernel's Landlock, 0 without any.
    pub version: u32,
    /// What was asked for and is not enforced, or is enforced too strictly.
    pub missing: Vec<&'static str>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "landlock version {}", self.version)?;
        if self.missing.is_empty() { Ok(()) } else { write!(f, ": {}", self.missing.join(", ")) }
    }
}

/// The ruleset for a kernel with `version`, and what it does not hold. Without mounts, files are
/// not its business.
pub(crate) fn build(
    asked: &Landlock,
    mounts: Option<&[(PathBuf, Access)]>,
    version: u32,
) -> Result<(Option<Ruleset>, Report)> {
    if version < asked.least_version {
        let least = asked.least_version;
        return Err(Error::Invalid {
            what: "landlock".into(),
            why: format!("the kernel has version {version}, at least {least} is asked for"),
        });
    }
    let wanted = handled(asked, mounts.is_some());
    let report = Report { version, missing: missing(&wanted, version) };
    let handled = reduced(wanted, version);
    // The kernel refuses a ruleset that bounds nothing.
    if version == 0 || handled == Handled::default() {
        return Ok((None, report));
    }
    let mut ruleset = Ruleset { handled, ..Ruleset::default() };
    for (path, Access(rights)) in mounts.unwrap_or_default() {
        ruleset.files.push((c_path(path)?, rights & handled.files));
    }
    for (right, ports) in [(BIND_TCP, &asked.bind_tcp), (CONNECT_TCP, &asked.connect_tcp)] {
        if let Ports::Only(list) = ports
            && handled.ports & right != 0
        {
            ruleset.ports.extend(list.iter().map(|port| (*port, right)));
        }
    }
    Ok((Some(ruleset), report))
}

/// Processes of other domains can be signalled too.
pub(crate) fn let_signals_out(ruleset: &mut Ruleset) {
    ruleset.handled.scoped &= !SCOPE_SIGNAL;
}

/// Version of the running kernel's Landlock, 0 without any.
pub fn version() -> u32 {
    landlock::version()
}

fn handled(asked: &Landlock, files: bool) -> Handled {
    let listed = |ports: &Ports, right| if *ports == Ports::All { 0 } else { right };
    Handled {
        files: if files { ALL_FILES } else { 0 },
        ports: listed(&asked.bind_tcp, BIND_TCP) | listed(&asked.connect_tcp, CONNECT_TCP),
        scoped: SCOPES,
    }
}

/// What `version` knows of it.
fn reduced(wanted: Handled, version: u32) -> Handled {
    let from = |least, rights| if version < least { rights } else { 0 };
    Handled {
        files: wanted.files & !(from(2, REFER) | from(3, TRUNCATE) | from(5, IOCTL_DEV)),
        ports: wanted.ports & !from(4, BIND_TCP | CONNECT_TCP),
        scoped: wanted.scoped & !from(6, SCOPES),
    }
}

fn missing(wanted: &Handled, version: u32) -> Vec<&'static str> {
    if version == 0 {
        return vec!["nothing is enforced"];
    }
    let files = wanted.files != 0;
    [
        (2, files, "no renames between directories"),
        (3, files, "truncating is not bounded"),
        (4, wanted.ports != 0, "TCP ports are not bounded"),
        (5, files, "ioctl on devices is not bounded"),
        (6, true, "abstract sockets and signals are not bounded"),
    ]
    .into_iter()
    .filter(|(least, asked, _)| version < *least && *asked)
    .map(|(_, _, what)| what)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::{ALL_FILES, Access, BIND_TCP, Landlock, Ports, REFER, SCOPES, build};
    use std::path::PathBuf;

    fn asked() -> Landlock {
        Landlock { bind_tcp: Ports::Only(vec![80, 0]), ..Landlock::default() }
    }

    #[test]
    fn each_version_leaves_out_what_it_lacks_and_says_so() {
        let mounts = [(PathBuf::from("/data"), Access::files(true, false))];
        let ioctl = "ioctl on devices is not bounded";
        let scopes = "abstract sockets and signals are not bounded";
        for (version, missing) in [(1, 5), (2, 4), (3, 3), (4, 2), (5, 1), (6, 0), (7, 0)] {
            let (ruleset, report) = build(&asked(), Some(&mounts), version).unwrap();
            let ruleset = ruleset.unwrap();
            assert_eq!(report.missing.len(), missing, "{report}");
            let handled = ruleset.handled;
            assert_eq!(handled.files & REFER != 0, version >= 2);
            assert_eq!(handled.ports, if version >= 4 { BIND_TCP } else { 0 });
            assert_eq!(ruleset.ports.len(), if version >= 4 { 2 } else { 0 });
            assert_eq!(handled.scoped, if version >= 6 { SCOPES } else { 0 });
            // The kernel refuses a rule with rights that are not handled.
            assert!(ruleset.files.iter().all(|(_, rights)| rights & !handled.files == 0));
            if version >= 6 {
                assert_eq!(handled.files, ALL_FILES);
            }
            if version == 4 {
                assert_eq!(report.to_string(), format!("landlock version 4: {ioctl}, {scopes}"));
            }
        }
    }

    #[test]
    fn without_landlock_that_is_said_or_refused() {
        let (ruleset, report) = build(&asked(), Some(&[]), 0).unwrap();
        assert_eq!(ruleset, None);
        assert_eq!(report.to_string(), "landlock version 0: nothing is enforced");
        let strict = Landlock { least_version: 6, ..asked() };
        assert_eq!(
            build(&strict, Some(&[]), 5).unwrap_err().to_string(),
            "landlock: the kernel has version 5, at least 6 is asked for"
        );
        assert!(build(&strict, Some(&[]), 6).is_ok());
    }

    #[test]
    fn without_a_view_of_its_own_only_sockets_and_signals_are_bounded() {
        let (ruleset, report) = build(&Landlock::default(), None, 6).unwrap();
        let ruleset = ruleset.unwrap();
        assert_eq!((ruleset.handled.files, ruleset.handled.scoped), (0, SCOPES));
        assert!(ruleset.files.is_empty() && report.missing.is_empty(), "{report}");
        let (ruleset, report) = build(&Landlock::default(), None, 5).unwrap();
        assert_eq!((ruleset, report.missing.len()), (None, 1), "{report}");
    }

    #[test]
    fn ports_that_are_not_bounded_are_not_missed() {
        let (_, report) = build(&Landlock::default(), Some(&[]), 3).unwrap();
        assert!(!report.missing.contains(&"TCP ports are not bounded"), "{report}");
    }
}
