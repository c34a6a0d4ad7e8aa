//! Releases to tell stories with: a good first and second one, and some that are broken in one way
//! each. Built once through the image builder, kept in `target/hil/releases` by a digest of
//! everything that goes in.

use crate::board::Board;
use crate::error::{Error, Result, file};
use crate::paths;
use image_builder::{Binaries, Fault, ImageSpec, Outputs};
use protocol::checks::Check;
use protocol::payload::{Index, Kind};
use protocol::release::CHUNK_SIZE;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Environment variable with a folder of device programs to use in place of building them.
const PROGRAMS: &str = "HOLDFAST_PROGRAMS";
/// Seconds that a release waits which never becomes healthy.
const SHORT_GATE_S: u32 = 20;
/// Size of the file that makes a download long: above half a minute in QEMU.
const LARGE_BYTES: usize = 8 << 20;
/// A cgroup's freezer stops PID 1 wherever it is; no signal could.
const FREEZES_INIT: &str = "F=/sys/fs/cgroup/frozen
/bin/busybox mkdir $F
echo 1 >$F/cgroup.procs
echo 1 >$F/cgroup.freeze";
/// A kernel that panics and was told not to restart: other processors are stopped, nothing is
/// scheduled any more.
const STOPS_KERNEL: &str = "echo 0 >/proc/sys/kernel/panic
echo c >/proc/sysrq-trigger";
/// What decides an image's bytes besides the spec and the programs.
const SOURCES: &[&str] = &[
    "image-builder/src",
    "bootloader-config/src",
    "protocol/src",
    "board-support/boards",
    "board-support/sources",
    "init/services",
    "app-runtime/interfaces",
];

/// A built release.
#[derive(Debug, Clone)]
pub struct Release {
    /// The board that it is for.
    pub board: Board,
    /// Version for people.
    pub version: String,
    /// Sequence.
    pub sequence: u64,
    /// Signed manifest.
    pub manifest: PathBuf,
    /// Payload container.
    pub payload: PathBuf,
    /// Slot image.
    pub slot_image: PathBuf,
    /// SD image, of releases that are flashed.
    pub image: Option<PathBuf>,
    /// The device tree that the board's firmware would pass, when it passes one.
    pub device_tree: Option<PathBuf>,
}

impl Release {
    /// Bytes of its chunks, compressed, that `running` does not have: what a device fetches of it
    /// without a delta.
    pub fn whole_bytes(&self, running: &Self) -> Result<u64> {
        let read = |path: &Path| fs::read(path).map_err(file("read", path));
        let [old, new, payload] =
            [&running.slot_image, &self.slot_image, &self.payload].map(|path| read(path));
        let (old, new, payload) = (old?, new?, payload?);
        let size = CHUNK_SIZE as usize;
        let length = Index::len_for((new.len() / size) as u32).min(payload.len());
        let index = Index::parse(Kind::Whole, &payload[..length]);
        let index = index.map_err(|e| Error::Story(format!("{}: {e}", self.payload.display())))?;
        let present: HashSet<&[u8]> = old.chunks(size).collect();
        let missing = (0_u32..).zip(new.chunks(size)).filter(|(_, c)| !present.contains(c));
        let ranges = missing.filter_map(|(number, _)| index.range(number));
        Ok(ranges.map(|range| range.end - range.start).sum())
    }
}

/// What all releases of a board have in common.
pub struct Releases {
    board: Board,
    keys: PathBuf,
    programs: PathBuf,
    tree: Option<PathBuf>,
    inputs: [u8; 32],
}

/// One of the releases below.
pub type Build = fn(&Releases) -> Result<Release>;

impl Releases {
    /// Every release of the stories, by board.
    pub const ALL: &[(Board, &[Build])] = &[
        (
            Board::Rpi3,
            &[
                Self::first,
                Self::second,
                Self::third,
                |releases| releases.numbered(1),
                Self::never_healthy,
                Self::panics_early,
                Self::does_not_load,
                Self::foreign,
                Self::short_gate,
                Self::init_hangs,
            ],
        ),
        (Board::Rpi4, &[Self::first, Self::second]),
        (Board::Virt, &[Self::first, Self::second, Self::init_hangs, Self::kernel_hangs]),
    ];

