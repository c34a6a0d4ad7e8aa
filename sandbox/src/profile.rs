//! Lists of allowed system calls. They are data: `profiles/*.toml`, a reason per rule, turned into
//! tables by `build.rs`,
//! so that a misspelt system call does not compile.

/// What a filter allows. Everything else fails with `EPERM`.
#[derive(Debug)]
pub struct Profile {
    /// Name, as manifests give it.
    pub name: &'static str,
    /// Allowed calls; several rules for one call are alternatives.
    pub rules: &'static [Rule],
    /// Calls that fail with `ENOSYS`, so that C libraries fall back to an older call that can be
    /// inspected.
    pub absent: &'static [i64],
}

/// One call, allowed when all conditions hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Name of the call.
    pub name: &'static str,
    /// Number of the call on the target architecture.
    pub number: i64,
    /// All must hold.
    pub conditions: &'static [Condition],
}

/// `argument & mask == value`, or `!=` with `negate` (then of 32 bits only).
#[derive(Debug, PartialEq, Eq)]
pub struct Condition {
    /// Index of the argument, 0 to 5.
    pub argument: u8,
    /// Bits looked at.
    pub mask: u64,
    /// What they must be.
    pub value: u64,
    /// What they must not be, instead.
    pub negate: bool,
}

include!(concat!(env!("OUT_DIR"), "/profiles.rs"));

/// A profile by its name.
pub fn by_name(name: &str) -> Option<&'static Profile> {
    ALL.iter().copied().find(|profile| profile.name == name)
}
