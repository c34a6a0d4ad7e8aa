//! What `parse` takes and refuses; the table of all fields is tested in `tests/schema.rs`.

use super::{App, Daemon, Ended, RestartCondition, parse};
use std::time::Duration;

const GOOD: &str = "name: hello\nversion: '1.0'\n";

/// A service `a` with these fields.
fn service(fields: &str) -> String {
    format!("apps: {{a: {{command: bin/a, daemon: simple, {fields}}}}}\n")
}

/// Each is refused with a message that has the expected part in it.
fn all_are_refused(rows: impl IntoIterator<Item = (String, &'static str)>) {
    for (more, expected) in rows {
        let message = parse(&format!("{GOOD}{more}")).expect_err(&more).to_string();
        assert!(message.contains(expected), "{more}: {message}");
    }
}

#[test]
fn what_is_wrong_or_not_supported_is_refused_by_name() {
    all_are_refused([
        ("colour: red\n".into(), "unknown field `colour`"),
        ("layouts: {}\n".into(), "unknown field `layouts`"),
        (service("colour: red"), "apps.a: unknown field `colour`"),
        (service("daemon-scope: user"), "apps.a.daemon-scope: not supported here: nobody logs in"),
        ("apps: {a: {command: a, daemon: dbus}}\n".into(), "\"dbus\" is not supported here"),
        ("apps: {a: {command: a, daemon: fast}}\n".into(), "\"fast\" is not a kind of daemon"),
        (service("bus-name: a.b"), "apps.a.bus-name: not supported here: there is no D-Bus"),
        (service("activates-on: [a]"), "apps.a.activates-on: not supported here"),
        (service("refresh-mode: endure"), "apps.a.refresh-mode: not supported here"),
        (service("refresh-mode: ignore-running"), "apps.a.refresh-mode: not supported here"),
        (
            "confinement: classic\n".into(),
            "confinement: \"classic\" is not supported here (only strict)",
        ),
        ("confinement: devmode\n".into(), "confinement: \"devmode\" is not supported here"),
        ("type: gadget\n".into(), "type: \"gadget\" is not supported here"),
        ("type: toy\n".into(), "type: \"toy\" is not supported here (only app, base)"),
        ("type: base\nbase: core22\n".into(), "base: a base has none"),
        ("base: ../x\n".into(), "base: \"../x\" is not a name"),
        ("base: none\napps: {a: {command: a}}\n".into(), "base: \"none\" is for snaps without"),
        ("components: {}\n".into(), "components: not supported here"),
        ("system-usernames: {snap_daemon: shared}\n".into(), "system-usernames: not supported"),
        ("assumes: [kernel-assets]\n".into(), "assumes: not supported here: \"kernel-assets\""),
        ("architectures: [s390x]\n".into(), "hello: made for s390x"),
        ("plugs: {Net: null}\n".into(), "plugs.Net: \"Net\" is not a name"),
        ("plugs: {a: {$x: 1}}\n".into(), "\"$x\" is a reserved attribute"),
        ("slots: {a: dbus}\n".into(), "slots.a: apps offer nothing but content here"),
        (
            "plugs: {x: network}\nslots: {x: {interface: content, read: [a]}}\n".into(),
            "slots.x: a plug has",
        ),
        ("slots: {x: {interface: content}}\n".into(), "slots.x: it neither reads nor writes"),
        ("plugs: {x: {interface: content}}\n".into(), "plugs.x.target: where the content"),
        ("plugs: {x: {interface: content, target: /etc}}\n".into(), "plugs.x.target: \"/etc\""),
    ]);
}

#[test]
fn what_is_wrong_in_apps_and_hooks_is_refused_by_name() {
    all_are_refused([
        (service("slots: [x]"), "apps.a.slots: \"x\" is not one of the snap's slots"),
        (
            "apps: {a: {command: ../../bin/sh}}\n".into(),
            "apps.a.command: \"../../bin/sh\" is not a program",
        ),
        ("apps: {a: {command: /bin/sh}}\n".into(), "apps.a.command: \"/bin/sh\" is not a program"),
        ("apps: {a: {command: 'a;b'}}\n".into(), "apps.a.command: \"a;b\" is not a program"),
        (service("command-chain: ['a b']"), "apps.a.command-chain: \"a b\" is not a program"),
        (service("stop-command: /x"), "apps.a.stop-command: \"/x\" is not a program"),
        ("apps: {a-: {command: bin/a}}\n".into(), "apps.a-: \"a-\" is not a name"),
        ("apps: {a: {command: a, restart-delay: soon}}\n".into(), "\"soon\" is not a duration"),
        ("apps: {a: {command: a, timer: '10:00'}}\n".into(), "apps.a.timer: only for services"),
        ("apps: {a: {command: a, stop-mode: sigterm}}\n".into(), "apps.a.stop-mode: only for"),
        (service("stop-mode: sigkill"), "\"sigkill\" is not sigterm"),
        (service("timer: noon"), "timer: \"noon\": \"noon\" is not a day or a time"),
        (service("success-exit-status: [0]"), "\"0\" is not a number from 1 to 255"),
        (service("success-exit-status: [256]"), "\"256\" is not a number from 1 to 255"),
        (service("start-timeout: -3s"), "\"-3s\" is negative"),
        (service("sockets: {s: {listen-stream: 80}}"), "apps.a.sockets: they need the plug"),
        (service("after: [b]"), "apps.a.after: \"b\" is not a service of this snap"),
        (service("after: [a]"), "after, before: each of a waits"),
        ("environment: {'A=B': x}\n".into(), "environment.A=B: not a variable"),
        ("environment: {A: x, A: y}\n".into(), "A is there twice"),
        ("hooks: {prepare-device: {}}\n".into(), "hooks.prepare-device: it would never run"),
        ("hooks: {frob: {}}\n".into(), "hooks.frob: it would never run"),
        (
            "hooks: {default-configure: {}}\n".into(),
            "hooks.default-configure: there is no hook configure",
        ),
        ("hooks: {install: {command: x}}\n".into(), "hooks.install: unknown field `command`"),
        (format!("title: {}\n", "x".repeat(41)), "title: more than 40 characters"),
        ("epoch: 0*\n".into(), "\"0*\" is not an epoch"),
    ]);
}

#[test]
fn the_whole_schema_is_understood() {
    let text = "name: all\nversion: 1.10\ntitle: t\nsummary: s\ndescription: d\ntype: app\n\
        base: bare\narchitectures: [all]\nconfinement: strict\ngrade: devel\nepoch: 1*\n\
        assumes: [command-chain, snapd2.55]\nlicense: MIT\nlinks: {contact: [a]}\nwebsite: w\n\
        contact: c\ndonation: d\nissues: i\nsource-code: s\nprovenance: p\nicon: i\n\
        environment: {B: 1, A: $B}\nplugs: {network: , web: network-bind}\n\
        slots: {db: {interface: content, content: x, source: {read: [$SNAP/a]}}}\n\
        layout: {/etc/a: {bind: $SNAP/a}, /opt/b: {type: tmpfs, mode: 1777, user: root}}\n\
        hooks: {install: , configure: {plugs: [network], command-chain: [a/b]}}\n\
        apps: {c: {command: c, aliases: [x.y], completer: c, desktop: d, autostart: a,\n\
        common-id: i}, a: {command: a, daemon: notify, daemon-scope: system, command-chain: [x],\n\
        stop-command: a -s, reload-command: b, post-stop-command: c, start-timeout: 1s,\n\
        stop-timeout: 0s, watchdog-timeout: 1m, restart-condition: on-watchdog,\n\
        restart-delay: 1s, success-exit-status: [3, '4'], stop-mode: sighup-all,\n\
        refresh-mode: restart, install-mode: enable, environment: {X: y}, plugs: [web],\n\
        slots: [db], sockets: {s: {listen-stream: $SNAP_DATA/s, socket-mode: 0600}},\n\
        timer: 'mon,10:00'},\n\
        b: {command: b, daemon: forking, after: [a], restart-condition: no}}\n";
    let snap = parse(text).unwrap();
    assert_eq!(snap.version, "1.10");
    assert_eq!((snap.epoch.read.as_slice(), snap.epoch.write.as_slice()), (&[0, 1][..], &[1][..]));
    let names: Vec<&str> = snap.environment.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["B", "A"], "in the order of the file");
    let a = &snap.apps["a"];
    assert_eq!(a.success_exit_status, [3, 4]);
    assert_eq!(a.stops_within(), Duration::from_secs(30), "none is as if it were not there");
    assert_eq!(snap.apps["b"].starts_within(), Some(Duration::from_secs(90)));
    assert_eq!(snap.layout["/opt/b"].mode(), 0o1777);
    assert_eq!(a.sockets["s"].socket_mode, 0o600);
}

