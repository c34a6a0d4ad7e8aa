//! A built image, judged by programs that are not ours.

mod support;

use bootloader_config::layout;
use image_builder::{BuiltImage, Fault, ImageSpec, Outputs, build};
use protocol::release::BuildInfo;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};
use support::{TIME, accepted, cut, holdfast, spec, text, tool};
use tempfile::TempDir;

/// One image of rpi3 for all tests of this file.
struct Sample {
    dir: TempDir,
    spec: ImageSpec,
    built: BuiltImage,
}

static SAMPLE: LazyLock<Sample> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let spec = spec("rpi3", dir.path());
    let built = build(&spec, &dir.path().join("out")).unwrap();
    Sample { dir, spec, built }
});

impl Sample {
    fn image(&self) -> &Path {
        self.built.image.as_deref().unwrap()
    }

    /// A partition in a file of its own.
    fn partition(&self, partition: layout::Partition, to: &Path) -> PathBuf {
        cut(self.image(), partition.offset, partition.size, &to.join(partition.name))
    }

    /// The slot's FIT, taken out by mtools.
    fn fit(&self, slot: &Path, to: &Path) -> PathBuf {
        let volume = cut(slot, 0, layout::SLOT_FAT_SIZE, &to.join("slot.fat"));
        accepted("fsck.fat", &["-n", text(&volume)]);
        let fit = to.join("boot.fit");
        accepted("mcopy", &["-n", "-o", "-i", text(&volume), "::boot.fit", text(&fit)]);
        fit
    }
}

/// The words of the verity target in the FIT's command line: blocks, root digest, salt.
fn verity_table(fit: &Path) -> (u64, String, String) {
    let listing = accepted("dumpimage", &["-l", text(fit)]);
    let position = listing.lines().find(|line| line.trim().ends_with("(cmdline)")).unwrap();
    let position = position.split_whitespace().nth(1).unwrap();
    let script = fit.with_extension("cmdline");
    accepted("dumpimage", &["-T", "flat_dt", "-p", position, "-o", text(&script), text(fit)]);
    let script = fs::read_to_string(script).unwrap();
    let words: Vec<&str> = script.split(' ').collect();
    let at = words.iter().position(|word| *word == "sha256").unwrap();
    (words[at - 1].parse().unwrap(), words[at + 1].into(), words[at + 2].into())
}

/// `veritysetup verify` over the root file system and hash tree of a slot image.
fn veritysetup(slot: &Path, fit: &Path, to: &Path) -> support::Said {
    let (blocks, root, salt) = verity_table(fit);
    let all = cut(slot, layout::SLOT_ROOT_OFFSET, u64::MAX / 2, &to.join("root"));
    let options = [
        "--no-superblock".to_string(),
        "--data-block-size=4096".into(),
        "--hash-block-size=4096".into(),
        format!("--salt={salt}"),
        format!("--data-blocks={blocks}"),
        format!("--hash-offset={}", blocks * layout::VERITY_BLOCK),
    ];
    let mut arguments = vec!["verify"];
    arguments.extend(options.iter().map(String::as_str));
    arguments.extend([text(&all), text(&all), &root]);
    tool("veritysetup", &arguments)
}

#[test]
fn sfdisk_accepts_the_partition_table() {
    let image = text(SAMPLE.image());
    accepted("sfdisk", &["--verify", image]);
    let listing = accepted("sfdisk", &["--dump", image]);
    assert!(listing.contains("label-id: 0x484f4c44"), "{listing}");
    for partition in layout::PARTITIONS {
        let start = partition.offset / layout::SECTOR_SIZE;
        let size = partition.size / layout::SECTOR_SIZE;
        let kind = partition.kind;
        let line = format!("start={start:>12}, size={size:>12}, type={kind:x}");
        assert!(listing.contains(&line), "{line}\n{listing}");
    }
}

#[test]
fn the_boot_partition_is_a_clean_fat_with_what_the_pi_firmware_wants() {
    let dir = tempfile::tempdir().unwrap();
    let volume = SAMPLE.partition(layout::BOOT, dir.path());
    accepted("fsck.fat", &["-n", text(&volume)]);
    let listing = accepted("mdir", &["-b", "-i", text(&volume), "::"]);
    for name in ["bootcode.bin", "start_cd.elf", "fixup_cd.dat", "u-boot.bin", "config.txt"] {
        assert!(listing.contains(name), "{name} is missing in\n{listing}");
    }
    assert!(listing.contains("bcm2837-rpi-3-b.dtb"), "{listing}");
    let config = accepted("mtype", &["-i", text(&volume), "::config.txt"]);
    for line in ["arm_64bit=1", "kernel=u-boot.bin", "enable_uart=1"] {
        assert!(config.lines().any(|found| found == line), "{line} is missing in\n{config}");
    }
    let device = accepted("mtype", &["-i", text(&volume), "::device.toml"]);
    let device: protocol::device::DeviceConfig = toml::from_str(&device).unwrap();
    assert_eq!(device, protocol::device::DeviceConfig::default());
}

