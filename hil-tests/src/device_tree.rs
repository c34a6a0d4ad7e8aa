//! The device tree that the firmware would pass, edited for QEMU with `fdtput`: what QEMU lacks or
//! does otherwise is said to the system here, so that no code of the device knows about QEMU.

use crate::child;
use crate::error::{Result, file};
use std::path::Path;
use std::process::Command;

/// Where the kernel keeps its last words over a reset: below the memory that the Pi 3 gives to its
/// graphics processor, above everything that U-Boot loads.
const RAMOOPS_ADDRESS: u32 = 0x3000_0000;
const RAMOOPS_SIZE: u32 = 0x1_0000;
const RAMOOPS_RECORD: u32 = 0x4000;

/// Writes an edited copy of `original` to `edited`:
///
/// - console, U-Boot's and the kernel's, on the first serial port;
/// - the tree is to be used as it is, not the slot's (`/chosen/holdfast,use-firmware-tree`);
/// - `watchdog` for init to open (opening the emulated hardware watchdog resets QEMU);
/// - memory for the last words of a kernel that panicked.
pub fn for_qemu(original: &Path, edited: &Path, watchdog: &str) -> Result {
    std::fs::copy(original, edited).map_err(file("copy device tree", original))?;
    let tree = Edit(edited);
    tree.text("/chosen", "stdout-path", "serial0:115200n8")?;
    tree.text("/chosen", "holdfast,watchdog", watchdog)?;
    tree.flag("/chosen", "holdfast,use-firmware-tree")?;
    tree.node("/reserved-memory")?;
    tree.cells("/reserved-memory", "#address-cells", &[1])?;
    tree.cells("/reserved-memory", "#size-cells", &[1])?;
    tree.flag("/reserved-memory", "ranges")?;
    let ramoops = format!("/reserved-memory/ramoops@{RAMOOPS_ADDRESS:x}");
    tree.node(&ramoops)?;
    tree.text(&ramoops, "compatible", "ramoops")?;
    tree.cells(&ramoops, "reg", &[RAMOOPS_ADDRESS, RAMOOPS_SIZE])?;
    tree.cells(&ramoops, "record-size", &[RAMOOPS_RECORD])?;
    tree.cells(&ramoops, "console-size", &[RAMOOPS_RECORD])?;
    Ok(())
}

struct Edit<'a>(&'a Path);

impl Edit<'_> {
    fn put(&self, options: &[&str], arguments: &[&str]) -> Result {
        let mut command = Command::new("fdtput");
        command.args(options).arg(self.0).args(arguments);
        child::run(&mut command).map(drop)
    }

    fn node(&self, node: &str) -> Result {
        self.put(&["-c", "-p"], &[node])
    }

    fn flag(&self, node: &str, property: &str) -> Result {
        self.put(&[], &[node, property])
    }

    fn text(&self, node: &str, property: &str, value: &str) -> Result {
        self.put(&["-t", "s"], &[node, property, value])
    }

    fn cells(&self, node: &str, property: &str, values: &[u32]) -> Result {
        let values: Vec<String> = values.iter().map(|v| format!("{v:x}")).collect();
        let mut arguments = vec![node, property];
        arguments.extend(values.iter().map(String::as_str));
        self.put(&["-t", "x"], &arguments)
    }
}