#[test]
fn names_and_versions() {
    for name in ["ab", "hello", "a-b", "a1", "1a"] {
        assert!(parse(&format!("name: '{name}'\nversion: '1'\n")).is_ok(), "{name}");
    }
    for name in ["", "a", "-a", "a-", "a--b", "AB", "a_b", "../a", "12", "a/b", "a.b"] {
        assert!(parse(&format!("name: '{name}'\nversion: '1'\n")).is_err(), "{name}");
    }
    for version in ["1", "1.0+git~", "1:2"] {
        assert!(parse(&format!("name: ab\nversion: '{version}'\n")).is_ok(), "{version}");
    }
    for version in ["", "-1", "1 2", "a/b", "1-", "1_2", "123456789012345678901234567890123"] {
        assert!(parse(&format!("name: ab\nversion: '{version}'\n")).is_err(), "{version}");
    }
    for app in ["A", "a", "a-B2"] {
        assert!(parse(&format!("{GOOD}apps: {{{app}: {{command: a}}}}\n")).is_ok(), "{app}");
    }
}

#[test]
fn a_bomb_is_refused_and_not_expanded() {
    let deep = format!("{GOOD}apps: {}", "[".repeat(10_000));
    assert!(parse(&deep).is_err());
    let deep = format!("{GOOD}plugs: {{content: {{a: {}}}}}", "[".repeat(10_000));
    assert!(parse(&deep).is_err());
    let mut laughs =
        String::from("name: ab\nversion: '1'\nplugs: {content: {\nx0: &x0 [a,a,a,a,a,a,a,a,a],\n");
    for i in 1..12 {
        let previous = format!("*x{},", i - 1).repeat(9);
        laughs.push_str(&format!("x{i}: &x{i} [{previous}],\n"));
    }
    laughs.push_str("}}\n");
    assert!(parse(&laughs).is_err());
    assert!(parse(&format!("{GOOD}description: {}", "x".repeat(70_000))).is_err());
}