#[test]
fn the_data_partition_is_a_clean_ext4_that_can_grow() {
    let dir = tempfile::tempdir().unwrap();
    let volume = SAMPLE.partition(layout::DATA, dir.path());
    accepted("e2fsck", &["-f", "-n", text(&volume)]);
    let facts = accepted("dumpe2fs", &["-h", text(&volume)]);
    for fact in ["Filesystem volume name:   data", "resize_inode", "64bit", "metadata_csum"] {
        assert!(facts.contains(fact), "{fact} is missing in\n{facts}");
    }
    // Growing off-line uses the same structures that the kernel uses on-line.
    fs::File::options().write(true).open(&volume).unwrap().set_len(8 << 30).unwrap();
    accepted("resize2fs", &[text(&volume)]);
    accepted("e2fsck", &["-f", "-n", text(&volume)]);
}

#[test]
fn the_template_that_devices_carry_is_the_data_partition_of_a_new_card() {
    let dir = tempfile::tempdir().unwrap();
    let slot = &SAMPLE.built.slot_image;
    let root = cut(slot, layout::SLOT_ROOT_OFFSET, 1 << 30, &dir.path().join("root"));
    let tree = dir.path().join("tree");
    accepted("fsck.erofs", &[&format!("--extract={}", text(&tree)), text(&root)]);
    let template = fs::read(tree.join("usr/share/holdfast/data.template")).unwrap();
    assert!(template.len() < 256 << 10, "{} bytes", template.len());
    // what lay there before shows where the template writes nothing
    let mut volume = vec![0xa5; layout::DATA.size as usize];
    for piece in protocol::template::decode(&template).unwrap() {
        let at = piece.first as usize * protocol::template::BLOCK;
        let place = &mut volume[at..][..piece.count as usize * protocol::template::BLOCK];
        match piece.bytes {
            Some(bytes) => place.copy_from_slice(bytes),
            None => place.fill(0),
        }
    }
    let path = dir.path().join("volume");
    fs::write(&path, volume).unwrap();
    accepted("e2fsck", &["-f", "-n", text(&path)]);
    let new = SAMPLE.partition(layout::DATA, dir.path());
    let facts = [&path, &new].map(|path| accepted("dumpe2fs", &[text(path)]));
    assert_eq!(facts[0], facts[1]);
}

#[test]
fn the_fit_has_kernel_trees_and_command_line_with_their_digests() {
    let dir = tempfile::tempdir().unwrap();
    let fit = SAMPLE.fit(&SAMPLE.built.slot_image, dir.path());
    let listing = accepted("dumpimage", &["-l", text(&fit)]);
    let board = image_builder::board::load("rpi3").unwrap();
    for tree in &board.image.dtbs {
        assert!(listing.contains(&format!("({tree})")), "no configuration {tree}\n{listing}");
    }
    assert_eq!(listing.matches("Hash algo:    sha256").count(), board.image.dtbs.len() + 2);
    assert!(listing.contains("Load Address: 0x00200000"), "{listing}");
    let kernel = dir.path().join("kernel");
    accepted("dumpimage", &["-T", "flat_dt", "-p", "0", "-o", text(&kernel), text(&fit)]);
    let source = image_builder::sources::obtain(&board).unwrap().kernel;
    assert!(fs::read(&kernel).unwrap() == fs::read(source).unwrap(), "another kernel");
    assert!(listing.contains(&sha256sum(&kernel)), "the digest is not the kernel's");
}

fn sha256sum(path: &Path) -> String {
    accepted("sha256sum", &[text(path)])[..64].to_string()
}

