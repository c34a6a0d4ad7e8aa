//! Keys and releases.

mod support;

use image_builder::{ImageSpec, keys, release};
use protocol::release::CHUNK_SIZE;
use std::{fs, os::unix::fs::PermissionsExt, path::Path};
use support::{TIME, holdfast, text};

/// A release of a slot image of random-looking bytes; nothing of the build is needed for it.
fn make(dir: &Path, keys_dir: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
    let slot: Vec<u8> =
        (0..3 * CHUNK_SIZE).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let spec = ImageSpec::new("rpi3", "1.0", keys_dir);
    let (manifest, container) = release::make(&spec, &slot, TIME).unwrap();
    let key = keys::private(keys_dir, "release").unwrap();
    let (manifest_path, payload) = (dir.join("r.manifest"), dir.join("r.payload"));
    fs::write(&manifest_path, manifest.sign(&[&key]).unwrap()).unwrap();
    fs::write(&payload, container).unwrap();
    (manifest_path, payload)
}

#[test]
fn private_keys_are_for_the_owner_only_and_the_set_opens() {
    let dir = tempfile::tempdir().unwrap();
    let set = keys::init(dir.path()).unwrap();
    for role in keys::ROLES {
        let path = dir.path().join(format!("{role}.key"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let id = keys::private(dir.path(), role).unwrap().id();
        assert!(set.keys.contains_key(&id), "{role}");
    }
    assert_eq!(keys::key_set(dir.path()).unwrap(), set);
    let shown = holdfast(&["keys", "show", "--dir", text(dir.path())]);
    assert!(shown.ok && shown.text.contains(&set.roles.app.keys[0].to_string()), "{}", shown.text);
}

#[test]
fn a_release_verifies_with_its_keys_and_with_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
    keys::init(&ours).unwrap();
    keys::init(&theirs).unwrap();
    let (manifest, payload) = make(dir.path(), &ours);
    let verify = |keys: &Path| {
        holdfast(&["release", "verify", text(&manifest), text(&payload), "--keys", text(keys)])
    };
    let said = verify(&ours);
    assert!(said.ok && said.text.contains("payload        good, 3 chunks"), "{}", said.text);
    let said = verify(&theirs);
    assert!(!said.ok && said.text.contains("signed by no key of the role"), "{}", said.text);

    // Signed anew with the other party's key, it is theirs.
    let (key, again) = (theirs.join("release.key"), dir.path().join("again"));
    let sign = ["release", "sign", text(&manifest), "--key", text(&key), "-o", text(&again)];
    assert!(holdfast(&sign).ok);
    release::verify(&again, Some(&payload), &keys::key_set(&theirs).unwrap()).unwrap();
    // A key of another role does not make a release.
    let key = ours.join("fleet.key");
    let sign = ["release", "sign", text(&manifest), "--key", text(&key), "-o", text(&again)];
    assert!(holdfast(&sign).ok);
    assert!(release::verify(&again, None, &keys::key_set(&ours).unwrap()).is_err());
    let said = holdfast(&["release", "inspect", text(&again)]);
    assert!(said.ok && said.text.contains("not verified"), "{}", said.text);
}

#[test]
fn any_changed_byte_of_the_manifest_and_some_of_the_payload_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let keys_dir = dir.path().join("keys");
    let set = keys::init(&keys_dir).unwrap();
    let (manifest, payload) = make(dir.path(), &keys_dir);
    let good = fs::read(&manifest).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&manifest, bad).unwrap();
        assert!(release::verify(&manifest, None, &set).is_err(), "byte {at}");
    }
    fs::write(&manifest, &good).unwrap();
    let whole = fs::read(&payload).unwrap();
    for at in [0, 8, 12, 16, 24, 40, whole.len() / 2, whole.len() - 1] {
        let mut bad = whole.clone();
        bad[at] ^= 1;
        fs::write(&payload, bad).unwrap();
        assert!(release::verify(&manifest, Some(&payload), &set).is_err(), "byte {at}");
    }
    fs::write(&payload, &whole[..whole.len() - 1]).unwrap();
    let error = release::verify(&manifest, Some(&payload), &set).unwrap_err().to_string();
    assert!(error.contains("the manifest says"), "{error}");
}
