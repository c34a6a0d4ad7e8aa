//! The order of the steps from a spec to the files.

use crate::{
    BuiltImage, Error, ImageSpec, Outputs, Result, binaries,
    bmap::Bmap,
    board::{self, Board, workspace_root},
    data::DataVolume,
    disk::{self, Disk},
    fat::Files,
    keys, provision, release,
    report::{self, Report},
    rootfs::{self, Root},
    slot::{self, Slot, SlotParts},
    sources::{self, Sources},
    tool, trees,
};
use protocol::{checks::Check, keys::PrivateKey, release::ReleaseManifest};
use std::{fs, path::Path};

/// Compression of the SD image.
const IMAGE_LEVEL: i32 = 19;

/// Builds what the spec says into `out_dir`; the files are named `holdfast-BOARD-VERSION.…`.
pub fn build(spec: &ImageSpec, out_dir: &Path) -> Result<BuiltImage> {
    check(spec)?;
    let board = board::load(&spec.board)?;
    let build_time = spec.build_time.map_or_else(default_build_time, Ok)?;
    let signing_key = keys::private(&spec.keys_dir, "release")?;
    let threshold = keys::key_set(&spec.keys_dir)?.roles.release.threshold;
    let device_toml = provision::text(spec.device_toml.as_deref())?;
    let sources = sources::obtain(&board)?;
    let binaries = binaries::obtain(&spec.binaries)?;
    fs::create_dir_all(out_dir).map_err(Error::file("create", out_dir))?;
    let file =
        |suffix: &str| out_dir.join(format!("holdfast-{}-{}.{suffix}", spec.board, spec.version));

    let data = DataVolume::make(out_dir, build_time)?;
    let data_template = data.template()?;
    let root = Root {
        spec,
        board: &board,
        build_time,
        binaries: &binaries,
        e2fsck: &sources.e2fsck,
        data_template: &data_template,
    };
    let trees = trees::all(&board, &sources.dtb_dir)?;
    let (slot, kernel_size) = build_slot(&root, &sources, &trees)?;
    let (manifest, container) = release::make(spec, &slot.bytes, build_time)?;
    let mut built = BuiltImage {
        version: spec.version.clone(),
        image: None,
        compressed: None,
        bmap: None,
        imager: None,
        manifest: file("manifest"),
        payload: file("payload"),
        slot_image: file("slot"),
        report: Report {
            kernel: kernel_size,
            root: slot.root_size,
            slot_image: slot.bytes.len() as u64,
            payload: container.len() as u64,
            programs: program_sizes(&binaries, &sources)?,
            ..Report::default()
        },
        binaries,
    };
    write(&built.manifest, &sign(&manifest, &signing_key, threshold)?)?;
    write(&built.payload, &container)?;
    write(&built.slot_image, &slot.bytes)?;
    if spec.outputs != Outputs::Release {
        let image = file("img");
        let boot = boot_files(&board, &sources, &trees, device_toml)?;
        let disk = Disk { boot: &boot, slot: &slot.bytes, data: &data, time: build_time };
        let extents = disk::write(&image, &disk)?;
        if spec.outputs == Outputs::All {
            let map = Bmap::of(&image, &extents)?;
            built.report.mapped = Some(map.mapped_blocks() * disk::BLOCK);
            write(&file("bmap"), map.encode().as_bytes())?;
            built.bmap = Some(file("bmap"));
            let compressed = compress(&image, &file("img.zst"))?;
            built.report.compressed = Some(compressed);
            built.compressed = Some(file("img.zst"));
            let json = report::imager_json(spec, &board, &image, &file("img.zst"), build_time)?;
            write(&file("imager.json"), json.as_bytes())?;
            built.imager = Some(file("imager.json"));
        }
        built.image = Some(image);
    }
    Ok(built)
}

/// Where one signature is not enough, the others are added by `holdfast release sign --add`.
fn sign(manifest: &ReleaseManifest, key: &PrivateKey, threshold: u8) -> Result<Vec<u8>> {
    match threshold {
        1 => Ok(manifest.sign(&[key])?),
        _ => release::partially(manifest, &[key]),
    }
}