#[test]
fn veritysetup_and_fsck_erofs_accept_the_root_file_system() {
    let dir = tempfile::tempdir().unwrap();
    let slot = &SAMPLE.built.slot_image;
    let fit = SAMPLE.fit(slot, dir.path());
    let said = veritysetup(slot, &fit, dir.path());
    assert!(said.ok, "{}", said.text);
    let tree = dir.path().join("tree");
    let extract = format!("--extract={}", text(&tree));
    accepted("fsck.erofs", &[&extract, text(&dir.path().join("root"))]);
    let info = fs::read(tree.join("etc/holdfast/release.json")).unwrap();
    let info: BuildInfo = serde_json::from_slice(&info).unwrap();
    assert_eq!((info.board.as_str(), info.version.as_str()), ("rpi3", "1.2.3"));
    assert_eq!((info.sequence, info.floor, info.build_time), (1, 1, TIME));
    for folder in ["proc", "sys", "dev", "run", "tmp", "boot", "data"] {
        assert!(tree.join(folder).is_dir(), "no mount point {folder}");
    }
    for (name, place) in image_builder::rootfs::PROGRAMS {
        let text = fs::read_to_string(tree.join(place)).unwrap();
        assert!(text.starts_with(&format!("placeholder for {name}\n")));
    }
    let program = fs::read(tree.join("sbin/e2fsck")).unwrap();
    assert!(program.starts_with(b"\x7fELF") && program[18] == 183, "no program for AArch64");
    let licences = fs::read_to_string(tree.join("usr/share/doc/e2fsck/copyright")).unwrap();
    assert!(licences.contains("GNU General Public License"), "{licences}");
    let keys = fs::read(tree.join("etc/holdfast/keys.cbor")).unwrap();
    protocol::keys::KeySet::open(&keys).unwrap();
    board_support::Board::read(&tree.join("etc/holdfast/board.toml")).unwrap();
}

#[test]
fn both_slots_and_the_release_carry_the_same_bytes() {
    let slot = fs::read(&SAMPLE.built.slot_image).unwrap();
    let image = fs::read(SAMPLE.image()).unwrap();
    assert!(image[layout::SLOT_A.offset as usize..].starts_with(&slot));
    let empty = &image[layout::SLOT_B.offset as usize..layout::DATA.offset as usize];
    assert!(empty.iter().all(|byte| *byte == 0), "slot b is not empty");
}

#[test]
fn fw_printenv_reads_the_environment_also_when_one_copy_is_broken() {
    let dir = tempfile::tempdir().unwrap();
    let size = layout::BOOT.offset;
    for broken in [None, Some(layout::ENV_OFFSET), Some(layout::ENV_OFFSET_REDUNDANT)] {
        let card = cut(SAMPLE.image(), 0, size, &dir.path().join("card"));
        if let Some(offset) = broken {
            let mut bytes = fs::read(&card).unwrap();
            bytes[offset as usize + 6] ^= 1;
            fs::write(&card, bytes).unwrap();
        }
        let lines = layout::ENV_OFFSETS
            .map(|offset| format!("{} {offset:#x} {:#x}\n", text(&card), layout::ENV_SIZE));
        let config = dir.path().join("fw_env.config");
        fs::write(&config, lines.concat()).unwrap();
        let said = accepted("fw_printenv", &["-c", text(&config)]);
        assert!(said.contains("slot_confirmed=a"), "{broken:?}: {said}");
        assert!(!said.contains("slot_trial"), "{broken:?}: {said}");
    }
}

#[test]
fn bmaptool_accepts_the_block_map_and_copies_a_working_card() {
    let dir = tempfile::tempdir().unwrap();
    let card = dir.path().join("card");
    let compressed = SAMPLE.built.compressed.as_deref().unwrap();
    let map = SAMPLE.built.bmap.as_deref().unwrap();
    accepted("bmaptool", &["copy", "--bmap", text(map), text(compressed), text(&card)]);
    let boot = dir.path().join("boot");
    accepted("fsck.fat", &["-n", text(&cut(&card, layout::BOOT.offset, layout::BOOT.size, &boot))]);
    let data = dir.path().join("data");
    accepted("e2fsck", &["-fn", text(&cut(&card, layout::DATA.offset, layout::DATA.size, &data))]);
    assert!(fs::read(&card).unwrap() == fs::read(SAMPLE.image()).unwrap());
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let built = build(&SAMPLE.spec, &SAMPLE.dir.path().join("again")).unwrap();
    let all = |built: &BuiltImage| {
        let image = [&built.image, &built.compressed, &built.bmap, &built.imager];
        let image = image.map(|path| path.clone().unwrap());
        let release = [&built.manifest, &built.payload, &built.slot_image].map(Clone::clone);
        image.into_iter().chain(release).collect::<Vec<_>>()
    };
    for (first, second) in all(&SAMPLE.built).iter().zip(all(&built)) {
        assert!(fs::read(first).unwrap() == fs::read(&second).unwrap(), "{}", second.display());
    }
}

