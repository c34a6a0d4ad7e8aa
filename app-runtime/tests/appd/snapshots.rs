//! Snapshots of data: taken, brought back, forgotten, carried away and taken in again.

use crate::{
    bench::Bench,
    changes::{file, installed, versions},
    snap::STEADY,
};
use flate2::{Compression, write::GzEncoder};
use serde_json::json;
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};
use tar::{Builder, EntryType, Header};

fn data(bench: &Bench, name: &str) -> PathBuf {
    bench.dir.join("data/snaps/data").join(name)
}

#[test]
fn data_comes_back_as_it_was_with_owner_mode_and_links() {
    let bench = Bench::new();
    installed(&bench, "steady", "1", 1);
    let folder = data(&bench, "steady").join("1");
    let deep = folder.join("a/b");
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("program"), "kept").unwrap();
    fs::set_permissions(deep.join("program"), fs::Permissions::from_mode(0o4755)).unwrap();
    symlink("/etc/passwd", folder.join("link")).unwrap();
    let long = "n".repeat(180);
    fs::write(folder.join(&long), "long").unwrap();
    bench.ask(&["set", "steady", "a.b=1", "c=\"two\""]);
    assert_eq!(bench.ask(&["save"])["ok"], "Saved \"steady\" snap in snapshot set #1");
    let saved = bench.ask(&["saved"]);
    assert_eq!((&saved[0]["set"], &saved[0]["snap"]), (&1.into(), &"steady".into()));
    assert_eq!((&saved[0]["version"], &saved[0]["auto"]), (&"1".into(), &false.into()));

    fs::remove_dir_all(folder.join("a")).unwrap();
    fs::write(folder.join("new"), "goes").unwrap();
    bench.ask(&["set", "steady", "a.b=2", "new=true"]);
    assert_eq!(bench.ask(&["restore", "1"])["ok"], "Restored snapshot #1.");
    assert_eq!(fs::read_to_string(deep.join("program")).unwrap(), "kept");
    let found = fs::metadata(deep.join("program")).unwrap();
    // No right is given away by what comes out of a file.
    assert_eq!((found.uid(), found.mode() & 0o7777), (20_000, 0o755));
    assert_eq!(fs::metadata(&deep).unwrap().uid(), 20_000);
    assert_eq!(fs::read_link(folder.join("link")).unwrap(), Path::new("/etc/passwd"));
    assert_eq!(fs::read_to_string(folder.join(long)).unwrap(), "long");
    assert!(!folder.join("new").exists());
    assert_eq!(bench.ask(&["get", "steady"]), json!({"a": {"b": 1}, "c": "two"}));
    bench.until("it runs on it", |b| versions(b, "steady", 1) == "1\n1\n");
    assert_eq!(bench.kept("data/steady"), ["1", "common"]);

    assert_eq!(bench.ask(&["forget", "1"])["ok"], "Snapshot #1 forgotten.");
    assert_eq!(bench.refused(&["restore", "1"]).0, "no-snapshot");
    assert_eq!(bench.refused(&["saved", "--id=1"]).0, "no-snapshot");
    assert_eq!(bench.kept("snapshots"), Vec::<String>::new());
}

#[test]
fn a_removal_keeps_the_data_and_a_new_installation_gets_it_back() {
    let bench = Bench::new();
    installed(&bench, "steady", "1", 1);
    let said = bench.ask(&["remove", "steady"]);
    assert_eq!(said["ok"], "steady removed (its data is kept in snapshot set #1)");
    assert_eq!(bench.ask(&["saved"])[0]["auto"], true);
    assert_eq!(bench.refused(&["restore", "1"]).0, "not-installed");
    installed(&bench, "other", "1", 1);
    installed(&bench, "steady", "2", 1);
    assert_eq!(versions(&bench, "steady", 1), "2\n");
    bench.ask(&["restore", "1", "steady"]);
    bench.until("it goes on", |b| versions(b, "steady", 1) == "1\n2\n");
    // It is its new user's.
    let owner = fs::metadata(data(&bench, "steady").join("1/versions")).unwrap().uid();
    assert_eq!(owner, 20_002);
}

#[test]
fn a_set_is_carried_from_one_gateway_to_another() {
    let (from, to) = (Bench::new(), Bench::new());
    for name in ["first", "second"] {
        installed(&from, name, "1", 1);
        installed(&to, name, "2", 1);
    }
    from.ask(&["save"]);
    let exported = from.dir.join("data/set.tar");
    let words = ["export-snapshot", "1", exported.to_str().unwrap()];
    from.ask(&words);
    // What is there is not written over, and nothing is written beside data.
    assert_eq!(from.refused(&words).0, "io");
    let elsewhere = from.dir.join("etc/set.tar");
    assert_eq!(from.refused(&["export-snapshot", "1", elsewhere.to_str().unwrap()]).0, "io");
    to.ask(&["save", "first"]);
    let said = to.ask(&["import-snapshot", exported.to_str().unwrap()]);
    assert_eq!(said["ok"], "Imported snapshot as #2");
    assert_eq!(to.ask(&["saved", "--id=2"]).as_array().unwrap().len(), 2);
    to.ask(&["restore", "2"]);
    to.until("both go on", |b| {
        ["first", "second"].iter().all(|name| versions(b, name, 1) == "1\n2\n")
    });
}

/// An entry of a hostile snapshot: its name, kind, link and content.
type Entry<'a> = (&'a str, EntryType, &'a str, &'a [u8]);