/// What can be seen to be wrong before anything is built.
fn check(spec: &ImageSpec) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-+~".contains(c);
    if spec.version.is_empty() || !spec.version.chars().all(plain) {
        let text = format!("version {:?}: letters, digits and .-+~ are allowed", spec.version);
        return Err(Error::Input(text));
    }
    if spec.sequence == 0 || spec.floor > spec.sequence {
        let (sequence, floor) = (spec.sequence, spec.floor);
        return Err(Error::input(format!(
            "sequence {sequence}, floor {floor}: it begins at 1, and the floor is not above it"
        )));
    }
    protocol::checks::validate(&spec.checks).map_err(Error::Input)?;
    if let Some(Check::Fleet(_)) =
        spec.checks.iter().find(|c| matches!(c, Check::Fleet(_)) && !spec.fleet_required)
    {
        return Err(Error::input("a check of the fleet, and healthy without the fleet"));
    }
    // What U-Boot's shell or the kernel would read as more than a part of an argument.
    if let Some(bad) =
        spec.cmdline_extra.chars().find(|c| !matches!(c, ' '..='~') || "\"'\\$;".contains(*c))
    {
        return Err(Error::input(format!(
            "kernel command line: the character {bad:?} is not allowed"
        )));
    }
    if let Some(overlay) = spec.overlays.iter().find(|overlay| !overlay.is_dir()) {
        return Err(Error::input(format!("overlay {} is not a folder", overlay.display())));
    }
    Ok(())
}

fn build_slot(root: &Root<'_>, sources: &Sources, trees: &Files) -> Result<(Slot, u64)> {
    let Root { spec, board, build_time, .. } = *root;
    let work = tempfile::tempdir().map_err(Error::file("create", std::env::temp_dir()))?;
    let tree = work.path().join("root");
    fs::create_dir(&tree).map_err(Error::file("create", &tree))?;
    rootfs::populate(&tree, root)?;
    let erofs = rootfs::erofs(&tree, &work.path().join("root.erofs"), build_time)?;
    let kernel = read(&sources.kernel)?;
    let slot = slot::build(SlotParts {
        board: &board.id,
        watchdog: board.watchdog.as_deref(),
        version: &spec.version,
        time: build_time,
        kernel: &kernel,
        kernel_load: board.image.u_boot.load_addresses().kernel as u32,
        trees,
        root: erofs,
        cmdline_extra: &spec.cmdline_extra,
        fault: spec.fault,
    })?;
    Ok((slot, kernel.len() as u64))
}

/// Files of the boot partition.
fn boot_files(
    board: &Board,
    sources: &Sources,
    trees: &Files,
    device_toml: String,
) -> Result<Files> {
    let mut files = Files::new();
    if let Some(firmware) = &sources.firmware_dir {
        for name in &board.image.firmware {
            files.push((name.clone(), read(&firmware.join(name))?));
        }
    }
    // U-Boot on a Pi takes its own device tree from the firmware, which finds it here.
    files.extend_from_slice(trees);
    files.push(("u-boot.bin".into(), read(&sources.u_boot)?));
    if !board.image.config_txt.is_empty() {
        let text = board.image.config_txt.join("\n") + "\n";
        files.push(("config.txt".into(), text.into_bytes()));
    }
    files.push((provision::FILE.into(), device_toml.into_bytes()));
    Ok(files)
}

fn program_sizes(folder: &Path, sources: &Sources) -> Result<Vec<(String, u64)>> {
    let size = |name: &str, path: &Path| {
        let meta = fs::metadata(path).map_err(Error::file("read", path))?;
        Ok((name.to_string(), meta.len()))
    };
    let ours = rootfs::PROGRAMS.iter().map(|(name, _)| size(name, &folder.join(name)));
    ours.chain([size("e2fsck", &sources.e2fsck)]).collect()
}

fn compress(image: &Path, to: &Path) -> Result<u64> {
    let bytes =
        zstd::encode_all(&read(image)?[..], IMAGE_LEVEL).map_err(Error::file("compress", image))?;
    write(to, &bytes)?;
    Ok(bytes.len() as u64)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(Error::file("read", path))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(Error::file("write", path))
}

/// `SOURCE_DATE_EPOCH` when it is set, else the time of the last commit of the sources.
pub fn default_build_time() -> Result<u64> {
    let given = std::env::var("SOURCE_DATE_EPOCH").ok();
    let text = match given {
        Some(text) => text,
        None => {
            let mut command = tool::command("git")?;
            command.arg("-C").arg(workspace_root()).args(["log", "-1", "--format=%ct"]);
            tool::run(&mut command)?
        }
    };
    text.trim().parse().map_err(|_| Error::input(format!("build time {text:?} is not a number")))
}