    /// The releases of this work tree for the stories' usual board; keys, kernel, U-Boot and
    /// programs are made when missing.
    pub fn get() -> Result<&'static Self> {
        Self::of(Board::Rpi3)
    }

    /// The same for any board.
    pub fn of(board: Board) -> Result<&'static Self> {
        static MADE: Mutex<Vec<&'static Releases>> = Mutex::new(Vec::new());
        let mut made = MADE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(releases) = made.iter().find(|releases| releases.board == board) {
            return Ok(releases);
        }
        let releases = Self::prepare(board, &paths::hil()?.join("keys"))?;
        // One for each board, as long as the process.
        let releases: &'static Self = Box::leak(Box::new(releases));
        made.push(releases);
        Ok(releases)
    }

    /// The same with keys of another folder; made there when missing.
    pub fn prepare(board: Board, keys: &Path) -> Result<Self> {
        let _one = paths::making()?;
        if !keys.join(image_builder::keys::KEY_SET).exists() {
            image_builder::keys::init(keys)?;
        }
        let described = image_builder::board::load(board.id())?;
        let sources = image_builder::sources::obtain(&described)?;
        let tree = board.tree().map(|name| tree(&described, &sources.dtb_dir, name)).transpose()?;
        let given = std::env::var_os(PROGRAMS).map(PathBuf::from);
        let programs = given.map_or(Binaries::Build, Binaries::Prebuilt);
        let programs = image_builder::binaries::obtain(&programs)?;
        let mut digest = Sha256::new();
        for folder in SOURCES {
            add_tree(&mut digest, &paths::work_tree().join(folder))?;
        }
        for (name, _) in image_builder::rootfs::PROGRAMS {
            add_file(&mut digest, &programs.join(name))?;
        }
        add_file(&mut digest, &keys.join(image_builder::keys::KEY_SET))?;
        for part in [&sources.kernel, &sources.u_boot].into_iter().chain(&tree) {
            add_file(&mut digest, part)?;
        }
        Ok(Self {
            board,
            keys: keys.to_path_buf(),
            programs,
            tree,
            inputs: digest.finalize().into(),
        })
    }

    /// Folder of the keys.
    pub fn keys(&self) -> &Path {
        &self.keys
    }

    /// Folder of the device's programs.
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// The release that gateways are flashed with: version 1.0.0, sequence 1.
    pub fn first(&self) -> Result<Release> {
        self.build(|spec| {
            spec.outputs = Outputs::Image;
            Ok(())
        })
    }

    /// The first release, with a gate that does not wait long for a fleet that cannot be reached.
    pub fn short_gate(&self) -> Result<Release> {
        self.build(|spec| {
            spec.version = "1.0.1".into();
            spec.outputs = Outputs::Image;
            spec.health_timeout_s = SHORT_GATE_S;
            Ok(())
        })
    }

    /// A good update: version 2.0.0, sequence 2.
    pub fn second(&self) -> Result<Release> {
        self.build(|spec| {
            number(spec, "2.0.0", 2);
            Ok(())
        })
    }

    /// The same as an SD image, for gateways that begin there.
    pub fn second_image(&self) -> Result<Release> {
        self.build(|spec| {
            number(spec, "2.0.0", 2);
            spec.outputs = Outputs::Image;
            Ok(())
        })
    }

    /// One of any number of good updates that are long to download: 8 MiB that no other has.
    pub fn numbered(&self, which: u64) -> Result<Release> {
        self.build(|spec| {
            let overlay = overlay(&format!("numbered-{which}"), |folder| {
                put(folder, "usr/share/numbered", &noise(which, LARGE_BYTES), 0o644)
            })?;
            number(spec, &format!("4.{which}.0"), 100 + which);
            spec.overlays.push(overlay);
            Ok(())
        })
    }

    /// A good update to the second: version 3.0.0, sequence 3, not below it afterwards.
    pub fn third(&self) -> Result<Release> {
        self.build(|spec| {
            number(spec, "3.0.0", 3);
            spec.floor = 3;
            Ok(())
        })
    }

    /// A service that is never ready, which the release itself declares to be needed.
    pub fn never_healthy(&self) -> Result<Release> {
        let manifest = "name = \"never-ready\"\ncommand = \"/usr/bin/snapctl\"\n\
                        args = [\"version\"]\nready = \"notify\"\n";
        self.build(|spec| {
            let overlay = overlay("never-healthy", |folder| {
                put(folder, "etc/holdfast/services/never-ready.toml", manifest.as_bytes(), 0o644)
            })?;
            number(spec, "2.1.0-never-healthy", 11);
            spec.checks = vec![Check::Service("never-ready".into())];
            spec.health_timeout_s = SHORT_GATE_S;
            spec.overlays.push(overlay);
            Ok(())
        })
    }

    /// PID 1 ends at once, so that the kernel panics before anything of ours could help.
    pub fn panics_early(&self) -> Result<Release> {
        let ends = self.programs.join("snapctl");
        let program = fs::read(&ends).map_err(file("read", &ends))?;
        self.build(|spec| {
            let overlay =
                overlay("panics-early", |folder| put(folder, "sbin/init", &program, 0o755))?;
            number(spec, "2.2.0-panics-early", 12);
            spec.trial_attempts = 1;
            spec.overlays.push(overlay);
            Ok(())
        })
    }

    /// PID 1 hangs: it is frozen in the middle of its work, with the watchdog open.
    pub fn init_hangs(&self) -> Result<Release> {
        self.build(|spec| {
            let overlay = sabotage("init-hangs", FREEZES_INIT)?;
            number(spec, "2.6.0-init-hangs", 16);
            spec.overlays.push(overlay);
            Ok(())
        })
    }

    /// The kernel stops for good: it crashes and does not restart by itself.
    pub fn kernel_hangs(&self) -> Result<Release> {
        self.build(|spec| {
            let overlay = sabotage("kernel-hangs", STOPS_KERNEL)?;
            number(spec, "2.7.0-kernel-hangs", 17);
            spec.trial_attempts = 1;
            spec.overlays.push(overlay);
            Ok(())
        })
    }

    /// A kernel that is not what the FIT says, behind a good signature.
    pub fn does_not_load(&self) -> Result<Release> {
        self.build(|spec| {
            number(spec, "2.3.0-does-not-load", 13);
            spec.fault = Some(Fault::KernelHash);
            Ok(())
        })
    }

    /// A release of the same board, signed with a key that no device trusts.
    pub fn foreign(&self) -> Result<Release> {
        self.build(|spec| {
            let keys = self.foreign_keys()?;
            number(spec, "2.4.0-foreign", 14);
            spec.keys_dir = keys;
            Ok(())
        })
    }

    /// Keys of a thief: our online key, everything else his own, and a key set that says so.
    pub fn foreign_keys(&self) -> Result<PathBuf> {
        use image_builder::keys::{KEY_SET, init, private_file};
        let folder = paths::hil()?.join("foreign-keys");
        let stolen = "fleet.key";
        let current = |path: &Path| fs::read(path.join(stolen)).ok();
        if current(&folder).is_some() && current(&folder) == current(&self.keys) {
            return Ok(folder);
        }
        let _ = fs::remove_dir_all(&folder);
        init(&folder)?;
        fs::copy(self.keys.join(stolen), folder.join(stolen)).map_err(file("copy", stolen))?;
        // The set of the folder does not name the stolen key yet: by file, not by role.
        let key = |role: &str| private_file(&folder.join(format!("{role}.key")));
        let (root, release, fleet, app) =
            (key("root")?, key("release")?, key("fleet")?, key("app")?);
        let [r, l, f, a] = [&root, &release, &fleet, &app].map(protocol::keys::PrivateKey::public);
        let set = protocol::keys::KeySet::simple(1, &r, &l, &f, &a).sign(&[&root]);
        let set = set.map_err(|e| Error::Story(format!("key set of a thief: {e}")))?;
        fs::write(folder.join(KEY_SET), set).map_err(file("write", folder.join(KEY_SET)))?;
        Ok(folder)
    }

    /// Any other release.
    pub fn build(&self, change: impl FnOnce(&mut ImageSpec) -> Result) -> Result<Release> {
        let _one = paths::making()?;
        let mut spec = ImageSpec::new(self.board.id(), "1.0.0", &self.keys);
        spec.binaries = Binaries::Prebuilt(self.programs.clone());
        spec.outputs = Outputs::Release;
        change(&mut spec)?;
        let folder = paths::hil()?.join("releases").join(self.name(&spec)?);
        let done = folder.join("complete");
        if !done.exists() {
            let _ = fs::remove_dir_all(&folder);
            image_builder::build(&spec, &folder)?;
            fs::write(&done, b"").map_err(file("write", &done))?;
        }
        let stem = format!("holdfast-{}-{}", self.board.id(), spec.version);
        let name = |ending| folder.join(format!("{stem}.{ending}"));
        Ok(Release {
            board: self.board,
            manifest: name("manifest"),
            payload: name("payload"),
            slot_image: name("slot"),
            image: (spec.outputs != Outputs::Release).then(|| name("img")),
            device_tree: self.tree.clone(),
            version: spec.version,
            sequence: spec.sequence,
        })
    }

    fn name(&self, spec: &ImageSpec) -> Result<String> {
        let mut digest = Sha256::new();
        digest.update(self.inputs);
        digest.update(format!("{spec:?}"));
        for overlay in &spec.overlays {
            add_tree(&mut digest, overlay)?;
        }
        let hex: String = digest.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect();
        Ok(format!("{}-{hex}", spec.version))
    }
}