/// Entries as they are, whatever a proper writer would say to them.
fn raw(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (name, kind, link, content) in entries {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append(&header, *content).unwrap();
    }
    tar.into_inner().unwrap()
}

/// A file to import that has one snapshot with these entries after its head.
fn hostile(bytes: u64, entries: &[Entry<'_>]) -> Vec<u8> {
    let head = format!(
        "{{\"format\":1,\"snap\":\"steady\",\"version\":\"1\",\"revision\":1,\"time\":1,\"bytes\":{bytes}}}"
    );
    let mut all: Vec<Entry<'_>> = vec![("meta.json", EntryType::Regular, "", head.as_bytes())];
    all.extend(entries);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    std::io::Write::write_all(&mut gzip, &raw(&all)).unwrap();
    let snapshot = gzip.finish().unwrap();
    raw(&[("steady.snapshot", EntryType::Regular, "", &snapshot)])
}

#[test]
fn a_hostile_file_of_snapshots_is_refused_and_leaves_nothing() {
    use EntryType::{Char, Directory, Link, Regular, Symlink};
    let bench = Bench::new();
    installed(&bench, "steady", "1", 1);
    let data = ("data", Directory, "", &b""[..]);
    let plain = ("data/a", Regular, "", &b"plain"[..]);
    let table: &[(&str, Vec<u8>, &str)] = &[
        ("climbs", hostile(99, &[data, ("data/../../x", Regular, "", b"")]), "leads out"),
        ("absolute", hostile(99, &[data, ("/etc/x", Regular, "", b"")]), "leads out"),
        ("elsewhere", hostile(99, &[("other", Directory, "", b"")]), "neither common nor data"),
        (
            "through a link",
            hostile(99, &[data, ("data/l", Symlink, "/etc", b""), ("data/l/x", Regular, "", b"")]),
            "not in a folder of the snapshot",
        ),
        (
            "a link that becomes a folder",
            hostile(99, &[("data", Symlink, "/etc", b""), ("data/x", Regular, "", b"")]),
            "not in a folder of the snapshot",
        ),
        ("a hard link", hostile(99, &[data, ("data/h", Link, "/etc/passwd", b"")]), "neither file"),
        ("a device", hostile(99, &[data, ("data/d", Char, "", b"")]), "neither file"),
        ("too much", hostile(4, &[data, plain]), "more than the 4 bytes"),
        (
            "no head",
            {
                let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
                std::io::Write::write_all(&mut gzip, &raw(&[data])).unwrap();
                raw(&[("steady.snapshot", Regular, "", &gzip.finish().unwrap())])
            },
            "does not begin with meta.json",
        ),
        ("not gzip", raw(&[("steady.snapshot", Regular, "", b"longer than its head")]), "gzip"),
        ("another's name", raw(&[("../x.snapshot", Regular, "", b"")]), "is not NAME.snapshot"),
        ("empty", raw(&[]), "no snapshot is in it"),
        ("rubbish", vec![b'x'; 2000], "set.tar: "),
        (
            "cut",
            {
                let all = hostile(99, &[data, plain]);
                all[..700].to_vec()
            },
            "set.tar: ",
        ),
    ];
    let set = bench.dir.join("set.tar");
    for (what, bytes, why) in table {
        fs::write(&set, bytes).unwrap();
        let (code, message) = bench.refused(&["import-snapshot", set.to_str().unwrap()]);
        assert_eq!(code, "snapshot-corrupt", "{what}: {message}");
        assert!(message.contains(why), "{what}: {message}");
        assert_eq!(bench.kept("snapshots"), Vec::<String>::new(), "{what}");
    }
    fs::write(&set, hostile(99, &[data, plain])).unwrap();
    let last = bench.ask(&["import-snapshot", set.to_str().unwrap()])["ok"].clone();
    let number: String = last.as_str().unwrap().chars().filter(char::is_ascii_digit).collect();
    bench.ask(&["restore", &number]);
    let restored = self::data(&bench, "steady").join("1/a");
    assert_eq!(fs::read_to_string(restored).unwrap(), "plain");
}

#[test]
fn a_torn_snapshot_is_refused_and_the_data_stays() {
    let bench = Bench::new();
    installed(&bench, "steady", "1", 1);
    bench.ask(&["save"]);
    let path = bench.dir.join("data/snaps/snapshots/1_steady.snapshot");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let (code, message) = bench.refused(&["restore", "1"]);
    assert_eq!(code, "snapshot-corrupt", "{message}");
    bench.until("it goes on with its data", |b| versions(b, "steady", 1) == "1\n1\n");
    assert_eq!(bench.kept("data/steady"), ["1", "common"]);
}

#[test]
fn snapshots_outlive_the_loss_of_both_states() {
    let mut bench = Bench::new();
    installed(&bench, "steady", "1", 1);
    bench.ask(&["save"]);
    bench.kill();
    for name in ["state.json", "state.copy.json"] {
        fs::remove_file(bench.dir.join("data/snaps").join(name)).unwrap();
    }
    bench.boot();
    assert_eq!(bench.ask(&["saved"])[0]["snap"], "steady");
    bench.ask(&["restore", "1"]);
    // And the number of the next set is not one that was used.
    assert_eq!(bench.ask(&["save"])["ok"], "Saved \"steady\" snap in snapshot set #2");
    let second = file(&bench, "steady", "2", STEADY);
    bench.install(&second);
}
