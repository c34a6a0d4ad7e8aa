//! No profile allows what nobody needs: for each rule there is a use of the call that works under
//! the profile and fails when this one rule is taken out of it.
//!
//! What this cannot show is that a program which somebody wants to run makes the call; that is what
//! the rule's `reason` claims. It shows that each rule lets something through that nothing else
//! does (a rule that another one covers, that the kernel refuses anyway, or whose conditions never
//! hold is found), and that a call cannot be allowed without somebody writing down how it is used.

use crate::scene::{IDS, Scene, executable, run};
use sandbox::profile::Rule;
use sandbox::{CapabilitySet, Confinement, Identity, Mount, Process, Profile, capability, profile};
use std::{os::unix::fs::chown, path::Path, process::Command, sync::LazyLock};

const TOOL: &str = env!("CARGO_BIN_EXE_sandbox-exercise");
/// Besides the app's: what the rules of services are good for.
const SERVICE_RIGHTS: [&str; 4] = ["net_raw", "sys_time", "setgid", "sys_admin"];
/// What shares its call's name with what apps have.
const NOT_OF_APPS: [&str; 3] = ["socket packet", "socket netfilter", "socket uevent"];

fn exercises() -> &'static [String] {
    static LIST: LazyLock<Vec<String>> = LazyLock::new(|| {
        let output = Command::new(TOOL).arg("--list").output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().map(String::from).collect()
    });
    &LIST
}

/// What of `names` does not work, with the reason after a colon.
fn failures<'a>(
    confinement: &Confinement,
    tool: &str,
    directory: &Path,
    names: impl Iterator<Item = &'a String>,
) -> Vec<String> {
    let mut process = Process::new(tool);
    process.args = vec!["--each".into(), directory.into()];
    process.args.extend(names.map(Into::into));
    let (text, code) = run(confinement, process).unwrap();
    assert_eq!(code, 0, "{text}");
    text.lines().map(String::from).collect()
}

/// The call that an exercise is about.
fn call(exercise: &str) -> &str {
    exercise.split(' ').next().unwrap()
}

/// Only what a filter needs, so that hundreds of starts are quick; networks and queues are its own.
fn quick(scene: &Scene, profile: &'static Profile, capabilities: CapabilitySet) -> Confinement {
    let mut confinement = Confinement::service(profile);
    let id = IDS.outside + 1;
    confinement.identity = Identity { uid: id, gid: id };
    confinement.capabilities = capabilities;
    // A leader of a session could not begin one.
    confinement.new_session = false;
    confinement.namespaces.mount = profile.rules.iter().any(|rule| rule.name == "mount");
    if confinement.namespaces.mount {
        confinement.mounts.push(Mount::Writable(scene.dir.clone()));
    }
    confinement.namespaces.net = true;
    chown(&scene.dir, Some(id), Some(id)).unwrap();
    confinement
}

fn works(confinement: &Confinement, scene: &Scene, exercise: &str) -> bool {
    let mut process = Process::new(TOOL);
    process.args = ["--here".into(), scene.dir.clone().into(), exercise.into()].to_vec();
    run(confinement, process).is_ok_and(|(_, code)| code == 0)
}

/// Those of `rules` without which nothing fails.
fn unneeded<'a>(
    profile: &'static Profile,
    rules: impl Iterator<Item = &'a Rule>,
    capabilities: CapabilitySet,
) -> Vec<String> {
    let scene = Scene::new();
    let whole = quick(&scene, profile, capabilities);
    let broken = failures(&whole, TOOL, &scene.dir, exercises().iter());
    let broken =
        |exercise: &str| broken.iter().any(|line| line.split(':').next() == Some(exercise));
    let mut unneeded = Vec::new();
    for rule in rules {
        let without: Vec<Rule> = profile.rules.iter().filter(|r| *r != rule).copied().collect();
        let changed = Profile { rules: without.leak(), ..*profile };
        let less = quick(&scene, Box::leak(Box::new(changed)), capabilities);
        let needed = exercises()
            .iter()
            .filter(|exercise| call(exercise) == rule.name && !broken(exercise))
            .any(|exercise| !works(&less, &scene, exercise));
        if !needed {
            unneeded.push(format!("{} {:?}", rule.name, rule.conditions));
        }
    }
    unneeded
}

#[test]
fn each_rule_of_the_app_profile_is_needed() {
    let rules = profile::APP.rules.iter();
    let found = unneeded(&profile::APP, rules, CapabilitySet::empty());
    assert!(found.is_empty(), "nothing fails without these rules: {found:#?}");
}

#[test]
fn each_rule_of_the_service_profiles_is_needed() {
    let clock = &profile::SERVICE_CLOCK;
    assert!(profile::SERVICE.rules.iter().all(|rule| clock.rules.contains(rule)));
    for whole in [clock, &profile::SERVICE_APPS] {
        let rules = whole.rules.iter().filter(|rule| !profile::APP.rules.contains(rule));
        let found = unneeded(whole, rules, capability::by_names(SERVICE_RIGHTS).unwrap());
        assert!(found.is_empty(), "{}: nothing fails without these: {found:#?}", whole.name);
    }
}

#[test]
fn a_rule_that_nobody_needs_is_found() {
    let first = profile::APP.rules.iter().find(|rule| rule.name == "getpid").unwrap();
    let uname = profile::APP.rules.iter().find(|rule| rule.name == "uname").unwrap();
    let conditional: &[_] =
        profile::APP.rules.iter().find(|r| r.name == "clone").unwrap().conditions;
    let extra = [
        // Nobody uses it.
        Rule { name: "bpf", number: libc::SYS_bpf, conditions: &[] },
        // Another rule covers it.
        Rule { conditions: conditional, ..*first },
        // The kernel refuses it to an app whatever the filter says.
        Rule { name: "setgroups", number: libc::SYS_setgroups, conditions: &[] },
        *uname,
    ];
    let rules: Vec<Rule> = profile::APP.rules.iter().chain(&extra[..3]).copied().collect();
    let profile = Box::leak(Box::new(Profile { rules: rules.leak(), ..profile::APP }));
    let found = unneeded(profile, extra.iter(), CapabilitySet::empty());
    let names: Vec<&str> = found.iter().map(|text| call(text)).collect();
    assert_eq!(names, ["bpf", "getpid", "setgroups"], "{found:#?}");
}

#[test]
fn each_exercise_is_of_a_rule_and_works_in_an_apps_full_confinement() {
    let all = exercises();
    let of = |profile: &Profile, exercise: &str| {
        profile.rules.iter().any(|rule| rule.name == call(exercise))
    };
    let profiles = [&profile::APP, &profile::SERVICE_CLOCK, &profile::SERVICE_APPS];
    let astray: Vec<_> =
        all.iter().filter(|e| !profiles.iter().any(|profile| of(profile, e))).collect();
    assert!(astray.is_empty(), "no profile has these: {astray:?}");

    let scene = Scene::new();
    let mut confinement = scene.app_with_programs();
    confinement.mounts.push(executable(TOOL, "/bin/exercise"));
    confinement.mounts.push(Mount::Tmpfs {
        target: "/work".into(),
        size: 4 << 20,
        mode: 0o1777,
        owner: Identity { uid: 0, gid: 0 },
    });
    let own = || all.iter().filter(|e| of(&profile::APP, e) && !NOT_OF_APPS.contains(&e.as_str()));
    assert!(own().count() > 200, "too few exercises: {}", own().count());
    let failed = failures(&confinement, "/bin/exercise", Path::new("/work"), own());
    assert!(failed.is_empty(), "{failed:#?}");
}
