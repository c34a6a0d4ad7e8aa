//! Looks at a card that is out of its machine, with tools that are not ours.

use crate::card::Card;
use crate::child;
use crate::error::{Result, ensure, file};
use crate::paths;
use bootloader_config::environment::Environment;
use bootloader_config::layout;
use bootloader_config::slots::SlotState;
use std::process::Command;

/// Number of the data partition.
const DATA: usize = 4;
/// Where ext4's superblock is, and its fields: blocks, and log2 of the block size in KiB.
const SUPERBLOCK: u64 = 1024;
const BLOCKS: usize = 4;
const BLOCK_SIZE: usize = 24;
/// A card's last bytes may be left over: partitions are rounded down to this.
const ROUNDING: u64 = 4 << 20;

/// The data partition reaches the end of the card, the file system the end of the partition, and
/// `e2fsck` finds nothing to mend.
pub fn data_partition_fills_the_card(card: &Card) -> Result {
    let size = std::fs::metadata(card.path()).map_err(file("look at", card.path()))?.len();
    let (start, length) = card.partition(DATA)?;
    ensure(start + length + ROUNDING > size, || {
        format!("the data partition ends at {} on a card of {size} bytes", start + length)
    })?;
    let block = card.read(start + SUPERBLOCK, 1024)?;
    let field = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| block[at + i]));
    let filled = u64::from(field(BLOCKS)) << (10 + field(BLOCK_SIZE));
    ensure(filled + ROUNDING > length, || {
        format!("the file system has {filled} of the {length} bytes of its partition")
    })?;
    data_partition_is_clean(card)
}

/// `e2fsck` finds nothing to mend on the data partition.
pub fn data_partition_is_clean(card: &Card) -> Result {
    let (start, length) = card.partition(DATA)?;
    let part = paths::hil()?.join(format!("{}.data", card.name()));
    let mut copy = Command::new("dd");
    copy.arg(format!("if={}", card.path().display())).arg(format!("of={}", part.display()));
    copy.args(["bs=1M", "iflag=skip_bytes,count_bytes", "conv=sparse", "status=none"]);
    copy.arg(format!("skip={start}")).arg(format!("count={length}"));
    child::run(&mut copy)?;
    let checked = child::run(Command::new("e2fsck").arg("-fn").arg(&part));
    let _ = std::fs::remove_file(&part);
    checked.map(drop)
}

/// The boot environment on the card, read with the code that the device reads it with.
pub fn environment(card: &Card) -> Result<Environment> {
    let copy = |offset| card.read(offset, layout::ENV_SIZE);
    let [first, second] = layout::ENV_OFFSETS;
    let read = Environment::read(Some(&copy(first)?), Some(&copy(second)?));
    read.map_err(|e| crate::Error::Story(format!("boot environment: {e}")))
}

/// Writes the state of the slots into the environment on the card, as init would.
pub fn set_slots(card: &Card, state: &SlotState) -> Result {
    let mut environment = environment(card)?;
    let full = |e| crate::Error::Story(format!("boot environment: {e}"));
    state.write(&mut environment).map_err(full)?;
    let encoded = environment.encode();
    card.write(encoded.copy.offset(), &encoded.bytes)
}
