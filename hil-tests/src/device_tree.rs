//! The device tree that the firmware would pass, edited for QEMU with `fdtput`: what QEMU lacks or
//! does otherwise is said to the system here, so that no code of the device knows about QEMU.

use crate::child;
use crate::error::{Result, file};
use std::path::Path;
use std::process::Command;

/// Writes an edited copy of `original` to `edited`:
///
/// - console, U-Boot's and the kernel's, on the first serial port;
/// - the tree is to be used as it is, not the slot's (`/chosen/holdfast,use-firmware-tree`);
/// - `watchdog` for init to open (opening the emulated hardware watchdog resets QEMU).
pub fn for_qemu(original: &Path, edited: &Path, watchdog: &str) -> Result {
    std::fs::copy(original, edited).map_err(file("copy device tree", original))?;
    let tree = Edit(edited);
    tree.text("/chosen", "stdout-path", "serial0:115200n8")?;
    tree.text("/chosen", "holdfast,watchdog", watchdog)?;
    tree.flag("/chosen", "holdfast,use-firmware-tree")?;
    Ok(())
}

struct Edit<'a>(&'a Path);

impl Edit<'_> {
    fn put(&self, options: &[&str], arguments: &[&str]) -> Result {
        let mut command = Command::new("fdtput");
        command.args(options).arg(self.0).args(arguments);
        child::run(&mut command).map(drop)
    }

    fn flag(&self, node: &str, property: &str) -> Result {
        self.put(&[], &[node, property])
    }

    fn text(&self, node: &str, property: &str, value: &str) -> Result {
        self.put(&["-t", "s"], &[node, property, value])
    }
}
