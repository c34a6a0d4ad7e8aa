//! A USB stick: a file with a FAT or exFAT volume, which a machine gets plugged in and pulled out.

use crate::child;
use crate::error::{Result, ensure, file};
use crate::gateway::Gateway;
use crate::paths;
use serde_json::json;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

/// Its size in bytes: the least that FAT32 is made for.
const SIZE: u64 = 64 << 20;

/// A stick, with or without a gateway that it is in.
pub struct Stick {
    label: String,
    image: PathBuf,
    exfat: bool,
}

impl Stick {
    /// A new one with FAT and a label.
    pub fn fat(label: &str) -> Result<Self> {
        Self::made(label, &["mkfs.fat", "-F", "32", "-n", label], false)
    }

    /// A new one with exFAT and a label.
    pub fn exfat(label: &str) -> Result<Self> {
        Self::made(label, &["mkfs.exfat", "-L", label], true)
    }

    fn made(label: &str, tool: &[&str], exfat: bool) -> Result<Self> {
        let image = paths::hil()?.join(format!("stick-{label}.img"));
        let new = File::create(&image).and_then(|file| file.set_len(SIZE));
        new.map_err(file("create", &image))?;
        child::run(Command::new(tool[0]).args(&tool[1..]).arg(&image))?;
        Ok(Self { label: label.into(), image, exfat })
    }

    /// Plugs it into a running gateway.
    pub fn plug(&self, gateway: &mut Gateway) -> Result {
        let drive = json!({
            "driver": "raw",
            "node-name": self.node(),
            "file": { "driver": "file", "filename": self.image },
        });
        let device = json!({ "driver": "usb-storage", "drive": self.node(), "id": self.device() });
        let mut control = gateway.machine()?.control()?;
        control.execute("blockdev-add", drive)?;
        control.execute("device_add", device).map(drop)
    }

    /// Pulls it out, whatever the gateway does with it.
    pub fn pull(&self, gateway: &mut Gateway) -> Result {
        let mut control = gateway.machine()?.control()?;
        control.execute("device_del", json!({ "id": self.device() })).map(drop)
    }

    /// Whether there is a file with this text on it, once no gateway has it mounted.
    pub fn holds(&self, name: &str, text: &str) -> Result {
        if self.exfat {
            return self.has_bytes(text);
        }
        let mut read = Command::new("mtype");
        let output = child::run(read.arg("-i").arg(&self.image).arg(format!("::{name}")))?;
        let found = String::from_utf8_lossy(&output.stdout);
        ensure(found == text, || format!("{}: {found:?} in place of {text:?}", self.label))
    }

    /// No tool of Debian's reads a file of exFAT from an image: the volume is whole, and the text
    /// is somewhere on it.
    fn has_bytes(&self, text: &str) -> Result {
        child::run(Command::new("fsck.exfat").arg("-n").arg(&self.image))?;
        let bytes = fs::read(&self.image).map_err(file("read", &self.image))?;
        let there = bytes.windows(text.len()).any(|window| window == text.as_bytes());
        ensure(there, || format!("{}: {text:?} is not on it", self.label))
    }

    fn node(&self) -> String {
        format!("drive-{}", self.label)
    }

    fn device(&self) -> String {
        format!("stick-{}", self.label)
    }
}
