//! Layers as nobody's tool writes them, and as a hostile one would: what comes out is looked at by
//! `unsquashfs`, which is not ours.

use oci::archive::Image;
use oci::blobs::Blobs;
use oci::convert::{Converted, Wish, convert};
use oci::digest::Digest;
use oci::manifest::Manifest;
use oci::{Error, Result};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use tar::{Builder, EntryType, Header};

/// Bytes that the layers of an image here may have.
const UNPACKED: u64 = 8 << 20;

/// An entry of a layer: path, kind, content or target.
type Entry<'a> = (&'a str, EntryType, &'a [u8]);

const FILE: EntryType = EntryType::Regular;
const LINK: EntryType = EntryType::Symlink;
const HARD: EntryType = EntryType::Link;
const FOLDER: EntryType = EntryType::Directory;

/// The content of an image by digest.
#[derive(Default)]
struct Store(BTreeMap<Digest, Vec<u8>>);

impl Blobs for Store {
    fn open(&self, digest: &Digest) -> Result<Box<dyn Read + '_>> {
        let found = self.0.get(digest).map(Vec::as_slice);
        let found = found.ok_or_else(|| Error::Invalid(format!("no blob {digest}")))?;
        Ok(Box::new(found))
    }
}

impl Store {
    fn add(&mut self, bytes: Vec<u8>) -> (String, usize) {
        let (digest, size) = (Digest::of(&bytes), bytes.len());
        self.0.insert(digest, bytes);
        (digest.to_string(), size)
    }
}

/// A layer as a tar file. The names are written as they are: `Builder` would refuse most of them.
fn tar(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, kind, content) in entries {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(if *kind == FOLDER { 0o755 } else { 0o644 });
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(1_000_000_000);
        let mut data: &[u8] = content;
        if [LINK, HARD].contains(kind) {
            header.as_old_mut().linkname[..content.len()].copy_from_slice(content);
            data = &[];
        }
        if *kind == EntryType::GNUSparse {
            let gnu = header.as_gnu_mut().unwrap();
            gnu.realsize[..11].copy_from_slice(b"00000000001");
            gnu.sparse[0].offset[..11].copy_from_slice(b"00000000000");
            gnu.sparse[0].numbytes[..11].copy_from_slice(b"00000000001");
        }
        header.set_size(data.len() as u64);
        header.set_cksum();
        builder.append(&header, data).unwrap();
    }
    builder.into_inner().unwrap()
}

/// An image of plain layers that runs `/app`.
fn image(layers: &[Vec<u8>]) -> (Store, Image) {
    let parts: Vec<(Vec<u8>, &str, String)> = layers
        .iter()
        .map(|tar| {
            (tar.clone(), "application/vnd.oci.image.layer.v1.tar", Digest::of(tar).to_string())
        })
        .collect();
    image_of(&parts)
}

/// An image of layers as they come: bytes, media type, digest when plain.
fn image_of(layers: &[(Vec<u8>, &str, String)]) -> (Store, Image) {
    let mut store = Store::default();
    let diff_ids: Vec<&String> = layers.iter().map(|(_, _, diff_id)| diff_id).collect();
    let config = json!({
        "architecture": "arm64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "config": {"Entrypoint": ["/app", "an argument"], "Volumes": {"/var/lib/app": {}}},
    });
    let (config, config_size) = store.add(serde_json::to_vec(&config).unwrap());
    let layers: Vec<serde_json::Value> = layers
        .iter()
        .map(|(bytes, media_type, _)| {
            let (digest, size) = store.add(bytes.clone());
            json!({"mediaType": media_type, "digest": digest, "size": size})
        })
        .collect();
    let manifest = json!({
        "schemaVersion": 2,
        "config": {"mediaType": "", "digest": config, "size": config_size},
        "layers": layers,
    });
    let json = serde_json::to_vec(&manifest).unwrap();
    let manifest = Manifest::parse(&json).unwrap();
    (store, Image { digest: Digest::of(&json), manifest, reference: Some("made/app:1.2".into()) })
}

/// Converts it to a file in `folder`.
fn converted(folder: &Path, (store, image): &(Store, Image)) -> Result<Converted> {
    let wish = Wish { name: None, architecture: "arm64", unpacked: UNPACKED };
    let mut to = std::fs::File::create(folder.join("image.snap")).unwrap();
    convert(store, image, &wish, folder, &mut to)
}

/// What a tool that is not ours says of the squashfs.
fn unsquashfs(folder: &Path, options: &[&str]) -> String {
    let mut command = Command::new("unsquashfs");
    let (before, after): (Vec<&str>, Vec<&str>) = options.iter().partition(|o| o.starts_with('-'));
    let output = command.args(before).arg(folder.join("image.snap")).args(after).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn listing(folder: &Path) -> Vec<String> {
    let text = unsquashfs(folder, &["-lln"]);
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let name = line.split_once("squashfs-root").map_or("", |(_, name)| name);
        format!("{} {} {}", words[0], words[1], if name.is_empty() { "/" } else { name })
    };
    text.lines().filter(|line| line.contains("squashfs-root")).map(line).collect()
}

