//! The slot image: FAT volume with the FIT, root file system, hash tree; one flat file that serves
//! either slot.

use crate::{
    Error, Result,
    fat::{self, Volume},
    fit::Fit,
    rootfs::ROOT_SALT,
    spec::Fault,
    verity,
};
use bootloader_config::layout;
use protocol::{keys::to_hex, release::CHUNK_SIZE};

/// Volume id of the slot's FAT.
const VOLUME_ID: u32 = 0x510f_b007;

/// How a machine that does not work comes to be reset: a panic restarts after 5 s; the kernel's own
/// watchdog ends in a panic, so that pstore keeps who it was; a watchdog watches until the reset,
/// also over a driver that hangs while the system goes down.
const RESETS: &str = "panic=5 softdog.soft_panic=1 watchdog.stop_on_reboot=0";
/// A watchdog that U-Boot started is petted by the kernel until init opens it, but no longer than a
/// minute; only where init will open it: nobody else would, and a healthy board would be reset.
const STARTED_BY_U_BOOT: (&str, &str) = ("bcm2835", "watchdog.open_timeout=60");

/// What goes into a slot image.
pub struct SlotParts<'a> {
    /// Board id.
    pub board: &'a str,
    /// The watchdog that its board file names.
    pub watchdog: Option<&'a str>,
    /// Version for people.
    pub version: &'a str,
    /// Unix seconds of the files.
    pub time: u64,
    /// Uncompressed arm64 `Image`.
    pub kernel: &'a [u8],
    /// Where the kernel is placed.
    pub kernel_load: u32,
    /// Device trees by file name.
    pub trees: &'a [(String, Vec<u8>)],
    /// EROFS image, whole blocks.
    pub root: Vec<u8>,
    /// Appended to the kernel command line.
    pub cmdline_extra: &'a str,
    /// Deliberate damage.
    pub fault: Option<Fault>,
}

/// A slot image and what it was made of.
pub struct Slot {
    /// The bytes, whole chunks.
    pub bytes: Vec<u8>,
    /// Root digest of the hash tree.
    pub root_digest: [u8; 32],
    /// Bytes of the root file system.
    pub root_size: u64,
    /// The U-Boot script `cmdline`.
    pub cmdline: String,
}

/// Puts a slot image together.
pub fn build(parts: SlotParts<'_>) -> Result<Slot> {
    let root_size = parts.root.len() as u64;
    let tree = verity::tree(&parts.root, &ROOT_SALT);
    let extra = match STARTED_BY_U_BOOT {
        (watchdog, wait) if parts.watchdog == Some(watchdog) => wait,
        _ => "",
    };
    let cmdline = cmdline(root_size, &tree, &format!("{extra} {}", parts.cmdline_extra));
    let fit = Fit {
        description: &format!("Holdfast {} for {}", parts.version, parts.board),
        timestamp: parts.time as u32,
        kernel: parts.kernel,
        kernel_load: parts.kernel_load,
        trees: parts.trees,
        cmdline: &cmdline,
        fault: parts.fault,
    };
    let volume = Volume {
        label: layout::SLOT_FAT_LABEL,
        id: VOLUME_ID,
        size: layout::SLOT_FAT_SIZE,
        hidden_sectors: 0,
        time: parts.time,
    };
    let fit = fit.encode();
    if fit.len() as u64 > layout::FIT_SIZE_MAX {
        let (size, limit) = (fit.len() as u64, layout::FIT_SIZE_MAX);
        return Err(Error::TooLarge { what: "the FIT".into(), size, limit });
    }
    let mut bytes = fat::build(&volume, &vec![(layout::FIT_FILE.into(), fit)])?;
    let root_at = bytes.len();
    bytes.extend_from_slice(&parts.root);
    if parts.fault == Some(Fault::RootBlock) {
        bytes[root_at] ^= 1;
    }
    bytes.extend_from_slice(&tree.bytes);
    bytes.resize(bytes.len().next_multiple_of(CHUNK_SIZE as usize), 0);
    let size = bytes.len() as u64;
    if size > layout::SLOT_IMAGE_MAX {
        let what = "the slot image".to_string();
        return Err(Error::TooLarge { what, size, limit: layout::SLOT_IMAGE_MAX });
    }
    Ok(Slot { bytes, root_digest: tree.root, root_size, cmdline })
}

/// The script that sets `bootargs`; the boot script has set the `hf_` variables.
fn cmdline(root_size: u64, tree: &verity::Tree, extra: &str) -> String {
    let first = layout::SLOT_FAT_SIZE / layout::SECTOR_SIZE;
    let data_sectors = root_size / layout::SECTOR_SIZE;
    let sectors = data_sectors + tree.bytes.len() as u64 / layout::SECTOR_SIZE;
    let blocks = root_size / verity::BLOCK as u64;
    let (root, salt) = (to_hex(&tree.root), to_hex(&ROOT_SALT));
    let linear = format!("slot,,0,ro,0 {sectors} linear ${{hf_dev}} {first}");
    let verity = format!(
        "root,,1,ro,0 {data_sectors} verity 1 /dev/dm-0 /dev/dm-0 4096 4096 {blocks} {blocks} \
         sha256 {root} {salt} 1 panic_on_corruption"
    );
    let extra: String = extra.split_whitespace().map(|word| format!(" {word}")).collect();
    format!(
        "setenv bootargs \"console=${{hf_console}} ro root=/dev/dm-1 dm-mod.waitfor=${{hf_dev}} \
         dm-mod.create=\\\"{linear};{verity}\\\" init=/sbin/init {RESETS} \
         holdfast.slot=${{hf_slot}} holdfast.boot=${{hf_boot}}{extra}\"\n"
    )
}
