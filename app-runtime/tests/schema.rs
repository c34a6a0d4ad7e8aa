//! The table of docs/reference/snap-yaml.md, held to the code: each row has a sample here, and what
//! becomes of the sample is what the row says.

use app_runtime::meta::{self, support};
use std::{collections::BTreeMap, fs, path::Path};

/// A sample per row: the row's field, and what a snap.yaml has more.
const SNAPS: [(&str, &str); 36] = [
    ("name", ""),
    ("version", ""),
    ("title", "title: t"),
    ("summary", "summary: t"),
    ("description", "description: t"),
    ("license", "license: MIT"),
    ("links", "links: {contact: [a]}"),
    ("website", "website: w"),
    ("contact", "contact: w"),
    ("donation", "donation: w"),
    ("issues", "issues: w"),
    ("source-code", "source-code: w"),
    ("icon", "icon: i"),
    ("provenance", "provenance: p"),
    ("type: app", "type: app"),
    ("type: base", "type: base"),
    ("type: gadget", "type: gadget"),
    ("architectures", "architectures: [all]"),
    ("base: bare", "base: bare"),
    ("base: core22", "base: core22"),
    ("confinement: strict", "confinement: strict"),
    ("confinement: classic", "confinement: classic"),
    ("grade", "grade: devel"),
    ("epoch", "epoch: 1*"),
    ("assumes: [command-chain]", "assumes: [command-chain]"),
    ("assumes: [snapd2.55]", "assumes: [snapd2.55]"),
    ("assumes: [kernel-assets]", "assumes: [kernel-assets]"),
    ("environment", "environment: {A: b}"),
    ("plugs", "plugs: {network: null}"),
    ("plugs: content", "plugs: {c: {interface: content, target: $SNAP/c}}"),
    ("slots: content", "slots: {c: {interface: content, read: [$SNAP/c]}}"),
    ("slots: dbus", "slots: {c: dbus}"),
    ("layout", "layout: {/etc/a: {bind: $SNAP/a}}"),
    ("quota", "quota: {memory: 64M, cpu-set: [0, 1], threads: 9}"),
    ("components", "components: {}"),
    ("system-usernames", "system-usernames: {a: shared}"),
];

const HOOKS: [(&str, &str); 2] = [
    ("hooks", "hooks: {install: null}"),
    ("hooks: prepare-device", "hooks: {prepare-device: null}"),
];

/// The same for fields of a service.
const SERVICES: [(&str, &str); 33] = [
    ("command", ""),
    ("command-chain", "command-chain: [a]"),
    ("aliases", "aliases: [a]"),
    ("daemon-scope: system", "daemon-scope: system"),
    ("daemon-scope: user", "daemon-scope: user"),
    ("stop-command", "stop-command: a"),
    ("reload-command", "reload-command: a"),
    ("post-stop-command", "post-stop-command: a"),
    ("start-timeout", "start-timeout: 1s"),
    ("stop-timeout", "stop-timeout: 1s"),
    ("watchdog-timeout", "watchdog-timeout: 1s"),
    ("restart-condition", "restart-condition: on-watchdog"),
    ("restart-delay", "restart-delay: 1s"),
    ("success-exit-status", "success-exit-status: [1]"),
    ("stop-mode", "stop-mode: sigterm"),
    ("refresh-mode: restart", "refresh-mode: restart"),
    ("refresh-mode: endure", "refresh-mode: endure"),
    ("install-mode: enable", "install-mode: enable"),
    ("install-mode: disable", "install-mode: disable"),
    ("environment", "environment: {A: b}"),
    ("plugs", "plugs: [network]"),
    ("sockets", "plugs: [network-bind], sockets: {s: {listen-stream: 80}}"),
    (
        "sockets: $XDG_RUNTIME_DIR",
        "plugs: [network-bind], sockets: {s: {listen-stream: $XDG_RUNTIME_DIR/s}}",
    ),
    ("after", "after: [b]"),
    ("before", "before: [b]"),
    ("timer", "timer: '10:00'"),
    ("common-id", "common-id: a"),
    ("completer", "completer: a"),
    ("desktop", "desktop: a"),
    ("autostart", "autostart: a"),
    ("bus-name", "bus-name: a"),
    ("activates-on", "activates-on: [a]"),
    ("slots", "slots: [c]"),
];

fn becomes(yaml: &str) -> &'static str {
    match meta::parse(yaml) {
        Err(_) => "refused",
        Ok(snap) if !support::told(&snap).is_empty() => "told",
        Ok(_) => "honoured",
    }
}

/// Field to what becomes of its sample.
fn samples() -> BTreeMap<String, &'static str> {
    let begin = "name: sample\nversion: '1'\n";
    let snaps = SNAPS.iter().chain(&HOOKS);
    let snaps =
        snaps.map(|(field, more)| (field.to_string(), becomes(&format!("{begin}{more}\n"))));
    let service = |kind: &str, more: &str| {
        let slots = if more.starts_with("slots") {
            "slots: {c: {interface: content, read: [$SNAP/c]}}\n"
        } else {
            ""
        };
        becomes(&format!(
            "{begin}{slots}apps: {{a: {{command: a, daemon: {kind}, {more}}}, \
             b: {{command: b, daemon: simple}}}}\n"
        ))
    };
    let services =
        SERVICES.iter().map(|(field, more)| (format!("apps.*.{field}"), service("simple", more)));
    let daemons = ["simple", "oneshot", "forking", "notify", "dbus"]
        .map(|kind| (format!("apps.*.daemon: {kind}"), service(kind, "")));
    snaps.chain(services).chain(daemons).collect()
}

/// Field to its second column.
fn rows() -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/snap-yaml.md");
    let text = fs::read_to_string(path).unwrap();
    let row = |line: &str| {
        let (field, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        Some((field.to_string(), rest.split(" |").next()?.to_string()))
    };
    text.lines().filter_map(row).collect()
}

#[test]
fn each_row_of_the_table_says_what_becomes_of_its_field() {
    let (samples, rows) = (samples(), rows());
    let fields = |keys: Vec<&String>| keys.into_iter().cloned().collect::<Vec<_>>();
    assert_eq!(fields(samples.keys().collect()), fields(rows.keys().collect()));
    for (field, says) in &rows {
        // Fields for people are honoured as far as they can be.
        let says = if says == "for people" { "honoured" } else { says };
        assert_eq!(samples[field], says, "{field}");
    }
}

/// The fields that snapd reads, of its `snap/info_snap_yaml.go`.
#[test]
fn no_field_of_snapd_s_schema_is_missing_in_the_table() {
    let rows = rows();
    let snap = "name version type architectures assumes title description summary \
        provenance license epoch base confinement grade environment plugs \
        slots hooks layout system-usernames links components";
    let app = "aliases command command-chain daemon daemon-scope stop-command \
        reload-command post-stop-command stop-timeout start-timeout \
        watchdog-timeout completer refresh-mode stop-mode install-mode \
        restart-condition restart-delay success-exit-status slots plugs \
        bus-name activates-on common-id environment sockets after before timer \
        autostart";
    let apps = app.split_whitespace().map(|field| format!("apps.*.{field}"));
    for field in snap.split_whitespace().map(String::from).chain(apps) {
        let listed = rows.keys().any(|row| row.split(": ").next() == Some(&field));
        assert!(listed, "{field}");
    }
}