const APP: Entry<'static> = ("app", FILE, b"#!/bin/sh\n");

#[test]
fn layers_lie_upon_each_other_and_whiteouts_take_away() {
    let lower = tar(&[
        APP,
        ("usr/bin/", FOLDER, b""),
        ("usr/bin/tool", FILE, b"one"),
        ("bin", LINK, b"usr/bin"),
        ("etc/gone", FILE, b"x"),
        ("var/old/a", FILE, b"x"),
        ("dev/null", EntryType::Char, b""),
    ]);
    let upper = tar(&[
        ("bin/tool", FILE, b"two"),
        ("bin/same", HARD, b"bin/tool"),
        ("etc/.wh.gone", FILE, b""),
        ("var/old/b", FILE, b"y"),
        ("var/old/.wh..wh..opq", FILE, b""),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let done = converted(folder.path(), &image(&[lower, upper])).unwrap();
    assert_eq!((done.naming.name.as_str(), done.naming.version.as_str()), ("app", "1.2"));
    assert_eq!(done.left_out.special, 1);
    assert_eq!(
        listing(folder.path()),
        [
            "drwxr-xr-x 0/0 /",
            "-rw-r--r-- 7/8 /app",
            "lrw-r--r-- 7/8 /bin -> usr/bin",
            "drwxr-xr-x 0/0 /etc",
            "drwxr-xr-x 0/0 /meta",
            "-rw-r--r-- 0/0 /meta/oci.json",
            "-rw-r--r-- 0/0 /meta/snap.yaml",
            "drwxr-xr-x 0/0 /usr",
            "drwxr-xr-x 7/8 /usr/bin",
            "-rw-r--r-- 7/8 /usr/bin/same",
            "-rw-r--r-- 7/8 /usr/bin/tool",
            "drwxr-xr-x 0/0 /var",
            "drwxr-xr-x 0/0 /var/lib",
            "drwxr-xr-x 0/0 /var/lib/app",
            "drwxr-xr-x 0/0 /var/old",
            "-rw-r--r-- 7/8 /var/old/b",
        ]
    );
    assert_eq!(unsquashfs(folder.path(), &["-cat", "usr/bin/same"]), "two");
    let yaml = unsquashfs(folder.path(), &["-cat", "meta/snap.yaml"]);
    assert!(yaml.contains("command: \"app\"") && yaml.contains("\"/var/lib/app\""), "{yaml}");
    let process = unsquashfs(folder.path(), &["-cat", "meta/oci.json"]);
    assert!(process.contains("an argument"), "{process}");
}

#[test]
fn every_way_to_compress_a_layer_is_read() {
    let plain = tar(&[APP, ("large", FILE, &vec![7; 300_000])]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let diff_id = Digest::of(&plain).to_string();
    for (bytes, media_type) in [
        (gzip.finish().unwrap(), "application/vnd.oci.image.layer.v1.tar+gzip"),
        (zstd::encode_all(&plain[..], 3).unwrap(), "application/vnd.oci.image.layer.v1.tar+zstd"),
        (plain.clone(), "application/vnd.docker.image.rootfs.diff.tar"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let made = image_of(&[(bytes, media_type, diff_id.clone())]);
        converted(folder.path(), &made).unwrap();
        let large = unsquashfs(folder.path(), &["-cat", "large"]);
        assert_eq!(large.len(), 300_000, "{media_type}");
    }
}

#[test]
fn the_same_image_gives_the_same_bytes() {
    let made = image(&[tar(&[APP, ("a/b", FILE, b"x")])]);
    let bytes = || {
        let folder = tempfile::tempdir().unwrap();
        converted(folder.path(), &made).unwrap();
        std::fs::read(folder.path().join("image.snap")).unwrap()
    };
    assert_eq!(bytes(), bytes());
}

#[test]
fn links_that_lead_out_stay_in_the_image() {
    let marker = tempfile::tempdir().unwrap();
    let outside = marker.path().to_str().unwrap().trim_start_matches('/');
    let layer = tar(&[
        APP,
        ("up", LINK, b"../../../.."),
        ("up/tmp/written", FILE, b"x"),
        ("abs", LINK, b"/"),
        (&format!("abs/{outside}/written"), FILE, b"x"),
        ("meta", LINK, b"/tmp"),
    ]);
    let folder = tempfile::tempdir().unwrap();
    converted(folder.path(), &image(&[layer])).unwrap();
    assert!(std::fs::read_dir(marker.path()).unwrap().next().is_none());
    let listing = listing(folder.path());
    let has = |name: &str| listing.iter().any(|line| line.ends_with(name));
    assert!(has("/tmp/written") && has(&format!("/{outside}/written")), "{listing:?}");
    assert!(has("/meta/snap.yaml") && !has("/tmp/snap.yaml"), "{listing:?}");
}

#[test]
fn what_is_hostile_or_broken_is_refused_by_name() {
    let rows: [(&str, Vec<Entry<'_>>, &str); 8] = [
        ("dots", vec![("../../etc/passwd", FILE, b"x")], "layer 0: ../../etc/passwd: leads out"),
        ("dots in the middle", vec![("a/../../b", FILE, b"x")], "leads out of the image"),
        (
            "hard link to nothing",
            vec![("x", HARD, b"/etc/shadow")],
            "/etc/shadow, which is not there",
        ),
        ("hard link to a folder", vec![("d", FOLDER, b""), ("x", HARD, b"d")], "to a directory"),
        (
            "link in a circle",
            vec![("l", LINK, b"l"), ("l/x", FILE, b"")],
            "more than 40 symbolic links",
        ),
        ("file as folder", vec![("f", FILE, b""), ("f/x", FILE, b"")], "a file where a directory"),
        ("sparse", vec![("s", EntryType::GNUSparse, b"x")], "GNUSparse are not supported"),
        ("whiteout of nothing", vec![(".wh.", FILE, b"")], "a whiteout of nothing"),
    ];
    for (name, entries, why) in rows {
        let folder = tempfile::tempdir().unwrap();
        let layer = tar(&[&[APP], entries.as_slice()].concat());
        let error = converted(folder.path(), &image(&[layer])).unwrap_err();
        assert!(error.to_string().contains(why), "{name}: {error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "{name}: left behind");
    }
}

#[test]
fn content_that_is_not_what_was_signed_for_is_refused() {
    let plain = tar(&[APP]);
    let diff_id = Digest::of(&plain).to_string();
    let media_type = "application/vnd.oci.image.layer.v1.tar";
    let folder = tempfile::tempdir().unwrap();

    let (mut store, made) = image(std::slice::from_ref(&plain));
    let digest = made.manifest.layers[0].digest("layer").unwrap();
    let mut other = plain.clone();
    other[600] ^= 1;
    store.0.insert(digest, other.clone());
    let error = converted(folder.path(), &(store, made)).unwrap_err();
    assert_eq!(error.code(), "image-digest");

    // The layer itself is as announced, but not the one of the configuration.
    let error = converted(folder.path(), &image_of(&[(other, media_type, diff_id)])).unwrap_err();
    assert_eq!(error.code(), "image-digest");

    let (mut store, made) = image(std::slice::from_ref(&plain));
    store.0.insert(digest, [plain.as_slice(), b"more"].concat());
    let error = converted(folder.path(), &(store, made)).unwrap_err();
    assert_eq!(error.code(), "image-digest");

    let cut = plain[..700].to_vec();
    let id = Digest::of(&cut).to_string();
    let error = converted(folder.path(), &image_of(&[(cut, media_type, id)])).unwrap_err();
    assert_eq!(error.code(), "image-invalid", "{error}");
}

#[test]
fn bombs_are_refused_before_they_go_off() {
    let folder = tempfile::tempdir().unwrap();
    // Zeros, a thousand times as many as they look.
    let plain = tar(&[APP, ("zeros", FILE, &vec![0; UNPACKED as usize + 1])]);
    let diff_id = Digest::of(&plain).to_string();
    let bomb = zstd::encode_all(&plain[..], 3).unwrap();
    assert!(bomb.len() < 10_000);
    let made = image_of(&[(bomb, "application/vnd.oci.image.layer.v1.tar+zstd", diff_id)]);
    let error = converted(folder.path(), &made).unwrap_err();
    assert_eq!(
        (error.code(), error.to_string().contains("layer 0: unpacked")),
        ("image-too-large", true)
    );

    // One file by a hundred names.
    let large = vec![1; 1 << 20];
    let names: Vec<String> = (0..100).map(|n| format!("name{n}")).collect();
    let mut entries = vec![APP, ("large", FILE, large.as_slice())];
    entries.extend(names.iter().map(|name| (name.as_str(), HARD, &b"large"[..])));
    let error = converted(folder.path(), &image(&[tar(&entries)])).unwrap_err();
    assert!(error.to_string().contains("hard links"), "{error}");
}

#[test]
fn an_image_for_other_machines_says_so() {
    let made = image(&[tar(&[APP])]);
    let folder = tempfile::tempdir().unwrap();
    let wish = Wish { name: None, architecture: "amd64", unpacked: UNPACKED };
    let mut to = std::fs::File::create(folder.path().join("image.snap")).unwrap();
    let error = convert(&made.0, &made.1, &wish, folder.path(), &mut to).unwrap_err();
    assert_eq!(error.code(), "image-architecture");
    assert_eq!(error.to_string(), "image for linux/arm64, this is linux/amd64");
}
