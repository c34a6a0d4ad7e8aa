//! Damage to the data partition of a card that is out of its machine, done with e2fsprogs.

use crate::card::Card;
use crate::child;
use crate::error::{Error, Result, file};
use crate::paths;
use std::fs::File;
use std::process::Command;

/// Number of the data partition.
const DATA: usize = 4;
/// Bytes of a block of the data file system.
const BLOCK: u64 = 4096;
/// Byte of damage: no structure is made of it.
const RUBBISH: u8 = 0xa5;

/// Overwrites the first block: superblock, and what lies before it.
pub fn superblock(card: &Card) -> Result {
    let (start, _) = card.partition(DATA)?;
    card.write(start, &[RUBBISH; BLOCK as usize])
}

/// Overwrites the block bitmap of the first group. Nothing records that: the kernel finds it when
/// it wants a block.
pub fn block_bitmap(card: &Card) -> Result {
    let (start, _) = card.partition(DATA)?;
    let stats = debugfs(card, "stats")?;
    let at = stats.split("block bitmap at ").nth(1).and_then(|rest| rest.split(',').next());
    let block = at.and_then(|number| number.trim().parse::<u64>().ok());
    let block = block.ok_or_else(|| Error::Story(format!("no block bitmap in {stats}")))?;
    card.write(start + block * BLOCK, &[RUBBISH; BLOCK as usize])
}

/// Zeroes the whole partition.
pub fn everything(card: &Card) -> Result {
    let (start, length) = card.partition(DATA)?;
    let disk = File::options().write(true).open(card.path()).map_err(file("open", card.path()))?;
    // what follows the new end reads as zeros: the partition is the last one
    let cut = disk.set_len(start).and_then(|()| disk.set_len(start + length));
    cut.map_err(file("cut", card.path()))
}

/// Puts other bytes in the place of a file, by its path on the partition.
pub fn replace_file(card: &Card, path: &str, content: &[u8]) -> Result {
    let local = paths::hil()?.join(format!("{}.replacement", card.name()));
    std::fs::write(&local, content).map_err(file("write", &local))?;
    debugfs(card, &format!("rm {path}"))?;
    debugfs(card, &format!("write {} {path}", local.display())).map(drop)
}

/// One request to debugfs; what it printed.
fn debugfs(card: &Card, request: &str) -> Result<String> {
    let (start, _) = card.partition(DATA)?;
    let device = format!("{}?offset={start}", card.path().display());
    let mut command = Command::new("/sbin/debugfs");
    let output = child::run(command.args(["-w", "-R", request]).arg(device))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
