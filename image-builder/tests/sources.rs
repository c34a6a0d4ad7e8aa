//! Fetching what the lock file names, with the real apt from an archive of the test's own.

mod support;

use image_builder::sources::{
    cache::digest_of,
    firmware,
    lock::{LockFile, Locked, Part},
};
use std::{fs, path::PathBuf, sync::OnceLock};
use support::{
    Said,
    mirror::{Mirror, SUITE},
    text,
};
use tempfile::TempDir;

/// A digest that no file has.
const NO_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// An archive, a lock file and an empty cache.
struct Stage {
    dir: TempDir,
    mirror: Mirror,
}

impl Stage {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mirror = Mirror::new(&dir.path().join("mirror"));
        fs::copy(LockFile::of_work_tree().path(), dir.path().join("lock.toml")).unwrap();
        Self { dir, mirror }
    }

    fn lock(&self) -> LockFile {
        LockFile::at(self.dir.path().join("lock.toml"))
    }

    fn locked(&self, part: Part) -> Locked {
        self.lock().load().unwrap().get(part).clone()
    }

    /// Locks a version of a part, by name and digest.
    fn lock_to(&self, part: Part, package: &str, version: &str, file: &str, sha256: &str) {
        let [package, version, file, sha256] = [package, version, file, sha256].map(String::from);
        self.lock().replace(part, Locked { package, version, file, sha256 }).unwrap();
    }

    /// Fetches (and builds) a part in a process of its own: what it prints, and whether it
    /// succeeded.
    fn fetch(&self, part: &str) -> Said {
        let cache = self.dir.path().join("cache");
        let (lock, keyring) = (self.dir.path().join("lock.toml"), self.mirror.keyring());
        let address = self.mirror.address();
        let arguments =
            ["--from", text(&cache), text(&lock), text(&keyring), &address, SUITE, part];
        support::tool(text(program()), &arguments)
    }

    fn add_firmware(&self, version: &str) -> PathBuf {
        let mut files: Vec<(String, String)> = firmware::KEPT
            .iter()
            .map(|name| (format!("usr/lib/raspi-firmware/{name}"), format!("{name} {version}")))
            .collect();
        files.push(("usr/share/doc/raspi-firmware/copyright".into(), "licence".into()));
        let files: Vec<(&str, &str)> =
            files.iter().map(|(p, c)| (p.as_str(), c.as_str())).collect();
        self.mirror.add_package("raspi-firmware", version, &files)
    }

    fn lock_firmware(&self, version: &str, sha256: &str) {
        let file = format!("raspi-firmware_{version}_all.deb");
        self.lock_to(Part::Firmware, "raspi-firmware", version, &file, sha256);
    }
}

/// `examples/sources.rs`, which calls what a build calls.
fn program() -> &'static PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        image_builder::binaries::of_this_machine("image-builder", "example", "sources").unwrap()
    })
}

#[test]
fn a_version_that_has_left_is_replaced_by_the_newest_of_its_series_loudly() {
    let stage = Stage::new();
    let (mirror, file) = (&stage.mirror, "u-boot_2025.01.orig.tar.bz2");
    mirror.add_source("u-boot", "2025.01", "3+deb13u2", "tarball");
    mirror.add_source("u-boot", "2025.01", "3+deb13u10", "tarball");
    mirror.add_source("u-boot", "2025.07", "1", "of another series");
    mirror.add_source("u-boot", "2024.01", "1", "older");
    mirror.publish();
    stage.lock_to(Part::UBoot, "u-boot", "2025.01-3+deb13u1", file, NO_DIGEST);
    let before = stage.lock().load().unwrap();

    let said = stage.fetch("tarball");
    assert!(said.ok, "{}", said.text);
    let digest = digest_of(&mirror.pool().join(file)).unwrap();
    for part in [
        "u-boot 2025.01-3+deb13u1 has left the mirror.",
        &format!("Using 2025.01-3+deb13u10 instead, SHA-256 {digest}."),
        "lock.toml was changed: look at it, and commit it.",
    ] {
        assert!(said.text.contains(part), "{part:?} is not in:\n{}", said.text);
    }
    let fetched = stage.dir.path().join("cache/downloads").join(file);
    assert_eq!(fs::read_to_string(&fetched).unwrap(), "tarball");

    let now = stage.locked(Part::UBoot);
    assert_eq!((&*now.version, &*now.sha256, &*now.file), ("2025.01-3+deb13u10", &*digest, file));
    let mut others = stage.lock().load().unwrap();
    others.u_boot = before.u_boot.clone();
    assert_eq!(others, before, "no other part is touched");
    let head = fs::read_to_string(stage.lock().path()).unwrap();
    assert!(head.starts_with("# What kernel, U-Boot"), "{head}");

    // The second time it is there, and nothing is said.
    let said = stage.fetch("tarball");
    assert!(said.ok && !said.text.contains("left the mirror"), "{}", said.text);
}

