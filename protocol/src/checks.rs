//! Health checks that a release declares: what must hold on its trial boot besides what every
//! release is asked for. Written `kind:what`, in `release.json` and on the builder's command line.
//!
//! | written | holds when |
//! |---|---|
//! | `service:NAME` | the system service runs and is ready, or has done its work |
//! | `app:SNAP`, `app:SNAP.APP` | every service of the snap, or the one, is active or has done its work |
//! | `fleet:SECONDS` | the fleet server was reached within so many seconds of the kernel's start |
//!
//! They live in the root file system, not in the manifest: the init that applies them is of the
//! same release and knows every kind; the updater that receives the manifest is of an older one,
//! and must not have to understand them.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Most checks of a release.
pub const MAX_CHECKS: usize = 16;
/// Longest name of a service, snap or app in bytes.
pub const MAX_CHECK_NAME: usize = 64;
/// Longest time in which the fleet must be reached, in seconds: that of the gate.
pub const MAX_FLEET_S: u32 = crate::release::MAX_HEALTH_TIMEOUT_S;

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Check {
    /// A system service, by its manifest's name.
    Service(String),
    /// A snap, or one of its services as `snap.app`.
    App(String),
    /// Seconds after the kernel's start by which the fleet server was reached.
    Fleet(u32),
}

impl FromStr for Check {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("health check {text:?}: {why}");
        let (kind, what) = text.split_once(':').ok_or_else(|| wrong("is not KIND:WHAT"))?;
        let name = |dots: usize| {
            let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
            let parts =
                what.split('.').count() <= dots + 1 && what.split('.').all(|p| !p.is_empty());
            let fits = (1..=MAX_CHECK_NAME).contains(&what.len());
            let good = parts && fits && what.bytes().all(known);
            good.then(|| what.to_string()).ok_or_else(|| wrong("is not followed by a name"))
        };
        match kind {
            "service" => name(0).map(Self::Service),
            "app" => name(1).map(Self::App),
            "fleet" => match what.parse() {
                Ok(seconds @ 1..=MAX_FLEET_S) => Ok(Self::Fleet(seconds)),
                _ => Err(wrong(&format!("seconds from 1 to {MAX_FLEET_S}"))),
            },
            kind => Err(wrong(&format!("kind {kind:?} is unknown; there are service, app, fleet"))),
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(name) => write!(f, "service:{name}"),
            Self::App(name) => write!(f, "app:{name}"),
            Self::Fleet(seconds) => write!(f, "fleet:{seconds}"),
        }
    }
}

impl TryFrom<String> for Check {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Check> for String {
    fn from(check: Check) -> Self {
        check.to_string()
    }
}

/// Whether the checks are few enough and none stands there twice.
pub fn validate(checks: &[Check]) -> Result<(), String> {
    if checks.len() > MAX_CHECKS {
        return Err(format!("{} health checks; {MAX_CHECKS} at most", checks.len()));
    }
    match checks.iter().enumerate().find(|(at, check)| checks[..*at].contains(check)) {
        Some((_, twice)) => Err(format!("health check {:?} stands twice", twice.to_string())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_read_as_they_are_written() {
        let longest = format!("service:{}", "n".repeat(MAX_CHECK_NAME));
        for text in ["service:timed", "app:hello", "app:hello.web-1", "fleet:3600", &longest] {
            let check: Check = text.parse().unwrap();
            assert_eq!(check.to_string(), text);
            let json = serde_json::to_string(&check).unwrap();
            assert_eq!(serde_json::from_str::<Check>(&json).unwrap(), check);
        }
    }

    #[test]
    fn what_is_no_check_is_refused_by_name() {
        let long = format!("app:{}", "n".repeat(MAX_CHECK_NAME + 1));
        for (text, why) in [
            ("disk:90", "kind \"disk\" is unknown"),
            ("timed", "not KIND:WHAT"),
            ("service:", "name"),
            ("service:a.b", "name"),
            ("service:a/b", "name"),
            ("app:a.b.c", "name"),
            ("app:.a", "name"),
            (&long, "name"),
            ("fleet:0", "seconds from 1"),
            ("fleet:3601", "seconds from 1"),
            ("fleet:soon", "seconds from 1"),
        ] {
            let error = text.parse::<Check>().unwrap_err();
            assert!(error.contains(why) && error.contains(text), "{text}: {error}");
        }
    }

    #[test]
    fn many_checks_and_one_that_stands_twice_are_refused() {
        let fleet = |seconds| Check::Fleet(seconds);
        let many: Vec<Check> = (1..=MAX_CHECKS as u32 + 1).map(fleet).collect();
        assert_eq!(validate(&many[1..]), Ok(()));
        assert!(validate(&many).unwrap_err().contains("16 at most"));
        let error = validate(&[fleet(1), fleet(2), fleet(1)]).unwrap_err();
        assert!(error.contains("\"fleet:1\" stands twice"), "{error}");
    }
}
