//! Health checks that the release declares, judged by what is known at this moment. Pure.
//!
//! They are in addition to what every release is asked for, and hold for a trial alone: later the
//! owner may have removed the app that the release was tried with.

use protocol::checks::Check;
use protocol::control::{AppServiceStatus, ServiceStatus};

/// What is known at this moment.
#[derive(Debug, Default)]
pub struct Seen<'a> {
    /// System services.
    pub services: &'a [ServiceStatus],
    /// What appd said last of all apps' services; `None`: it has not answered.
    pub apps: Option<&'a [AppServiceStatus]>,
    /// Whether the device has a fleet that its owner wants to be reached.
    pub has_fleet: bool,
    /// When the fleet was first reached, milliseconds since the kernel's start.
    pub fleet_at: Option<u64>,
    /// Milliseconds since the kernel's start.
    pub now: u64,
}

/// What does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// The check, and what is the matter.
    pub text: String,
    /// It cannot hold any more on this boot.
    pub for_good: bool,
}

/// The checks that do not hold.
pub fn failing(checks: &[Check], seen: &Seen<'_>) -> Vec<Failing> {
    checks.iter().filter_map(|check| one(check, seen)).collect()
}

fn one(check: &Check, seen: &Seen<'_>) -> Option<Failing> {
    let fails = |why: String, for_good| {
        Some(Failing { text: format!("check {check} fails: {why}"), for_good })
    };
    match check {
        Check::Service(name) => match seen.services.iter().find(|s| s.name == *name) {
            None => fails("there is no such service".into(), false),
            Some(s) if matches!(s.state.as_str(), "ready" | "done") => None,
            Some(s) => fails(format!("it is {}", s.state), false),
        },
        Check::App(name) => app(name, seen.apps).and_then(|why| fails(why, false)),
        Check::Fleet(_) if !seen.has_fleet => None,
        Check::Fleet(seconds) => {
            let limit = u64::from(*seconds) * 1000;
            match seen.fleet_at {
                Some(at) if at <= limit => None,
                Some(at) => fails(format!("reached after {} s", at.div_ceil(1000)), true),
                None if seen.now > limit => fails(format!("not reached in {seconds} s"), true),
                None => fails("not reached yet".into(), false),
            }
        }
    }
}

/// What is the matter with a snap or one service of it.
fn app(name: &str, apps: Option<&[AppServiceStatus]>) -> Option<String> {
    let Some(apps) = apps else { return Some("appd has not said yet".into()) };
    let of_snap = |service: &&AppServiceStatus| {
        let rest = service.name.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let mut services = apps.iter().filter(of_snap).peekable();
    if services.peek().is_none() {
        return Some("no such service of a snap is installed".into());
    }
    let down = services.find(|service| !matches!(service.state.as_str(), "active" | "done"));
    down.map(|service| format!("{} is {}", service.name, service.state))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, state: &str) -> ServiceStatus {
        ServiceStatus {
            name: name.into(),
            state: state.into(),
            pid: None,
            restarts: 0,
            last_exit: None,
            memory_kib: None,
        }
    }

    fn app(name: &str, state: &str) -> AppServiceStatus {
        AppServiceStatus {
            name: name.into(),
            daemon: "simple".into(),
            state: state.into(),
            pid: None,
            restarts: 0,
            memory: None,
        }
    }

    #[test]
    fn the_table_of_services_and_apps() {
        let services = [service("timed", "ready"), service("once", "done"), service("x", "failed")];
        let apps =
            [app("hello.web", "active"), app("hello.init", "done"), app("hello2.a", "failed")];
        let no_app = "no such service of a snap is installed";
        for (check, expected) in [
            ("service:timed", None),
            ("service:once", None),
            ("service:x", Some("it is failed")),
            ("service:y", Some("there is no such service")),
            ("app:hello", None),
            ("app:hello.web", None),
            ("app:hello2", Some("hello2.a is failed")),
            ("app:hell", Some(no_app)),
            ("app:hello.we", Some(no_app)),
            ("app:other", Some(no_app)),
        ] {
            let seen = Seen { services: &services, apps: Some(&apps), ..Seen::default() };
            let text = expected.map(|why| format!("check {check} fails: {why}"));
            let wanted = text.map(|text| Failing { text, for_good: false });
            assert_eq!(failing(&[check.parse().unwrap()], &seen), Vec::from_iter(wanted));
        }
        let silent = failing(&["app:hello".parse().unwrap()], &Seen::default());
        assert_eq!(silent[0].text, "check app:hello fails: appd has not said yet");
    }

    #[test]
    fn the_table_of_the_fleet_s_time() {
        let reached = |has_fleet, fleet_at, now| {
            let seen = Seen { has_fleet, fleet_at, now, ..Seen::default() };
            failing(&[Check::Fleet(10)], &seen).pop().map(|f| (f.text, f.for_good))
        };
        let fails = |why: &str, for_good| Some((format!("check fleet:10 fails: {why}"), for_good));
        assert_eq!(reached(false, None, 99_000), None);
        assert_eq!(reached(true, Some(10_000), 99_000), None);
        assert_eq!(reached(true, Some(10_001), 11_000), fails("reached after 11 s", true));
        assert_eq!(reached(true, None, 10_000), fails("not reached yet", false));
        assert_eq!(reached(true, None, 10_001), fails("not reached in 10 s", true));
    }
}