#[test]
fn plugs_of_the_snap_belong_to_all_apps_unless_something_names_them() {
    let snap = parse(&format!(
        "{GOOD}plugs: {{network: null, web: network-bind, odd: {{interface: network-bind}}}}\n\
         hooks: {{install: {{plugs: [odd]}}}}\n\
         apps: {{a: {{command: a, plugs: [web]}}, b: {{command: b}}}}\n"
    ))
    .unwrap();
    assert_eq!(snap.interfaces_of(&snap.apps["a"]), ["network", "network-bind"]);
    assert_eq!(snap.interfaces_of(&snap.apps["b"]), ["network"]);
}

#[test]
fn services_start_in_order_and_cycles_are_named() {
    let app = |name: &str, more: &str| format!("{name}: {{command: a, daemon: simple, {more}}},");
    let order = |apps: &str| {
        let snap = parse(&format!("{GOOD}apps: {{{apps} tool: {{command: t}}}}\n"));
        snap.map(|snap| snap.services().map(|(name, ..)| name).collect::<Vec<_>>())
    };
    let free = app("b", "") + &app("a", "") + &app("c", "");
    assert_eq!(order(&free).unwrap(), ["hello.a", "hello.b", "hello.c"]);
    let chain = app("a", "after: [b]") + &app("b", "after: [c]") + &app("c", "before: [a]");
    assert_eq!(order(&chain).unwrap(), ["hello.c", "hello.b", "hello.a"]);
    let cycle =
        app("a", "after: [b]") + &app("b", "after: [c]") + &app("c", "after: [a]") + &app("d", "");
    let error = order(&cycle).unwrap_err().to_string();
    assert!(error.contains("each of a, b, c waits for another"), "{error}");
}

#[test]
fn restart_conditions() {
    use RestartCondition::*;
    // Success, failure, SIGTERM, SIGKILL, SIGSEGV, not ready in time, no sign of life.
    let ends = [0, 1, 143, 137, 139].map(Ended::Code).into_iter();
    let ends: Vec<Ended> = ends.chain([Ended::TimedOut, Ended::Watchdog]).collect();
    let rows = [
        (OnFailure, [false, true, false, true, true, true, true]),
        (OnSuccess, [true, false, true, false, false, false, false]),
        (OnAbnormal, [false, false, false, true, true, true, true]),
        (OnAbort, [false, false, false, true, true, false, false]),
        (OnWatchdog, [false, false, false, false, false, false, true]),
        (Always, [true; 7]),
        (Never, [false; 7]),
    ];
    for (condition, expected) in rows {
        let app = App {
            daemon: Some(Daemon::Simple),
            restart_condition: Some(condition),
            ..App::default()
        };
        let found: Vec<bool> = ends.iter().map(|ended| app.restarts_after(*ended)).collect();
        assert_eq!(found, expected, "{condition:?}");
        // A oneshot never is; a code that the snap names is a success.
        let once = App { daemon: Some(Daemon::Oneshot), ..app.clone() };
        assert!(!ends.iter().any(|ended| once.restarts_after(*ended)), "{condition:?}");
        let app = App { success_exit_status: vec![1], ..app };
        assert_eq!(app.restarts_after(Ended::Code(1)), expected[0], "{condition:?}");
    }
}
