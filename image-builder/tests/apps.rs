//! Packing snaps.

mod support;

use image_builder::{app, keys};
use std::{fs, path::Path};
use support::{TIME, accepted, holdfast, text};

fn snap_folder(at: &Path, yaml: &str) {
    fs::create_dir_all(at.join("meta")).unwrap();
    fs::create_dir_all(at.join("bin")).unwrap();
    fs::write(at.join("meta/snap.yaml"), yaml).unwrap();
    fs::write(at.join("bin/hello"), "#!/bin/sh\n").unwrap();
}

#[test]
fn a_packed_snap_is_a_squashfs_of_root_with_a_trailer_that_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let set = keys::init(&dir.path().join("keys")).unwrap();
    let folder = dir.path().join("hello");
    snap_folder(&folder, "name: hello # a comment\nversion: '1.0'\napps:\n  name: x\n");
    let (snap, key) = (dir.path().join("hello.snap"), dir.path().join("keys/app.key"));
    let pack = ["app", "pack", text(&folder), "--key", text(&key), "-o", text(&snap)];
    let said = holdfast(&pack);
    assert!(said.ok && said.text.contains("hello 1.0"), "{}", said.text);
    let facts = accepted("unsquashfs", &["-s", text(&snap)]);
    assert!(facts.contains("Compression zstd"), "{facts}");
    let listing = accepted("unsquashfs", &["-lln", text(&snap)]);
    let lines: Vec<&str> = listing.lines().filter(|line| line.contains("squashfs-root")).collect();
    assert!(lines.len() >= 5 && lines.iter().all(|line| line.contains(" 0/0 ")), "{listing}");
    let claim = protocol::snap::verify(&fs::read(&snap).unwrap(), &set).unwrap().unwrap();
    assert_eq!(claim.name.as_deref(), Some("hello"));

    let mut bad = fs::read(&snap).unwrap();
    bad[200] ^= 1;
    assert!(protocol::snap::verify(&bad, &set).is_err());
}

#[test]
fn the_same_folder_gives_the_same_bytes_and_without_a_key_it_is_not_signed() {
    let dir = tempfile::tempdir().unwrap();
    let set = keys::init(&dir.path().join("keys")).unwrap();
    let folder = dir.path().join("hello");
    snap_folder(&folder, "name: hello\nversion: 2\n");
    let (first, second) = (dir.path().join("1.snap"), dir.path().join("2.snap"));
    app::pack(&folder, None, &first, TIME).unwrap();
    // Another time of the files, the same content.
    fs::write(folder.join("bin/hello"), "#!/bin/sh\n").unwrap();
    app::pack(&folder, None, &second, TIME).unwrap();
    let bytes = fs::read(&first).unwrap();
    assert!(bytes == fs::read(&second).unwrap());
    assert_eq!(protocol::snap::verify(&bytes, &set).unwrap(), None);
}

#[test]
fn what_is_not_a_snap_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (yaml, expected) in [
        ("version: 1\n", "no field \"name\""),
        ("name: hello\n", "no field \"version\""),
        ("name: ../hello\nversion: 1\n", "not a name"),
        ("name: -hello\nversion: 1\n", "not a name"),
        ("apps:\n  name: hello\nversion: 1\n", "no field \"name\""),
    ] {
        snap_folder(dir.path(), yaml);
        let error = app::pack(dir.path(), None, &dir.path().join("x.snap"), TIME).unwrap_err();
        assert!(error.to_string().contains(expected), "{yaml:?}: {error}");
    }
}

/// An image of containers with one program, as one tar file.
fn image(folder: &Path) {
    let run = |program: &str, words: &[&str]| {
        let output = std::process::Command::new(program).args(words).current_dir(folder).output();
        let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run("umoci", &["init", "--layout", "layout"]);
    run("umoci", &["new", "--image", "layout:2.1"]);
    run("umoci", &["unpack", "--image", "layout:2.1", "bundle"]);
    fs::create_dir(folder.join("bundle/rootfs/bin")).unwrap();
    fs::write(folder.join("bundle/rootfs/bin/meter"), "a program").unwrap();
    run("umoci", &["repack", "--image", "layout:2.1", "bundle"]);
    let config = ["config", "--image", "layout:2.1", "--architecture", "arm64"];
    run("umoci", &[config.as_slice(), &["--config.entrypoint", "/bin/meter"]].concat());
    run("tar", &["-C", "layout", "-cf", "image.tar", "."]);
}

#[test]
fn an_image_of_containers_becomes_a_signed_snap() {
    let dir = tempfile::tempdir().unwrap();
    let set = keys::init(&dir.path().join("keys")).unwrap();
    image(dir.path());
    let [tar, snap, key] = ["image.tar", "meter.snap", "keys/app.key"].map(|n| dir.path().join(n));
    let import = ["app", "import", text(&tar), "--key", text(&key), "-o", text(&snap)];
    let said = holdfast(&import);
    assert!(!said.ok && said.text.contains("give --name"), "{}", said.text);
    assert!(!snap.exists());
    let named = [import.as_slice(), &["--name", "meter"]].concat();
    let said = holdfast(&named);
    assert!(said.ok && said.text.contains("signed by"), "{}", said.text);
    let claim = protocol::snap::verify(&fs::read(&snap).unwrap(), &set).unwrap().unwrap();
    assert_eq!(claim.name.as_deref(), Some("meter"));
    let inside = accepted("unsquashfs", &["-cat", text(&snap), "bin/meter", "meta/snap.yaml"]);
    assert!(inside.contains("a program") && inside.contains("architectures: [arm64]"), "{inside}");

    let other = [named.as_slice(), &["--architecture", "amd64"]].concat();
    let said = holdfast(&other);
    assert!(!said.ok && said.text.contains("linux/amd64"), "{}", said.text);
}
