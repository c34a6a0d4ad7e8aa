//! What goes wrong before the program runs is told with the step and its object.

use crate::scene::{Scene, run};
use sandbox::{CgroupPlace, Confinement, Error, Limits, Mount, Process, profile};

fn message(confinement: &Confinement, process: Process<'_>) -> String {
    run(confinement, process).expect_err("it cannot start").to_string()
}

/// What, the confinement, the process, and the message.
type Row<'a> = (&'a str, Confinement, Process<'a>, &'a str);

fn rows(good: &Confinement) -> Vec<Row<'_>> {
    let with = |change: &dyn Fn(&mut Confinement)| {
        let mut confinement = good.clone();
        change(&mut confinement);
        confinement
    };
    let sh = || Process::new("/bin/busybox");
    let bind = |source: &str, target: &str| {
        let (source, target) = (source.into(), target.into());
        Mount::Bind { source, target, writable: false, executable: false }
    };
    let nowhere = CgroupPlace { path: "/sys/fs/cgroup/no/such".into(), limits: Limits::default() };
    let elsewhere = Process { cwd: "/nowhere".into(), ..sh() };
    vec![
        (
            "no program",
            good.clone(),
            Process::new("/bin/nothing"),
            "execute /bin/nothing: No such file or directory (os error 2) (in the new process)",
        ),
        (
            "relative program",
            good.clone(),
            Process::new("busybox"),
            "program busybox: not an absolute path",
        ),
        (
            "no working directory",
            good.clone(),
            elsewhere,
            "enter /nowhere: No such file or directory (os error 2) (in the new process)",
        ),
        (
            "no bind source",
            with(&|c| c.mounts.push(bind("/no/such", "/mnt"))),
            sh(),
            "look at /no/such: No such file or directory (os error 2)",
        ),
        (
            "target climbs out",
            with(&|c| c.mounts.push(bind("/etc", "/../etc"))),
            sh(),
            "mount /../etc: not a plain absolute path",
        ),
        (
            "target through a file",
            with(&|c| c.mounts.push(bind("/etc", "/etc/own/x"))),
            sh(),
            "mount /etc/own/x: /etc/own is not a directory",
        ),
        (
            "target through a link",
            with(&|c| c.mounts.push(bind("/etc", "/bin/sh/x"))),
            sh(),
            "mount /bin/sh/x: /bin/sh is not a directory",
        ),
        (
            "reaper without pid namespace",
            with(&|c| c.namespaces.pid = false),
            sh(),
            "reaper: it needs a pid namespace",
        ),
        (
            "no parent group",
            with(&|c| c.cgroup = Some(nowhere.clone())),
            sh(),
            "make cgroup /sys/fs/cgroup/no/such: No such file or directory (os error 2)",
        ),
    ]
}

#[test]
fn each_failure_names_step_and_object() {
    let scene = Scene::new();
    for (what, confinement, process, expected) in rows(&scene.app()) {
        assert_eq!(message(&confinement, process), expected, "{what}");
    }
}

#[test]
fn a_missing_program_can_be_told_from_a_failed_confinement() {
    let scene = Scene::new();
    let error = run(&scene.app(), Process::new("/bin/nothing")).unwrap_err();
    assert!(error.is_exec(), "{error}");
    let error = run(&scene.app(), Process::new("nothing")).unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
}

#[test]
fn profiles_are_found_by_name_and_inherit() {
    for (name, least) in [("app", 200), ("service", 190), ("service-clock", 194)] {
        let profile = profile::by_name(name).unwrap_or_else(|| panic!("no profile {name}"));
        assert!(profile.rules.len() > least, "{name} has {} rules", profile.rules.len());
    }
    assert!(profile::by_name("none").is_none());
}
