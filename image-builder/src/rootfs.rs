//! The root tree and its EROFS image.
//!
//! The tree is read-only on the device; everything in it belongs to root, folders and programs are
//! 0755, files 0644.

use crate::{Error, ImageSpec, Result, board::Board, sources::program::COPYRIGHT, tool};
use protocol::release::BuildInfo;
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

/// Salt of the hash tree. It is the same in all releases, so that an unchanged block keeps its
/// digest and a delta stays small; the salt's purpose (two systems with different trees) has no use
/// where every image is public.
pub const ROOT_SALT: [u8; 32] = *b"holdfast root file system, v1\0\0\0";
/// UUID of the EROFS, the same in all releases for the same reason.
const EROFS_UUID: &str = "686f6c64-6661-7374-0000-00000000e70f";
/// Product id.
pub const PRODUCT: &str = "holdfast";

/// The device's programs: name, place in the root tree.
pub const PROGRAMS: &[(&str, &str)] = &[
    ("init", "sbin/init"),
    ("netd", "usr/bin/netd"),
    ("timed", "usr/bin/timed"),
    ("updaterd", "usr/bin/updaterd"),
    ("appd", "usr/bin/appd"),
    ("snapctl", "usr/bin/snapctl"),
];

/// Places of what init needs to save the data partition, as `init::data` knows them: the checker,
/// the template of a new file system; and the checker's licences.
const E2FSCK: &str = "sbin/e2fsck";
const DATA_TEMPLATE: &str = "usr/share/holdfast/data.template";
const E2FSCK_LICENCES: &str = "usr/share/doc/e2fsck/copyright";

/// Folders, among them the mount points.
const FOLDERS: &[&str] = &[
    "sbin",
    "usr/bin",
    "usr/share/holdfast",
    "usr/share/doc/e2fsck",
    "etc/holdfast/services",
    "etc/holdfast/interfaces",
    "proc",
    "sys",
    "dev",
    "run",
    "tmp",
    "boot",
    "data",
];

/// Files with fixed content.
const FILES: &[(&str, &str)] = &[
    (
        "etc/passwd",
        "root:x:0:0:root:/:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n",
    ),
    ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    ("etc/nsswitch.conf", "hosts: files dns\n"),
    // a board without a clock of its own checks the card before it knows the time; the file
    // system's times are then of the future, which is no error
    ("etc/e2fsck.conf", "[options]\nbroken_system_clock = true\n"),
];

/// What the root tree is made of.
#[derive(Clone, Copy)]
pub struct Root<'a> {
    /// What to build.
    pub spec: &'a ImageSpec,
    /// For which board.
    pub board: &'a Board,
    /// Unix seconds.
    pub build_time: u64,
    /// Folder of the device's programs.
    pub binaries: &'a Path,
    /// The checker of the data partition, its licences beside it.
    pub e2fsck: &'a Path,
    /// The data partition's file system when new.
    pub data_template: &'a [u8],
}

/// Makes the root tree in the empty folder `tree`.
pub fn populate(tree: &Path, root: &Root<'_>) -> Result<()> {
    let Root { spec, board, build_time, binaries, e2fsck, data_template } = *root;
    for folder in FOLDERS {
        make_folder(&tree.join(folder))?;
    }
    for (path, text) in FILES {
        write(&tree.join(path), text.as_bytes())?;
    }
    for (name, place) in PROGRAMS {
        copy(&binaries.join(name), &tree.join(place), 0o755)?;
    }
    copy(e2fsck, &tree.join(E2FSCK), 0o755)?;
    copy(&e2fsck.with_file_name(COPYRIGHT), &tree.join(E2FSCK_LICENCES), 0o644)?;
    write(&tree.join(DATA_TEMPLATE), data_template)?;
    let etc = tree.join("etc");
    let link = etc.join("resolv.conf");
    symlink("/run/holdfast/resolv.conf", &link).map_err(Error::file("link", link))?;
    write(&etc.join("os-release"), os_release(spec).as_bytes())?;
    let holdfast = etc.join("holdfast");
    write(&holdfast.join("release.json"), &release_json(spec, board, build_time))?;
    copy(&spec.keys_dir.join(crate::keys::KEY_SET), &holdfast.join("keys.cbor"), 0o644)?;
    write(&holdfast.join("board.toml"), board.text.as_bytes())?;
    let root = crate::board::workspace_root();
    copy_toml(&root.join("init/services"), &holdfast.join("services"))?;
    copy_toml(&root.join("app-runtime/interfaces"), &holdfast.join("interfaces"))?;
    for overlay in &spec.overlays {
        if !overlay.is_dir() {
            return Err(Error::input(format!("overlay {} is not a folder", overlay.display())));
        }
        copy_tree(overlay, tree)?;
    }
    Ok(())
}

