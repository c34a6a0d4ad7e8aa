//! Flashing and provisioning, on files and on made-up devices.

mod support;

use bootloader_config::layout;
use image_builder::{
    BuiltImage, build,
    flash::{self, Judgement, Target},
};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::LazyLock,
};
use support::{accepted, cut, holdfast, spec, text};
use tempfile::TempDir;

static SAMPLE: LazyLock<(TempDir, BuiltImage)> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let spec = spec("rpi3", dir.path());
    let built = build(&spec, &dir.path().join("out")).unwrap();
    (dir, built)
});

/// A copy of image, compressed image and block map.
fn copies(to: &Path) -> (PathBuf, PathBuf) {
    let built = &SAMPLE.1;
    let parts = [&built.image, &built.compressed, &built.bmap].map(|path| path.clone().unwrap());
    let [image, compressed, _] = parts.map(|path| {
        let copy = to.join(path.file_name().unwrap());
        fs::copy(&path, &copy).unwrap();
        copy
    });
    (image, compressed)
}

fn used_card(dir: &Path) -> PathBuf {
    let card = dir.join("card");
    fs::write(&card, vec![0xa5; layout::IMAGE_SIZE as usize + (1 << 20)]).unwrap();
    card
}

#[test]
fn flashing_writes_the_mapped_blocks_of_a_plain_and_of_a_compressed_image() {
    let dir = tempfile::tempdir().unwrap();
    let (image, compressed) = copies(dir.path());
    let mut written = Vec::new();
    let card = dir.path().join("card");
    for source in [&image, &compressed] {
        used_card(dir.path());
        let said = holdfast(&["flash", "--file", text(source), text(&card)]);
        assert!(said.ok && said.text.contains("written and verified"), "{}", said.text);
        let data = dir.path().join("data");
        let data = cut(&card, layout::DATA.offset, layout::DATA.size, &data);
        accepted("e2fsck", &["-fn", text(&data)]);
        accepted("sfdisk", &["--verify", text(&card)]);
        written.push(fs::read(&card).unwrap());
    }
    assert!(written[0] == written[1]);
    let boot = cut(&card, layout::BOOT.offset, layout::BOOT.size, &dir.path().join("boot"));
    accepted("fsck.fat", &["-n", text(&boot)]);
    let after_slot_a = &written[0][layout::SLOT_B.offset as usize..];
    assert!(after_slot_a[..512].iter().all(|byte| *byte == 0), "slot b may look bootable");
    for place in layout::SPARE_OFFSETS.into_iter().chain([layout::CHECK_NOTE_OFFSET]) {
        let head = &written[0][place as usize..][..512];
        assert!(head.iter().all(|byte| *byte == 0), "the card remembers whose it was");
    }
    let last = written[0][layout::IMAGE_SIZE as usize - 1];
    assert_eq!(last, 0xa5, "blocks that do not matter are not written");
    let slot = fs::read(&SAMPLE.1.slot_image).unwrap();
    assert!(written[0][layout::SLOT_A.offset as usize..].starts_with(&slot));
}

#[test]
fn a_damaged_image_or_block_map_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (image, _) = copies(dir.path());
    let card = used_card(dir.path());
    let flash = || holdfast(&["flash", "--file", text(&image), text(&card)]);

    let good = fs::read(&image).unwrap();
    let mut bad = good.clone();
    bad[layout::SLOT_A.offset as usize + 12345] ^= 1;
    fs::write(&image, bad).unwrap();
    let said = flash();
    assert!(!said.ok && said.text.contains("digest of the block map"), "{}", said.text);

    fs::write(&image, &good[..layout::SLOT_A.offset as usize]).unwrap();
    assert!(!flash().ok);

    fs::write(&image, &good).unwrap();
    let map = image.with_extension("bmap");
    let text = fs::read_to_string(&map).unwrap();
    fs::write(&map, text.replacen("<Range chksum=\"", "<Range chksum=\"0", 1)).unwrap();
    let said = flash();
    assert!(!said.ok && said.text.contains("its own checksum is wrong"), "{}", said.text);
}

#[test]
fn provisioning_replaces_device_toml_and_keeps_image_and_map_in_step() {
    let dir = tempfile::tempdir().unwrap();
    let (image, compressed) = copies(dir.path());
    let device = dir.path().join("device.toml");
    fs::write(&device, "name = \"gateway-7\"\n[console]\nenabled = true\n").unwrap();
    let said = holdfast(&["provision", text(&image), "--device-toml", text(&device)]);
    assert!(said.ok, "{}", said.text);
    let boot = cut(&image, layout::BOOT.offset, layout::BOOT.size, &dir.path().join("boot"));
    accepted("fsck.fat", &["-n", text(&boot)]);
    let found = accepted("mtype", &["-i", text(&boot), "::device.toml"]);
    assert_eq!(found, fs::read_to_string(&device).unwrap());
    let copy = dir.path().join("copy");
    let map = image.with_extension("bmap");
    accepted("bmaptool", &["copy", "--bmap", text(&map), text(&image), text(&copy)]);

    // The same while flashing, from the image as it was built.
    let (_, _) = copies(dir.path());
    let card = used_card(dir.path());
    let flash = ["flash", "--file", text(&compressed), text(&card), "--device-toml", text(&device)];
    let said = holdfast(&flash);
    assert!(said.ok, "{}", said.text);
    let boot = cut(&card, layout::BOOT.offset, layout::BOOT.size, &dir.path().join("boot"));
    assert!(accepted("mtype", &["-i", text(&boot), "::device.toml"]).contains("gateway-7"));

    let said = holdfast(&["provision", text(&compressed), "--device-toml", text(&device)]);
    assert!(!said.ok && said.text.contains("compressed"), "{}", said.text);
    let other = dir.path().join("other");
    fs::write(&other, vec![0; layout::IMAGE_SIZE as usize]).unwrap();
    let said = holdfast(&["provision", text(&other), "--device-toml", text(&device)]);
    assert!(!said.ok && said.text.contains("no Holdfast partition table"), "{}", said.text);
    assert!(fs::read(&other).unwrap().iter().all(|byte| *byte == 0), "it was written to");
}

