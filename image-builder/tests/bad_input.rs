//! Wrong input gives an error that names what is wrong, before anything is built or written.

mod support;

use std::fs;
use support::{holdfast, text};

#[test]
fn each_mistake_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| text(&dir.path().join(name)).to_string();
    let (keys, out, device) = (path("keys"), path("out"), path("device.toml"));
    let (missing, empty) = (path("missing"), path("empty"));
    assert!(holdfast(&["keys", "init", "--dir", &keys]).ok);
    fs::create_dir(&empty).unwrap();
    fs::write(&device, "naem = \"gateway\"\n").unwrap();
    let build = ["image", "build", "--out", &out, "--board"];
    let rpi3 = [&build[..], &["rpi3", "--keys", &keys]].concat();
    let with = |more: &[&str]| [&rpi3[..], more].concat().iter().map(|s| s.to_string()).collect();
    let plain = |all: &[&str]| all.iter().map(|s| s.to_string()).collect();
    let table: Vec<(Vec<String>, &str)> = vec![
        (plain(&[&build[..], &["rpi9", "--keys", &keys]].concat()), "unknown board \"rpi9\""),
        (plain(&[&build[..], &["../rpi3", "--keys", &keys]].concat()), "unknown board"),
        (plain(&[&build[..], &["rpi3", "--keys", &missing]].concat()), "release.key"),
        (plain(&[&build[..], &["rpi3", "--keys", &empty]].concat()), "keys init"),
        (with(&["--device-toml", &device]), "unknown field `naem`"),
        (with(&["--device-toml", &missing]), "missing"),
        (with(&["--overlay", &missing]), "is not a folder"),
        (with(&["--version", "../1"]), "version"),
        (with(&["--sequence", "0"]), "sequence 0"),
        (with(&["--sequence", "2", "--floor", "3"]), "floor 3"),
        (with(&["--check", "disk:90"]), "kind \"disk\" is unknown"),
        (with(&["--check", "app:a", "--check", "app:a"]), "stands twice"),
        (with(&["--check", "fleet:60", "--fleet-optional"]), "healthy without the fleet"),
        (plain(&["keys", "init", "--dir", &keys]), "never overwritten"),
        (plain(&["keys", "show", "--dir", &missing]), "no key set"),
        (plain(&["app", "pack", &empty, "-o", &out]), "meta/snap.yaml"),
        (plain(&["release", "inspect", &device]), "device.toml"),
        (plain(&["release", "inspect", &missing]), "missing"),
        (plain(&["flash", &device, &missing]), "missing"),
        (plain(&["flash", &device, &device]), "is not a block device"),
        (plain(&["flash", "--file", &missing, &out]), "no block map"),
        (plain(&["provision", &device, "--device-toml", &device]), "unknown field `naem`"),
    ];
    for (arguments, expected) in table {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let said = holdfast(&arguments);
        assert!(!said.ok, "{arguments:?} succeeded");
        assert!(said.text.contains(expected), "{arguments:?}: no {expected:?} in\n{}", said.text);
        assert!(!dir.path().join("out").exists(), "{arguments:?} wrote something");
    }
}

#[test]
fn a_command_line_that_the_boot_script_would_misread_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for bad in ["a\"b", "a;reset", "a$b", "a\\b", "a\nb", "a'b"] {
        let spec = image_builder::ImageSpec {
            cmdline_extra: bad.into(),
            ..support::spec("rpi3", &dir.path().join(protocol::keys::to_hex(bad.as_bytes())))
        };
        let error = image_builder::build(&spec, dir.path()).unwrap_err().to_string();
        assert!(error.contains("kernel command line"), "{bad:?}: {error}");
    }
}
