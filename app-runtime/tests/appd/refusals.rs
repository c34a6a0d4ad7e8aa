//! What is not installed, and why.

use crate::{
    bench::{Bench, app_key},
    snap::{STEADY, Snap, sign, write},
};
use protocol::keys::PrivateKey;
use std::path::{Path, PathBuf};

/// What, the file's bytes, the code, and a part of the message.
type Row = (&'static str, Vec<u8>, &'static str, &'static str);

/// The good snap with another snap.yaml, signed.
fn yaml(dir: &Path, change: &dyn Fn(&str) -> String) -> Vec<u8> {
    let good = Snap::new("good", "1", STEADY);
    sign(Snap { yaml: change(&good.yaml), ..good }.image(dir), &app_key(), None)
}

/// Files that are no snap, or not a trusted one.
fn files(dir: &Path) -> Vec<Row> {
    let image = Snap::new("good", "1", STEADY).image(dir);
    let signed = sign(image.clone(), &app_key(), None);
    let mut flipped = signed.clone();
    flipped[5000] ^= 1;
    vec![
        ("unsigned", image.clone(), "snap-unsigned", "no signature"),
        (
            "another's key",
            sign(image.clone(), &PrivateKey::from_seed(&[9; 32]), None),
            "snap-signature",
            "signed by no key of the role",
        ),
        ("one bit", flipped, "snap-signature", "sha256"),
        (
            "another's name",
            sign(image.clone(), &app_key(), Some("other")),
            "snap-signature",
            "signed for another name than good",
        ),
        ("cut", signed[..8192].to_vec(), "snap-corrupt", "truncated: 8192 of"),
        ("no squashfs", vec![b'x'; 8192], "snap-corrupt", "not a squashfs"),
        ("too short", vec![b'h'; 10], "snap-corrupt", "too few"),
    ]
}

/// Snaps that say what cannot be had.
fn fields(dir: &Path) -> Vec<Row> {
    let yaml = |change: &dyn Fn(&str) -> String| yaml(dir, change);
    vec![
        (
            "unknown field",
            yaml(&|y| format!("{y}    socket-mode: 1\n")),
            "snap-invalid",
            "apps.main: unknown field `socket-mode`",
        ),
        ("no yaml in it", yaml(&|_| "[".into()), "snap-invalid", "snap.yaml"),
        (
            "another machine",
            yaml(&|y| format!("{y}architectures: [s390x]\n")),
            "snap-architecture",
            "made for s390x",
        ),
        (
            "no program",
            yaml(&|y| y.replace("bin/main", "bin/none")),
            "snap-invalid",
            "apps.main.command: bin/none is not in the snap",
        ),
        (
            "no interface",
            yaml(&|y| format!("{y}    plugs: [camera]\n")),
            "interface-unknown",
            "no interface camera here",
        ),
        (
            "climbing name",
            yaml(&|y| y.replace("name: good", "name: ../good")),
            "snap-invalid",
            "\"../good\" is not a name",
        ),
    ]
}

/// Snaps that ask for more than there is, in themselves or here.
fn contents(dir: &Path) -> Vec<Row> {
    let yaml = |change: &dyn Fn(&str) -> String| yaml(dir, change);
    let good = Snap::new("good", "1", STEADY);
    let hook = good.image_with(dir, &[("meta/hooks/connect-plug-x", "#!/bin/sh")]);
    vec![
        (
            "a hook that would not be run",
            sign(hook, &app_key(), None),
            "snap-invalid",
            "hooks.connect-plug-x: it would never run: connections are made without asking",
        ),
        (
            "a base that is not installed",
            yaml(&|y| format!("{y}base: core22\n")),
            "base-missing",
            "built on core22, which is not installed",
        ),
        (
            "no stop-command",
            yaml(&|y| format!("{y}    stop-command: bin/none\n")),
            "snap-invalid",
            "apps.main.stop-command: bin/none is not in the snap",
        ),
        (
            "a layout of nothing",
            yaml(&|y| format!("{y}layout: {{/etc/x: {{bind: $SNAP/none}}}}\n")),
            "snap-invalid",
            "layout./etc/x: $SNAP/none is no directory of the snap",
        ),
        (
            "a layout in a link",
            yaml(&|y| format!("{y}layout: {{/bin/sh/x: {{type: tmpfs}}}}\n")),
            "snap-invalid",
            "layout./bin/sh/x: /bin/sh of the snap is no directory",
        ),
    ]
}

#[test]
fn each_refusal_has_its_code_and_leaves_nothing() {
    let bench = Bench::new();
    let dir = &bench.dir;
    for (what, bytes, code, text) in [files(dir), fields(dir), contents(dir)].concat() {
        let path = write(dir, &bytes);
        let (got, message) = bench.refused(&["install", path.to_str().unwrap()]);
        assert_eq!(got, code, "{what}: {message}");
        assert!(message.contains(text), "{what}: {message}");
        assert_eq!(bench.kept("files"), Vec::<String>::new(), "{what}");
    }
    assert_eq!(bench.ask(&["list"]).as_array().unwrap().len(), 0);
    assert_eq!(bench.refused(&["remove", "good"]).0, "not-installed");
}

#[test]
fn a_revoked_app_key_signs_nothing_more_and_the_new_one_does_at_once() {
    let mut bench = Bench::new();
    let new = PrivateKey::from_seed(&[8; 32]);
    let image = Snap::new("good", "1", STEADY).image(&bench.dir);
    let old_path = write(&bench.dir, &sign(image.clone(), &app_key(), None));
    bench.ask(&["install", old_path.to_str().unwrap()]);
    bench.rotate_app_key(&new);
    let image = Snap::new("good", "2", STEADY).image(&bench.dir);
    let old_path = write(&bench.dir, &sign(image.clone(), &app_key(), None));
    let (code, message) = bench.refused(&["install", old_path.to_str().unwrap()]);
    assert_eq!(code, "snap-signature");
    assert!(message.contains("signed by no key of the role"), "{message}");
    // What runs goes on until the next start, when its signature is looked at again.
    bench.kill();
    bench.boot();
    let info = bench.ask(&["info", "good"]);
    assert_ne!(info["services"][0]["state"], "active", "{info}");
    let new_path = write(&bench.dir, &sign(image, &new, None));
    let said = bench.ask(&["install", new_path.to_str().unwrap()]);
    assert_eq!(said["ok"], "good refreshed to 2 (revision 2)");
    // A chain that does not verify is ignored: the keys of the image hold.
    std::fs::write(bench.dir.join("data/system/updater/keys.chain"), b"rubbish").unwrap();
    let path =
        write(&bench.dir, &sign(Snap::new("other", "1", STEADY).image(&bench.dir), &new, None));
    assert_eq!(bench.refused(&["install", path.to_str().unwrap()]).0, "snap-signature");
}

#[test]
fn dangerous_takes_what_is_not_signed_and_says_so() {
    let bench = Bench::new();
    let path = write(&bench.dir, &Snap::new("good", "1", STEADY).image(&bench.dir));
    let said = bench.ask(&["install", path.to_str().unwrap(), "--dangerous"]);
    assert_eq!(said["ok"], "good installed 1 (revision 1) (not signed)");
    assert_eq!(bench.ask(&["info", "good"])["signed"], false);
    // A cut one is no snap, whoever trusts it.
    let image = Snap::new("cut", "1", STEADY).image(&bench.dir);
    let path = write(&bench.dir, &image[..image.len() / 2]);
    let refused = bench.refused(&["install", path.to_str().unwrap(), "--dangerous"]);
    assert_eq!(refused.0, "snap-corrupt");
}

#[test]
fn a_full_data_partition_is_refused_with_figures() {
    let bench = Bench::with_data_of(4 << 20);
    let path: PathBuf = Snap::new("good", "1", STEADY).signed(&bench.dir);
    let size = path.metadata().unwrap().len();
    let (code, message) = bench.refused(&["install", path.to_str().unwrap()]);
    assert_eq!(code, "no-space");
    let expected = format!("test.snap: needs {size} bytes and 4194304 in reserve, ");
    assert!(message.starts_with(&expected), "{message}");
    assert!(message.contains(" are free in "), "{message}");
    assert_eq!(bench.kept("files"), Vec::<String>::new());
}

#[test]
fn from_an_address_only_what_has_the_digest() {
    use std::io::{Read, Write};
    let bench = Bench::new();
    let snap = std::fs::read(Snap::new("good", "1", STEADY).signed(&bench.dir)).unwrap();
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/good.snap", server.local_addr().unwrap());
    let answers = [snap[..snap.len() / 2].to_vec(), snap.clone()];
    let length = snap.len();
    let serving = std::thread::spawn(move || {
        for body in answers {
            let (mut stream, _) = server.accept().unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).unwrap();
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").unwrap();
            stream.write_all(&body).unwrap();
        }
    });
    let (code, message) = bench.refused(&["install", &url]);
    assert_eq!(code, "download", "{message}");
    assert_eq!(bench.kept("files"), Vec::<String>::new());
    assert_eq!(bench.ask(&["install", &url])["ok"], "good installed 1 (revision 1)");
    serving.join().unwrap();
    assert_eq!(bench.refused(&["install", "http://127.0.0.1:1/x"]).0, "download");
}
