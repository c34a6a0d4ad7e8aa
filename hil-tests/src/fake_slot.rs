//! Slots for the boot loader alone: a small FIT whose `cmdline` script prints what was chosen, and
//! whose kernel is a few instructions.

use crate::error::{Error, Result};
use bootloader_config::layout;
use bootloader_config::panics::{LOG_ZONE, ZONE_LENGTH, ZONE_MAGIC, ZONE_START};
use image_builder::fat::{self, Volume};
use image_builder::fit::Fit;
use image_builder::spec::Fault;

/// What the FIT's script prints.
pub const CHOICE: &str = "hf-choice ";
/// What the kernel prints that runs.
pub const KERNEL_SAYS: &str = "fake kernel runs";
/// Name of the tree that U-Boot looks for on a Raspberry Pi 3 model B.
pub const TREE: &str = "bcm2837-rpi-3-b.dtb";

/// A slot's FAT volume with its FIT.
pub fn volume(tree: &[u8], kernel: &[Store], fault: Option<Fault>) -> Result<Vec<u8>> {
    let cmdline = format!(
        "echo {CHOICE}${{hf_slot}} ${{hf_boot}} ${{hf_dev}} ${{hf_console}} ${{trial_left}}\n\
         setenv bootargs holdfast.boot=${{hf_boot}}\n"
    );
    let fit = Fit {
        description: "boot table",
        timestamp: 0,
        kernel: &fake_kernel(kernel),
        kernel_load: layout::LOAD_RPI.kernel as u32,
        trees: &[(TREE.into(), tree.to_vec())],
        cmdline: &cmdline,
        fault,
    };
    let volume = Volume {
        label: layout::SLOT_FAT_LABEL,
        id: 1,
        size: layout::SLOT_FAT_SIZE,
        hidden_sectors: 0,
        time: 0,
    };
    let files = vec![(layout::FIT_FILE.to_string(), fit.encode())];
    fat::build(&volume, &files).map_err(|error| Error::Story(error.to_string()))
}

/// All that a fake kernel does: a word is stored at an address.
pub type Store = (u32, u32);

/// A log as the kernel leaves it: magic, where the next byte would go, length.
const LOG: [Store; 3] =
    [(LOG_ZONE, ZONE_MAGIC), (LOG_ZONE + ZONE_START, 64), (LOG_ZONE + ZONE_LENGTH, 64)];
/// The Raspberry Pi 3's power management: the watchdog's time-out, and a full reset.
const RESET: [Store; 2] = [(0x3f10_0024, 0x5a00_0001), (0x3f10_001c, 0x5a00_0020)];

/// A kernel that says so, on the PL011 of the Raspberry Pi 3.
pub fn runs() -> Vec<Store> {
    format!("{KERNEL_SAYS}\n").bytes().map(|byte| (0x3f20_1000, u32::from(byte))).collect()
}

/// A kernel that resets the machine and leaves nothing.
pub fn dies() -> Vec<Store> {
    RESET.to_vec()
}

/// A kernel that leaves a log as a panic does, and resets the machine.
pub fn panics() -> Vec<Store> {
    [&LOG[..], &RESET].concat()
}

/// An arm64 `Image` (header: the kernel's `Documentation/arch/arm64/booting.rst`) that makes these
/// stores and waits for ever.
fn fake_kernel(stores: &[Store]) -> Vec<u8> {
    const HEADER: usize = 64;
    let mut code: Vec<u32> = Vec::new();
    for (address, value) in stores {
        code.push(0xd2a0_0001 | (address >> 16) << 5); // movz x1, #high, lsl #16
        code.push(0xf280_0001 | (address & 0xffff) << 5); // movk x1, #low
        code.push(0x52a0_0002 | (value >> 16) << 5); // movz w2, #high, lsl #16
        code.push(0x7280_0002 | (value & 0xffff) << 5); // movk w2, #low
        code.push(0xb900_0022); // str w2, [x1]
    }
    code.extend([0xd503_207f, 0x17ff_ffff]); // wfi; b wfi
    let mut image = vec![0; HEADER];
    image[0..4].copy_from_slice(&0x1400_0010u32.to_le_bytes()); // b to behind the header
    image[16..24].copy_from_slice(&4096u64.to_le_bytes()); // size in memory
    image[24..32].copy_from_slice(&0xau64.to_le_bytes()); // little endian, 4 KiB pages, anywhere
    image[56..60].copy_from_slice(b"ARM\x64");
    image.extend(code.into_iter().flat_map(u32::to_le_bytes));
    image
}