fn os_release(spec: &ImageSpec) -> String {
    let version = &spec.version;
    format!(
        "NAME=Holdfast\nID={PRODUCT}\nVERSION_ID={version}\nPRETTY_NAME=\"Holdfast {version}\"\n\
         VARIANT_ID={}\n",
        spec.board
    )
}

fn release_json(spec: &ImageSpec, board: &Board, build_time: u64) -> Vec<u8> {
    let info = BuildInfo {
        product: PRODUCT.into(),
        board: board.id.clone(),
        version: spec.version.clone(),
        sequence: spec.sequence,
        floor: spec.floor,
        build_time,
        health_timeout_s: spec.health_timeout_s,
        fleet_required: spec.fleet_required,
        checks: spec.checks.clone(),
    };
    let mut json = serde_json::to_vec_pretty(&info).expect("plain values encode");
    json.push(b'\n');
    json
}

fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(Error::file("create", path))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(Error::file("write", path))
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    fs::copy(from, to).map_err(Error::file("copy", from))?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode)).map_err(Error::file("chmod", to))
}

fn copy_toml(from: &Path, to: &Path) -> Result<()> {
    for path in entries(from)? {
        if path.extension().is_some_and(|extension| extension == "toml") {
            copy(&path, &to.join(path.file_name().expect("an entry has a name")), 0o644)?;
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let list = fs::read_dir(folder).map_err(Error::file("list", folder))?;
    let mut paths = list
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(Error::file("list", folder))?;
    paths.sort();
    Ok(paths)
}

/// Copies a tree over another: files and links replace what is there.
fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    for path in entries(from)? {
        let target = to.join(path.file_name().expect("an entry has a name"));
        let meta = path.symlink_metadata().map_err(Error::file("read", &path))?;
        if meta.is_dir() {
            make_folder(&target)?;
            copy_tree(&path, &target)?;
            continue;
        }
        if target.symlink_metadata().is_ok() {
            fs::remove_file(&target).map_err(Error::file("replace", &target))?;
        }
        if meta.is_symlink() {
            let to = fs::read_link(&path).map_err(Error::file("read", &path))?;
            symlink(to, &target).map_err(Error::file("link", &target))?;
        } else if meta.is_file() {
            let mode = if meta.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
            copy(&path, &target, mode)?;
        } else {
            let text = format!("overlay: {} is neither file, folder nor link", path.display());
            return Err(Error::Input(text));
        }
    }
    Ok(())
}

/// Sets every folder to 0755 and every file to 0755 or 0644, whatever the umask was.
fn normalise(folder: &Path) -> Result<()> {
    let chmod = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .map_err(Error::file("chmod", path))
    };
    chmod(folder, 0o755)?;
    for path in entries(folder)? {
        let meta = path.symlink_metadata().map_err(Error::file("read", &path))?;
        if meta.is_dir() {
            normalise(&path)?;
        } else if meta.is_file() {
            chmod(&path, if meta.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 })?;
        }
    }
    Ok(())
}

/// Makes the EROFS image of a tree, uncompressed, in whole blocks.
pub fn erofs(tree: &Path, image: &Path, time: u64) -> Result<Vec<u8>> {
    normalise(tree)?;
    let mut command = tool::command("mkfs.erofs")?;
    command.arg(format!("-T{time}")).arg(format!("-U{EROFS_UUID}"));
    command.args(["-x-1", "--all-root", "--quiet"]).arg(image).arg(tree);
    tool::run(&mut command)?;
    let mut bytes = fs::read(image).map_err(Error::file("read", image))?;
    bytes.resize(bytes.len().next_multiple_of(crate::verity::BLOCK), 0);
    Ok(bytes)
}