#[test]
fn a_replaced_package_is_built_once_and_kept_under_its_own_digest() {
    let stage = Stage::new();
    let old = stage.add_firmware("1.2024-1");
    let old_digest = digest_of(&old).unwrap();
    stage.mirror.publish();
    stage.lock_firmware("1.2024-1", &old_digest);
    let first = stage.fetch("firmware");
    assert!(first.ok, "{}", first.text);

    // A machine with an empty cache, later.
    stage.mirror.remove("1.2024-1");
    stage.add_firmware("1.2025-1");
    stage.mirror.publish();
    fs::remove_dir_all(stage.dir.path().join("cache")).unwrap();
    let replaced = stage.fetch("firmware");
    assert!(replaced.ok && replaced.text.contains("left the mirror"), "{}", replaced.text);
    assert_eq!(stage.locked(Part::Firmware).version, "1.2025-1");
    let folder = PathBuf::from(replaced.text.lines().find(|line| line.starts_with('/')).unwrap());
    assert_eq!(fs::read_to_string(folder.join("start.elf")).unwrap(), "start.elf 1.2025-1");

    let again = stage.fetch("firmware");
    assert_eq!(again.text.trim(), text(&folder), "it is there, so nothing is done");

    // Who goes back to the old lock file gets no new firmware under an old name.
    stage.lock_firmware("1.2024-1", &old_digest);
    let back = stage.fetch("firmware");
    assert!(back.text.contains("left the mirror"), "{}", back.text);
}

#[test]
fn a_file_that_is_not_the_locked_one_is_refused_and_the_lock_stays() {
    let stage = Stage::new();
    let package = stage.add_firmware("1.2024-1");
    stage.mirror.publish();
    stage.lock_firmware("1.2024-1", NO_DIGEST);
    let before = stage.lock().load().unwrap();
    for _ in 0..2 {
        let said = stage.fetch("firmware");
        let digest = digest_of(&package).unwrap();
        assert!(!said.ok, "{}", said.text);
        for part in [digest.as_str(), NO_DIGEST, "1.2024-1", "refused-raspi-firmware"] {
            assert!(said.text.contains(part), "{part:?} is not in:\n{}", said.text);
        }
    }
    assert_eq!(stage.lock().load().unwrap(), before);
}

#[test]
fn what_apt_does_not_trust_is_refused_and_the_lock_stays() {
    type Harm = fn(&mut Stage);
    let rows: [(&str, Harm, &str); 3] = [
        (
            "a signature by somebody else",
            |stage| {
                stage.mirror.change_signer();
                stage.mirror.publish();
            },
            "is not signed",
        ),
        (
            "a package that the lists do not describe",
            |stage| {
                let package = stage.mirror.pool().join("raspi-firmware_1.2025-1_all.deb");
                let mut bytes = fs::read(&package).unwrap();
                *bytes.last_mut().unwrap() ^= 1;
                fs::write(package, bytes).unwrap();
            },
            "Hash Sum mismatch",
        ),
        (
            "no version at all",
            |stage| {
                stage.mirror.remove("1.2025-1");
                stage.mirror.publish();
            },
            "No packages found",
        ),
    ];
    for (what, harm, reason) in rows {
        let mut stage = Stage::new();
        stage.add_firmware("1.2025-1");
        stage.mirror.publish();
        // The locked version has left: whatever comes instead would be written to the lock file.
        stage.lock_firmware("1.2024-1", NO_DIGEST);
        let before = stage.lock().load().unwrap();
        harm(&mut stage);
        let said = stage.fetch("firmware");
        assert!(!said.ok && said.text.contains(reason), "{what}: {}", said.text);
        assert_eq!(stage.lock().load().unwrap(), before, "{what}");
    }
}

#[test]
fn another_series_is_no_replacement() {
    let stage = Stage::new();
    stage.mirror.add_source("u-boot", "2025.07", "1", "of another series");
    stage.mirror.publish();
    let file = "u-boot_2025.01.orig.tar.bz2";
    stage.lock_to(Part::UBoot, "u-boot", "2025.01-3", file, NO_DIGEST);
    let before = stage.lock().load().unwrap();
    let said = stage.fetch("tarball");
    assert!(!said.ok && said.text.contains("no version of its series"), "{}", said.text);
    assert_eq!(stage.lock().load().unwrap(), before);
}