#[test]
fn an_overlay_replaces_and_adds_files() {
    let dir = tempfile::tempdir().unwrap();
    let overlay = dir.path().join("overlay");
    fs::create_dir_all(overlay.join("etc/holdfast/services")).unwrap();
    fs::write(overlay.join("etc/holdfast/services/extra.toml"), "# added\n").unwrap();
    fs::write(overlay.join("etc/hosts"), "127.0.0.1 replaced\n").unwrap();
    let outputs = Outputs::Release;
    let spec = ImageSpec { overlays: vec![overlay], outputs, ..SAMPLE.spec.clone() };
    let built = build(&spec, dir.path()).unwrap();
    assert_eq!(built.image, None);
    let root = cut(&built.slot_image, layout::SLOT_ROOT_OFFSET, 1 << 30, &dir.path().join("root"));
    let tree = dir.path().join("tree");
    accepted("fsck.erofs", &[&format!("--extract={}", text(&tree)), text(&root)]);
    let added = fs::read_to_string(tree.join("etc/holdfast/services/extra.toml")).unwrap();
    assert_eq!(added, "# added\n");
    assert_eq!(fs::read_to_string(tree.join("etc/hosts")).unwrap(), "127.0.0.1 replaced\n");
}

#[test]
fn a_fault_breaks_what_it_names_and_nothing_else() {
    for (fault, root_holds) in [(Fault::KernelHash, true), (Fault::RootBlock, false)] {
        let dir = tempfile::tempdir().unwrap();
        let outputs = Outputs::Release;
        let spec = ImageSpec { fault: Some(fault), outputs, ..SAMPLE.spec.clone() };
        let built = build(&spec, dir.path()).unwrap();
        let fit = SAMPLE.fit(&built.slot_image, dir.path());
        let kernel = dir.path().join("kernel");
        accepted("dumpimage", &["-T", "flat_dt", "-p", "0", "-o", text(&kernel), text(&fit)]);
        let listing = accepted("dumpimage", &["-l", text(&fit)]);
        let kernel_holds = listing.contains(&sha256sum(&kernel));
        assert_eq!(kernel_holds, fault != Fault::KernelHash, "{fault:?}");
        assert_eq!(veritysetup(&built.slot_image, &fit, dir.path()).ok, root_holds, "{fault:?}");
        // The release is signed over the damaged bytes: only booting can show the damage.
        let payload = Some(built.payload.as_path());
        let keys = image_builder::keys::key_set(&spec.keys_dir).unwrap();
        image_builder::release::verify(&built.manifest, payload, &keys).unwrap();
    }
}

#[test]
fn the_imager_repository_names_the_compressed_image_with_its_digests() {
    let json = fs::read_to_string(SAMPLE.built.imager.as_deref().unwrap()).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let entry = &json["os_list"][0];
    let compressed = SAMPLE.built.compressed.as_deref().unwrap();
    assert_eq!(entry["url"], compressed.file_name().unwrap().to_str().unwrap());
    assert_eq!(entry["extract_sha256"], sha256sum(SAMPLE.image()));
    assert_eq!(entry["extract_size"], layout::IMAGE_SIZE);
    assert_eq!(entry["image_download_sha256"], sha256sum(compressed));
    assert_eq!(entry["release_date"], "2026-01-02");
}

#[test]
fn every_board_builds_from_the_command_line() {
    for board in ["rpi4", "rpi5", "virt"] {
        let dir = tempfile::tempdir().unwrap();
        let image_builder::Binaries::Prebuilt(programs) = &SAMPLE.spec.binaries else {
            unreachable!("the sample is made from prebuilt programs")
        };
        let keys = text(&SAMPLE.spec.keys_dir);
        let out = dir.path().join("out");
        let arguments = ["image", "build", "--board", board, "--out", text(&out), "--keys", keys];
        let programs = ["--prebuilt", text(programs), "--version", "2.0"];
        let said = holdfast(&[&arguments[..], &programs].concat());
        assert!(said.ok, "{}", said.text);
        for line in ["kernel", "root file system", "slot image", "compressed SD image"] {
            assert!(said.text.contains(line), "no line {line:?} in\n{}", said.text);
        }
        let image = out.join(format!("holdfast-{board}-2.0.img"));
        accepted("sfdisk", &["--verify", text(&image)]);
    }
}