/// A device tree as the boot partition has it, which is what the firmware passes.
fn tree(board: &image_builder::board::Board, folder: &Path, name: &str) -> Result<PathBuf> {
    let bytes = image_builder::trees::read(board, folder, name)?;
    let path = paths::hil()?.join(name);
    // Another story may be reading it.
    let part = path.with_extension("part");
    fs::write(&part, bytes).map_err(file("write", &part))?;
    fs::rename(&part, &path).map_err(file("rename", &part))?;
    Ok(path)
}

pub(crate) fn number(spec: &mut ImageSpec, version: &str, sequence: u64) {
    spec.version = version.into();
    spec.sequence = sequence;
}

/// An overlay with a service that runs a shell script as root, without confinement. The health gate
/// waits for it in vain, so that a trial is not confirmed before the script has done its work.
fn sabotage(name: &str, script: &str) -> Result<PathBuf> {
    scripted(name, "ready = \"notify\"\nrequired = true\n", script)
}

/// An overlay with a service that runs a shell script once, as root, without confinement.
pub(crate) fn service(name: &str, script: &str) -> Result<PathBuf> {
    scripted(name, "restart = \"never\"\n", script)
}

fn scripted(name: &str, how: &str, script: &str) -> Result<PathBuf> {
    let manifest = format!("name = \"scripted\"\ncommand = \"/sbin/scripted\"\n{how}");
    let script = format!("#!/bin/busybox sh\n{script}\n");
    let busybox = busybox()?;
    let program = fs::read(&busybox).map_err(file("read", &busybox))?;
    overlay(name, |folder| {
        put(folder, "etc/holdfast/services/scripted.toml", manifest.as_bytes(), 0o644)?;
        put(folder, "sbin/scripted", script.as_bytes(), 0o755)?;
        put(folder, "bin/busybox", &program, 0o755)
    })
}

