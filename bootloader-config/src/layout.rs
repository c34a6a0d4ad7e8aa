//! The disk layout: every offset and size that more than one program must agree on.
//!
//! What always holds: regions do not overlap (checked when this crate is compiled), partitions
//! start on MiB boundaries, and a slot image has the same layout in both slots.

use crate::slots::Slot;

/// Bytes in one KiB.
pub const KIB: u64 = 1 << 10;
/// Bytes in one MiB.
pub const MIB: u64 = 1 << 20;

/// Bytes in one sector: what the partition table and U-Boot count in.
pub const SECTOR_SIZE: u64 = 512;

/// The MBR's disk signature. `PARTUUID` of a partition is this id and the partition number.
pub const DISK_ID: u32 = 0x484f_4c44;

/// Offset of the first copy of the U-Boot environment.
pub const ENV_OFFSET: u64 = MIB;
/// Offset of the second copy of the U-Boot environment.
pub const ENV_OFFSET_REDUNDANT: u64 = MIB + 64 * KIB;
/// Size of each copy of the U-Boot environment.
pub const ENV_SIZE: usize = 16 * 1024;
/// Offsets of both copies of the environment, in order.
pub const ENV_OFFSETS: [u64; 2] = [ENV_OFFSET, ENV_OFFSET_REDUNDANT];

/// Offsets of both copies of what makes a gateway itself (`init::spare`), written alternately.
pub const SPARE_OFFSETS: [u64; 2] = [2 * MIB, 2 * MIB + 512 * KIB];
/// Most bytes of such a copy.
pub const SPARE_SIZE: usize = 256 * 1024;
/// Offset of the note that the data partition is to be checked at the next boot (`init::spare`).
pub const CHECK_NOTE_OFFSET: u64 = 3 * MIB;
/// Most bytes of that note.
pub const CHECK_NOTE_SIZE: usize = 4096;

/// MBR type of a FAT32 (LBA) partition.
pub const TYPE_FAT: u8 = 0x0c;
/// MBR type of a Linux partition: slots and data.
pub const TYPE_LINUX: u8 = 0x83;

/// A primary partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// Number as the partition table counts: 1 to 4.
    pub number: u8,
    /// Name in documentation and messages.
    pub name: &'static str,
    /// First byte.
    pub offset: u64,
    /// Length in bytes.
    pub size: u64,
    /// MBR type.
    pub kind: u8,
}

/// p1: FAT with Pi firmware, `u-boot.bin`, `config.txt`, `device.toml`.
pub const BOOT: Partition =
    Partition { number: 1, name: "boot", offset: 4 * MIB, size: 28 * MIB, kind: TYPE_FAT };
/// p2: slot a.
pub const SLOT_A: Partition =
    Partition { number: 2, name: "slot-a", offset: 32 * MIB, size: 128 * MIB, kind: TYPE_LINUX };
/// p3: slot b.
pub const SLOT_B: Partition =
    Partition { number: 3, name: "slot-b", offset: 160 * MIB, size: 128 * MIB, kind: TYPE_LINUX };
/// p4: data, as built; init grows it to the end of the card.
pub const DATA: Partition =
    Partition { number: 4, name: "data", offset: 288 * MIB, size: 32 * MIB, kind: TYPE_LINUX };
/// All partitions, in order of number and of offset.
pub const PARTITIONS: [Partition; 4] = [BOOT, SLOT_A, SLOT_B, DATA];

/// Label of the data file system (ext4).
pub const DATA_LABEL: &str = "data";
/// Size of the card image as built.
pub const IMAGE_SIZE: u64 = DATA.offset + DATA.size;

/// The partition that holds `slot`.
pub const fn slot_partition(slot: Slot) -> Partition {
    match slot {
        Slot::A => SLOT_A,
        Slot::B => SLOT_B,
    }
}

/// Largest slot image: the slot's partition.
pub const SLOT_IMAGE_MAX: u64 = SLOT_A.size;
/// A slot image's size is a multiple of this: the chunk of an update.
pub const SLOT_IMAGE_UNIT: u64 = MIB;
/// Size of the FAT volume at the start of a slot image.
pub const SLOT_FAT_SIZE: u64 = 16 * MIB;
/// Label of that volume.
pub const SLOT_FAT_LABEL: &str = "SLOT";
/// Offset of the root file system in a slot image.
pub const SLOT_ROOT_OFFSET: u64 = SLOT_FAT_SIZE;
/// Block size of dm-verity, for data and hashes.
pub const VERITY_BLOCK: u64 = 4096;