fn card() -> Target {
    Target {
        path: "/dev/sdx".into(),
        name: "sdx".into(),
        partition: false,
        removable: true,
        read_only: false,
        size: 1 << 30,
        mounted: Vec::new(),
        users: Vec::new(),
    }
}

#[test]
fn the_table_of_what_may_be_flashed() {
    const IMAGE: u64 = layout::IMAGE_SIZE;
    let fixed = Target { removable: false, ..card() };
    let mounted = vec!["/".to_string()];
    let refused = [
        (Target { partition: true, ..card() }, "partition"),
        (Target { mounted: mounted.clone(), ..card() }, "is mounted (/)"),
        (Target { mounted, ..fixed.clone() }, "is mounted (/)"),
        (Target { users: vec!["dm-0".into()], ..fixed.clone() }, "dm-0"),
        (Target { read_only: true, ..card() }, "write-protected"),
        (Target { size: IMAGE - 1, ..card() }, "bytes"),
        (Target { size: 0, ..fixed.clone() }, "0 bytes"),
    ];
    for (target, expected) in refused {
        match flash::judge(&target, IMAGE) {
            Judgement::Refused(why) => assert!(why.contains(expected), "{why}"),
            other => panic!("{target:?}: {other:?}"),
        }
    }
    assert!(matches!(flash::judge(&fixed, IMAGE), Judgement::AskForName(_)));
    assert_eq!(flash::judge(&card(), IMAGE), Judgement::Allowed);
}

/// A made-up sysfs and procfs: sdb (USB stick, two partitions), sda (fixed disk), mmcblk0 (card).
fn made_up(root: &Path) -> (PathBuf, PathBuf) {
    let (sys, proc) = (root.join("sys"), root.join("proc"));
    let device = |place: &str, number: &str, facts: &[(&str, &str)]| {
        let node = sys.join("devices").join(place);
        fs::create_dir_all(node.join("holders")).unwrap();
        fs::write(node.join("dev"), format!("{number}\n")).unwrap();
        for (name, value) in facts {
            fs::write(node.join(name), format!("{value}\n")).unwrap();
        }
        fs::create_dir_all(sys.join("dev/block")).unwrap();
        symlink(&node, sys.join("dev/block").join(number)).unwrap();
        node
    };
    let size = ("size", "1000000");
    let usb = "pci0/usb1/1-1/block/sdb";
    device(usb, "8:16", &[size, ("removable", "0"), ("ro", "0")]);
    device(&format!("{usb}/sdb1"), "8:17", &[size, ("partition", "1")]);
    device(&format!("{usb}/sdb2"), "8:18", &[size, ("partition", "2")]);
    let disk = "pci0/ata1/block/sda";
    let sda = device(disk, "8:0", &[size, ("removable", "0"), ("ro", "0")]);
    device(&format!("{disk}/sda1"), "8:1", &[size, ("partition", "1")]);
    fs::write(sda.join("holders/dm-0"), "").unwrap();
    device("mmc0/block/mmcblk0", "179:0", &[size, ("removable", "0"), ("ro", "1")]);
    fs::create_dir_all(proc.join("self")).unwrap();
    fs::write(proc.join("self/mountinfo"), "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n").unwrap();
    fs::write(proc.join("swaps"), "Filename Type Size\n/dev/sdb2 partition 1 0 -2\n").unwrap();
    (sys, proc)
}

#[test]
fn what_the_kernel_says_of_a_device_is_gathered_with_its_partitions() {
    let dir = tempfile::tempdir().unwrap();
    let (sys, proc) = made_up(dir.path());
    let of = |name: &str, major, minor| {
        let path = Path::new("/dev").join(name);
        Target::gather(&path, major, minor, &sys, &proc).unwrap()
    };
    let stick = of("sdb", 8, 16);
    assert!(stick.removable && !stick.partition && stick.mounted.is_empty());
    assert_eq!((stick.size, stick.users), (512_000_000, vec!["swap on /dev/sdb2".to_string()]));
    let disk = of("sda", 8, 0);
    assert!(!disk.removable);
    assert_eq!((disk.mounted, disk.users), (vec!["/".to_string()], vec!["dm-0".to_string()]));
    assert!(of("sda1", 8, 1).partition);
    let slot = of("mmcblk0", 179, 0);
    assert!(slot.removable && slot.read_only);

    // A file system without a device number of its own is found by its source.
    let line = "30 1 0:40 / /mnt rw - btrfs /dev/sdb1 rw\n";
    fs::write(proc.join("self/mountinfo"), line).unwrap();
    assert_eq!(of("sdb", 8, 16).mounted, vec!["/mnt".to_string()]);
}
