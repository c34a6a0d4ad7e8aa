//! Paths of a snap's own: in the snap, in its data, in what its revisions share.

use super::invalid;
use crate::error::Result;
use std::fmt;

/// Characters that snapd keeps out of such paths, because AppArmor gives them a meaning.
const PATTERNS: &str = "?*[]{}^\"\0";

/// Which of a snap's directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Base {
    /// `$SNAP`, read-only.
    Snap,
    /// `$SNAP_DATA`, of one revision.
    Data,
    /// `$SNAP_COMMON`, of all revisions.
    Common,
}

impl Base {
    const ALL: [Base; 3] = [Base::Snap, Base::Data, Base::Common];

    /// The variable.
    pub fn variable(self) -> &'static str {
        match self {
            Base::Snap => "$SNAP",
            Base::Data => "$SNAP_DATA",
            Base::Common => "$SNAP_COMMON",
        }
    }
}

/// A path below one of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnPath {
    /// Where it begins.
    pub base: Base,
    /// The rest, plain and relative; may be empty.
    pub rest: String,
}

impl OwnPath {
    /// Reads `$SNAP_DATA/etc`; what it is not is told of `field`.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        let found = Base::ALL.iter().find_map(|base| {
            let rest = text.strip_prefix(base.variable())?;
            match rest.strip_prefix('/') {
                Some(rest) => Some((*base, rest)),
                None => rest.is_empty().then_some((*base, rest)),
            }
        });
        let (base, rest) = found.ok_or_else(|| {
            invalid(
                field,
                format!("{text:?} does not begin with $SNAP, $SNAP_DATA or $SNAP_COMMON"),
            )
        })?;
        if !rest.is_empty() {
            check_plain(field, text, rest)?;
        } else if text.ends_with('/') {
            return Err(invalid(field, format!("{text:?} is not a plain path")));
        }
        Ok(Self { base, rest: rest.into() })
    }
}

impl fmt::Display for OwnPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.rest.is_empty() { "" } else { "/" };
        write!(f, "{}{separator}{}", self.base.variable(), self.rest)
    }
}

/// Whether `relative`, a part of `text`, has only parts that are names.
pub(crate) fn check_plain(field: &str, text: &str, relative: &str) -> Result<()> {
    let plain = relative.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    let variable = relative.contains('$');
    if !plain || variable || text.contains(|c| PATTERNS.contains(c)) {
        return Err(invalid(field, format!("{text:?} is not a plain path")));
    }
    Ok(())
}
