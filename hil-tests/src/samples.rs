//! The sample apps of the work tree, packed for the stories: the one that greets also unsigned, cut
//! short, and as an image of containers; the hostile one with what no folder has.

use crate::error::{Result, ensure, file};
use crate::releases::Releases;
use crate::{child, paths};
use image_builder::binaries::TARGET;
use protocol::keys::PrivateKey;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// The sample app's package, program and snap.
pub const APP: &str = "hello";

/// Unix seconds of all files of a packed snap: any constant serves.
pub(crate) const TIME: u64 = 1_700_000_000;
/// What is left of the truncated snap: enough for its header, not for its content.
const TORN_AT: usize = 8192;

/// The sample app, signed with the `app` key of the releases' key set.
pub fn signed(releases: &Releases) -> Result<Vec<u8>> {
    let key = image_builder::keys::private(releases.keys(), "app")?;
    packed("signed.snap", Some(&key))
}

/// The sample app without a signature.
pub fn unsigned(_releases: &Releases) -> Result<Vec<u8>> {
    packed("unsigned.snap", None)
}

/// The signed sample app without its end.
pub fn truncated(releases: &Releases) -> Result<Vec<u8>> {
    let mut bytes = signed(releases)?;
    bytes.truncate(TORN_AT);
    Ok(bytes)
}

/// An OCI image by umoci, as one tar file, whose program is the sample app's that looks around.
pub fn image() -> Result<Vec<u8>> {
    let _one = paths::making()?;
    let program = folder(APP)?.join("bin").join(APP);
    let place = paths::hil()?.join("hello-image");
    let _ = fs::remove_dir_all(&place);
    fs::create_dir(&place).map_err(file("make", &place))?;
    let run = |program: &str, words: &[&str]| {
        child::run(Command::new(program).args(words).current_dir(&place))
    };
    run("umoci", &["init", "--layout", "layout"])?;
    run("umoci", &["new", "--image", "layout:1.0"])?;
    run("umoci", &["unpack", "--image", "layout:1.0", "bundle"])?;
    let programs = place.join("bundle/rootfs/bin");
    fs::create_dir_all(&programs).map_err(file("make", &programs))?;
    fs::copy(&program, programs.join(APP)).map_err(file("copy", program))?;
    run("umoci", &["repack", "--image", "layout:1.0", "bundle"])?;
    let config = ["config", "--image", "layout:1.0", "--architecture", "arm64"];
    let words = ["--config.entrypoint", APP, "--config.cmd", "probe", "--config.user", "1000"];
    run("umoci", &[config.as_slice(), &words].concat())?;
    run("tar", &["-C", "layout", "-cf", "image.tar", "."])?;
    let tar = place.join("image.tar");
    fs::read(&tar).map_err(file("read", tar))
}

/// What the hostile app has in its squashfs: device nodes, links that lead out, a program that is
/// root's.
const HOSTILE: [&str; 6] = [
    "nodes d 755 0 0",
    "nodes/mem c 666 0 0 1 1",
    "nodes/card b 666 0 0 179 0",
    "out s 777 0 0 /data/system",
    "dots s 777 0 0 ../../../../data",
    "bin/root m 4755 0 0",
];

/// Another sample app, signed.
pub fn other(releases: &Releases, app: &str) -> Result<Vec<u8>> {
    let key = image_builder::keys::private(releases.keys(), "app")?;
    let _one = paths::making()?;
    let folder = folder(app)?;
    let pseudo: &[&str] = if app == "hostile" { &HOSTILE } else { &[] };
    if app == "hostile" {
        let (from, to) = (folder.join("bin/hostile"), folder.join("bin/root"));
        fs::copy(&from, to).map_err(file("copy", from))?;
    }
    let snap = paths::hil()?.join(format!("{app}.snap"));
    image_builder::app::pack_with(&folder, Some(&key), &snap, TIME, pseudo)?;
    fs::read(&snap).map_err(file("read", snap))
}

fn packed(name: &str, key: Option<&PrivateKey>) -> Result<Vec<u8>> {
    let _one = paths::making()?;
    let snap = paths::hil()?.join(name);
    image_builder::app::pack(&folder(APP)?, key, &snap, TIME)?;
    fs::read(&snap).map_err(file("read", snap))
}

/// The program of a package, built for the device.
pub fn program(package: &str) -> Result<PathBuf> {
    let mut cargo = image_builder::binaries::cargo()?;
    cargo.args(["build", "--quiet", "--profile", "device", "--target", TARGET]);
    child::run(cargo.args(["--package", package]))?;
    Ok(paths::target().join(TARGET).join("device").join(package))
}

/// Folder of a sample app: its `snap` folder and its program, built for the device.
fn folder(app: &str) -> Result<PathBuf> {
    static MADE: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(folder) = made.get(app) {
        return Ok(folder.clone());
    }
    let built = program(app)?;
    let folder = paths::hil()?.join(format!("{app}-snap"));
    let _ = fs::remove_dir_all(&folder);
    let source = paths::work_tree().join("apps").join(app).join("snap");
    child::run(Command::new("cp").arg("-r").arg(source).arg(&folder))?;
    let programs = folder.join("bin");
    fs::create_dir_all(&programs).map_err(file("make", &programs))?;
    fs::copy(&built, programs.join(app)).map_err(file("copy", built))?;
    made.insert(app.into(), folder.clone());
    Ok(folder)
}

/// The app's own report of what it could see holds nothing of the host.
pub fn saw_nothing_of_the_host(log: &str) -> Result {
    saw_only(log, &[])
}

/// It holds nothing of the host but this.
pub fn saw_only(log: &str, granted: &[&str]) -> Result {
    ensure(log.contains("probe:"), || format!("the app did not report: {log}"))?;
    let bad: Vec<&str> = log
        .lines()
        .filter(|l| l.contains("VISIBLE") || l.contains("ALLOWED"))
        .filter(|l| !granted.iter().any(|name| l.contains(&format!("probe: {name} "))))
        .collect();
    ensure(bad.is_empty(), || format!("the app got through: {bad:?}"))
}