/// The one file on the slot's FAT volume.
pub const FIT_FILE: &str = "boot.fit";
/// Name of the script image in the FIT that sets `bootargs`.
pub const FIT_CMDLINE_IMAGE: &str = "cmdline";
/// Name of the FIT configuration that boots without a tree of its own (QEMU `virt`).
pub const FIT_VIRT_CONFIGURATION: &str = "virt";
/// Largest FIT: it must fit the volume with its FAT, and the gap between load addresses.
pub const FIT_SIZE_MAX: u64 = SLOT_FAT_SIZE - MIB;

/// Where things go in memory before the kernel runs.
///
/// The kernel is copied out of the FIT, so the two must not overlap; and neither may touch the tree
/// that the firmware passed (above 100 MiB on a Pi; 128 MiB in QEMU's raspi machines; the first MiB
/// of RAM on QEMU `virt`), nor U-Boot, which moves to the top of RAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadAddresses {
    /// The FIT as a whole.
    pub fit: u64,
    /// Load and entry address of the kernel, for the FIT's kernel image: a multiple of 2 MiB.
    pub kernel: u64,
}

/// Load addresses on a Raspberry Pi: RAM starts at 0.
pub const LOAD_RPI: LoadAddresses = LoadAddresses { fit: 0x0280_0000, kernel: 0x0020_0000 };
/// Load addresses on QEMU `virt`: RAM starts at 1 GiB.
pub const LOAD_VIRT: LoadAddresses = LoadAddresses { fit: 0x4400_0000, kernel: 0x4040_0000 };

/// Where the kernel's log survives a reset, for pstore: 176 MiB into RAM, which every Pi has and
/// nothing in the boot uses. Each Pi's device tree has it as its `ramoops` node.
pub const RAMOOPS_ADDRESS: u32 = 0x0b00_0000;
/// All of it: zones for the logs of crashes, then the console's last lines.
pub const RAMOOPS_SIZE: u32 = 0x4_0000;
/// The zone of one log.
pub const RAMOOPS_RECORD: u32 = 0x1_0000;
/// The console's ring.
pub const RAMOOPS_CONSOLE: u32 = 0x1_0000;

const _: () = {
    assert!(ENV_OFFSET + ENV_SIZE as u64 <= ENV_OFFSET_REDUNDANT);
    assert!(ENV_OFFSET_REDUNDANT + ENV_SIZE as u64 <= SPARE_OFFSETS[0]);
    assert!(SPARE_OFFSETS[0] + SPARE_SIZE as u64 <= SPARE_OFFSETS[1]);
    assert!(SPARE_OFFSETS[1] + SPARE_SIZE as u64 <= CHECK_NOTE_OFFSET);
    assert!(CHECK_NOTE_OFFSET + CHECK_NOTE_SIZE as u64 <= BOOT.offset);
    let mut i = 0;
    while i < PARTITIONS.len() {
        assert!(PARTITIONS[i].offset.is_multiple_of(MIB) && PARTITIONS[i].size.is_multiple_of(MIB));
        assert!(PARTITIONS[i].number as usize == i + 1);
        assert!(
            i == 0 || PARTITIONS[i - 1].offset + PARTITIONS[i - 1].size <= PARTITIONS[i].offset
        );
        i += 1;
    }
    assert!(SLOT_A.size == SLOT_B.size);
    // 24 MiB for the kernel in memory, bss included; and the FIT below 100 MiB on a Pi
    assert!(LOAD_RPI.kernel + 24 * MIB <= LOAD_RPI.fit);
    assert!(LOAD_RPI.fit + FIT_SIZE_MAX <= 100 * MIB);
    assert!(100 * MIB <= RAMOOPS_ADDRESS as u64);
    assert!(LOAD_VIRT.kernel + 24 * MIB <= LOAD_VIRT.fit);
};
