//! The device tree that the firmware would pass, edited for QEMU with `fdtput`: what QEMU lacks or
//! does otherwise is said to the system here, so that no code of the device knows about QEMU.

use crate::board::{Board, Edit};
use crate::child;
use crate::error::{Result, file};
use std::path::Path;
use std::process::Command;

/// The watchdog that init opens on a Pi in QEMU: opening the emulated hardware one resets QEMU.
const WATCHDOG: &str = "softdog";

/// Writes an edited copy of `original`, a tree of `board`, to `edited`:
///
/// - console, U-Boot's and the kernel's, on the first serial port;
/// - the tree is to be used as it is, not the slot's (`/chosen/holdfast,use-firmware-tree`);
/// - the watchdog for init to open;
/// - without what the model of the board lacks.
pub fn for_qemu(board: Board, original: &Path, edited: &Path) -> Result {
    std::fs::copy(original, edited).map_err(file("copy device tree", original))?;
    let tree = Tree(edited);
    tree.text("/chosen", "stdout-path", "serial0:115200n8")?;
    tree.text("/chosen", "holdfast,watchdog", WATCHDOG)?;
    tree.put(&[], &["/chosen", "holdfast,use-firmware-tree"])?;
    for edit in board.edits() {
        match edit {
            Edit::Disable(node) => tree.text(node, "status", "disabled")?,
            Edit::Remove(node) => tree.put(&["-r"], &[node])?,
            Edit::Delete(node, property) => tree.put(&["-d"], &[node, property])?,
        }
    }
    Ok(())
}

struct Tree<'a>(&'a Path);

impl Tree<'_> {
    fn put(&self, options: &[&str], arguments: &[&str]) -> Result {
        let mut command = Command::new("fdtput");
        command.args(options).arg(self.0).args(arguments);
        child::run(&mut command).map(drop)
    }

    fn text(&self, node: &str, property: &str, value: &str) -> Result {
        self.put(&["-t", "s"], &[node, property, value])
    }
}
