//! `holdfast keys`: rotation, revocation and thresholds, by several people on several machines.

mod support;

use image_builder::keys::{self, draft};
use protocol::keychain::KeyChain;
use protocol::keys::KeySet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use support::{Said, holdfast, text};

/// `holdfast keys VERB --dir DIR …`
fn keys_in(dir: &Path, verb: &str, more: &[&str]) -> Said {
    holdfast(&[&["keys", verb, "--dir", text(dir)], more].concat())
}

fn done(said: Said) -> String {
    assert!(said.ok, "{}", said.text);
    said.text
}

fn refused(said: Said, expected: &str) {
    assert!(!said.ok && said.text.contains(expected), "no {expected:?} in\n{}", said.text);
}

/// What is passed on from one holder to the next: everything but private keys.
fn pass_on(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for name in ["keys.cbor", "keys.chain", "keys.draft"] {
        let _ = fs::remove_file(to.join(name));
        if from.join(name).exists() {
            fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}

#[test]
fn a_rotated_key_is_in_force_once_the_root_has_signed() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("keys");
    let first = keys::init(&dir).unwrap();
    let old_fleet = first.roles.fleet.keys[0];
    let said = done(keys_in(&dir, "rotate", &["--role", "fleet"]));
    assert!(said.contains(&format!("revoked  {old_fleet}: fleet")), "{said}");
    assert!(said.contains("0 of 1 old and 0 of 1 new"), "{said}");
    assert_eq!(keys::key_set(&dir).unwrap(), first, "a draft is not in force");
    refused(keys_in(&dir, "sign", &["--key", text(&dir.join("release.key"))]), "no root key");
    let said = done(keys_in(&dir, "sign", &["--key", text(&dir.join("root.key"))]));
    assert!(said.contains("key set 2 is in force here"), "{said}");

    let second = keys::key_set(&dir).unwrap();
    assert_eq!(second.version, 2);
    assert!(!second.keys.contains_key(&old_fleet), "the old key is nowhere in the set");
    let chain = KeyChain::decode(&fs::read(dir.join("keys.chain")).unwrap()).unwrap();
    assert_eq!(chain.follow(&first).unwrap(), second, "devices come from the one to the other");
    // The files of a role: the one that the set names is used, whatever its name.
    assert_eq!(keys::private(&dir, "fleet").unwrap().id(), second.roles.fleet.keys[0]);
    let said = done(keys_in(&dir, "verify", &[]));
    assert!(said.contains("leads from set 1 to set 2"), "{said}");
    assert!(said.contains("fleet-2.key: key") && said.contains("not of this set"), "{said}");
    assert!(!dir.join("keys.draft").exists());

    // Again, with the root itself: the old and the new root sign.
    done(keys_in(&dir, "rotate", &["--role", "root"]));
    let said = done(keys_in(&dir, "sign", &["--key", text(&dir.join("root.key"))]));
    assert!(said.contains("1 of 1 old and 0 of 1 new"), "{said}");
    done(keys_in(&dir, "sign", &["--key", text(&dir.join("root-3.key"))]));
    let third = keys::key_set(&dir).unwrap();
    let chain = KeyChain::decode(&fs::read(dir.join("keys.chain")).unwrap()).unwrap();
    for old in [&first, &second] {
        assert_eq!(chain.follow(old).unwrap(), third, "from set {}", old.version);
    }
}

#[test]
fn root_keys_on_three_machines_sign_one_after_the_other() {
    let home = tempfile::tempdir().unwrap();
    let (a, b, c) = (home.path().join("a"), home.path().join("b"), home.path().join("c"));
    keys::init(&a).unwrap();
    for (dir, name) in [(&b, "berta"), (&c, "carla")] {
        fs::create_dir_all(dir).unwrap();
        done(holdfast(&["keys", "make", "-o", text(&dir.join(format!("{name}.key")))]));
        let public = dir.join(format!("{name}.key.pub"));
        done(keys_in(&a, "add", &["--role", "root", "--public", text(&public)]));
    }
    done(keys_in(&a, "threshold", &["--role", "root", "--count", "2"]));
    // Two of the new root must sign, and the one of the old.
    let said = done(keys_in(&a, "sign", &["--key", text(&a.join("root.key"))]));
    assert!(said.contains("1 of 1 old and 1 of 2 new"), "{said}");
    refused(keys_in(&a, "sign", &["--key", text(&a.join("root.key"))]), "has signed it already");
    pass_on(&a, &b);
    done(keys_in(&b, "sign", &["--key", text(&b.join("berta.key"))]));
    pass_on(&b, &a);
    let two_of_three = keys::key_set(&a).unwrap();
    assert_eq!((two_of_three.version, two_of_three.roles.root.threshold), (2, 2));

    // The key of the first machine is stolen: the others replace it without it.
    let stolen = keys::private_file(&a.join("root.key")).unwrap().id();
    pass_on(&a, &c);
    let id = stolen.to_string();
    done(keys_in(&c, "revoke", &["--id", &id]));
    done(keys_in(&c, "sign", &["--key", text(&c.join("carla.key"))]));
    // An edit after a signature: what was signed is no longer what is meant.
    let said = done(keys_in(&c, "rotate", &["--role", "fleet"]));
    assert!(said.contains("1 signatures were for the draft as it was before"), "{said}");
    done(keys_in(&c, "sign", &["--key", text(&c.join("carla.key"))]));
    refused(keys_in(&c, "sign", &["--key", text(&a.join("app.key"))]), "no root key");
    pass_on(&c, &b);
    done(keys_in(&b, "sign", &["--key", text(&b.join("berta.key"))]));
    let third = keys::key_set(&b).unwrap();
    assert_eq!((third.version, third.keys.contains_key(&stolen)), (3, false));
    let chain = KeyChain::decode(&fs::read(b.join("keys.chain")).unwrap()).unwrap();
    assert_eq!(chain.follow(&two_of_three).unwrap(), third);
}

#[test]
fn a_release_is_signed_by_keys_on_two_machines() {
    let home = tempfile::tempdir().unwrap();
    let (dir, other) = (home.path().join("keys"), home.path().join("other.key"));
    keys::init(&dir).unwrap();
    done(holdfast(&["keys", "make", "-o", text(&other)]));
    let public = home.path().join("other.key.pub");
    done(keys_in(&dir, "add", &["--role", "release", "--public", text(&public)]));
    done(keys_in(&dir, "threshold", &["--role", "release", "--count", "2"]));
    done(keys_in(&dir, "sign", &["--key", text(&dir.join("root.key"))]));
    let path = |name: &str| text(&home.path().join(name)).to_string();
    let slot = vec![7; protocol::release::CHUNK_SIZE as usize];
    let spec = image_builder::ImageSpec::new("rpi3", "1.0", &dir);
    let (manifest, _) = image_builder::release::make(&spec, &slot, support::TIME).unwrap();
    let key = keys::private(&dir, "release").unwrap();
    fs::write(path("one"), manifest.sign(&[&key]).unwrap()).unwrap();
    let own = path("keys/release.key");
    let sign = |from: &str, key: &str, more: &[&str], to: &str| {
        let (from, to) = (path(from), path(to));
        let words = ["release", "sign", &from, "--key", key, "-o", &to];
        holdfast(&[&words[..], more].concat())
    };
    let verify = |name: &str| holdfast(&["release", "verify", &path(name), "--keys", text(&dir)]);
    refused(verify("one"), "1 good signatures, 2 needed");
    refused(sign("one", text(&other), &["--add"], "two"), "first signs with --partial");
    done(sign("one", &own, &["--partial"], "part"));
    refused(verify("part"), "1 good signatures, 2 needed");
    refused(sign("part", &own, &["--add"], "two"), "has signed it already");
    done(sign("part", text(&other), &["--add"], "two"));
    done(verify("two"));
}

#[test]
fn private_keys_lie_open_for_nobody_and_mistakes_are_named() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("keys");
    let set = keys::init(&dir).unwrap();
    let id = set.roles.release.keys[0].to_string();
    let made = home.path().join("made.key");
    done(holdfast(&["keys", "make", "-o", text(&made)]));
    assert_eq!(fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o600);
    let again = holdfast(&["keys", "make", "-o", text(&made)]);
    refused(again, "never overwritten");
    let public = home.path().join("made.key.pub");
    for (what, said, expected) in [
        ("last key", keys_in(&dir, "revoke", &["--id", &id]), "has 0 keys and needs 1"),
        ("no such key", keys_in(&dir, "revoke", &["--id", "0011223344556677"]), "has no role"),
        ("no id", keys_in(&dir, "revoke", &["--id", "release"]), "16 hexadecimal digits"),
        (
            "threshold above",
            keys_in(&dir, "threshold", &["--role", "app", "--count", "2"]),
            "1 to 1 are possible",
        ),
        (
            "threshold 0",
            keys_in(&dir, "threshold", &["--role", "app", "--count", "0"]),
            "threshold 0",
        ),
        ("no draft", keys_in(&dir, "sign", &["--key", text(&dir.join("root.key"))]), "no draft"),
        (
            "a private key as public",
            keys_in(&dir, "add", &["--role", "root", "--public", text(&made)]),
            "does not begin with holdfast-ed25519-public",
        ),
        ("a public key as private", keys_in(&dir, "sign", &["--key", text(&public)]), "chmod 600"),
    ] {
        assert!(!dir.join(draft::DRAFT).exists(), "{what}: a draft is left behind");
        refused(said, expected);
    }
    done(keys_in(&dir, "add", &["--role", "release", "--public", text(&public)]));
    refused(keys_in(&dir, "add", &["--role", "release", "--public", text(&public)]), "already");
    refused(keys_in(&dir, "rotate", &["--role", "release"]), "name one by --old");
    done(keys_in(&dir, "discard", &[]));
    // A file that others can read is not used, for signing or anything else.
    for mode in [0o640, 0o604, 0o620] {
        fs::set_permissions(dir.join("root.key"), fs::Permissions::from_mode(mode)).unwrap();
        refused(keys_in(&dir, "verify", &[]), "lets others use the key");
    }
    fs::set_permissions(dir.join("root.key"), fs::Permissions::from_mode(0o600)).unwrap();
    // A draft of a set that is not next: somebody passed an old folder on.
    let mut skipped: KeySet = set.clone();
    skipped.version = 3;
    fs::write(dir.join(draft::DRAFT), protocol::envelope::to_cbor(&skipped)).unwrap();
    refused(keys_in(&dir, "show", &[]), "version 3, 2 would be next");
}

#[test]
fn the_help_says_what_to_do_when_a_key_is_stolen() {
    for arguments in [&["keys", "--help"][..], &["keys", "explain"]] {
        let said = done(holdfast(arguments));
        for word in ["WHEN A KEY IS STOLEN", "Offline", "threshold", "rotate --role fleet"] {
            assert!(said.contains(word), "{arguments:?}: no {word:?} in\n{said}");
        }
    }
}