/// Debian's static busybox for the device's processor; in no image but those of tests and benches.
pub(crate) fn busybox() -> Result<PathBuf> {
    Ok(image_builder::sources::Cache::open()?.busybox()?)
}

/// An empty folder that `fill` puts files into.
fn overlay(name: &str, fill: impl FnOnce(&Path) -> Result) -> Result<PathBuf> {
    let folder = paths::hil()?.join("overlays").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(file("make", &folder))?;
    fill(&folder)?;
    Ok(folder)
}

/// Writes a file below a folder, and the folders on the way to it.
pub(crate) fn put(folder: &Path, name: &str, content: &[u8], mode: u32) -> Result {
    let path = folder.join(name);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(file("make", parent))?;
    }
    fs::write(&path, content).map_err(file("write", &path))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(file("chmod", path))
}

/// Bytes that do not compress, the same every time for the same seed.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut noise = vec![0; bytes];
    random.fill(&mut noise);
    noise
}

/// Names and contents of all files below a folder, in the order of their names.
fn add_tree(digest: &mut Sha256, folder: &Path) -> Result {
    let entries = folder.read_dir().map_err(file("list", folder))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        digest.update(path.to_string_lossy().as_bytes());
        if path.is_dir() {
            add_tree(digest, &path)?;
        } else {
            add_file(digest, &path)?;
        }
    }
    Ok(())
}

fn add_file(digest: &mut Sha256, path: &Path) -> Result {
    let content = fs::read(path).map_err(file("read", path))?;
    digest.update((content.len() as u64).to_le_bytes());
    digest.update(&content);
    Ok(())
}
