//! What a snap may be called. The rules are snapd's, of its file `snap/naming/validate.go`; whoever
//! makes a snap and whoever installs it asks here.

use std::ops::RangeInclusive;

/// Length of a name in bytes.
pub const NAME: RangeInclusive<usize> = 2..=40;
/// Longest version in bytes.
pub const MAX_VERSION: usize = 32;
/// Longest description in characters.
pub const MAX_DESCRIPTION: usize = 4096;
/// Longest summary in characters.
pub const MAX_SUMMARY: usize = 128;

/// Whether a snap may have this name; the error is the rule.
pub fn check_name(name: &str) -> Result<(), String> {
    let letter = name.bytes().any(|b| b.is_ascii_lowercase());
    let plain = hyphened(name, |b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if plain && letter && NAME.contains(&name.len()) {
        return Ok(());
    }
    let (least, most) = (NAME.start(), NAME.end());
    let rule = format!("lower-case letters, digits and single hyphens, {least} to {most}");
    Err(format!("{name:?} is not a name ({rule})"))
}

/// Whether a snap may have this version; the error is the rule.
pub fn check_version(version: &str) -> Result<(), String> {
    let plain = version.bytes().all(|b| b.is_ascii_alphanumeric() || b":.+~-".contains(&b));
    let first = version.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    let last =
        version.bytes().last().is_some_and(|b| b.is_ascii_alphanumeric() || b"+~".contains(&b));
    if plain && first && last && version.len() <= MAX_VERSION {
        return Ok(());
    }
    let rule = format!("letters, digits and :.+~- inside, at most {MAX_VERSION}");
    Err(format!("{version:?} is not a version ({rule})"))
}

/// Groups of characters with single hyphens between.
pub fn hyphened(text: &str, part: impl Fn(u8) -> bool) -> bool {
    text.split('-').all(|group| !group.is_empty() && group.bytes().all(&part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_versions_are_as_snapd_has_them() {
        for name in ["ab", "a1", "1a", "a-b-c", &"a".repeat(40)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", "a", "12", "A", "a_b", "-a", "a-", "a--b", "a/b", &"a".repeat(41)] {
            assert!(check_name(name).is_err(), "{name}");
        }
        for version in ["1", "1.2.3", "1:2-3", "1+", "2~", "v1", &"1".repeat(32)] {
            assert_eq!(check_version(version), Ok(()), "{version}");
        }
        for version in ["", ".1", "1.", "1_2", "1 2", "-1", "1-", &"1".repeat(33)] {
            assert!(check_version(version).is_err(), "{version}");
        }
    }
}
