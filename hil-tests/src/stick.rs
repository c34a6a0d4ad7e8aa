//! A USB stick: a file with a FAT volume, which a machine gets plugged in and pulled out.

use crate::child;
use crate::error::Result;
use crate::gateway::Gateway;
use crate::paths;
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Its size in KiB: the least that FAT32 is made for.
const KIB: &str = "65536";

/// A stick, with or without a gateway that it is in.
pub struct Stick {
    label: String,
    image: PathBuf,
}

impl Stick {
    /// A new one with a label.
    pub fn new(label: &str) -> Result<Self> {
        let image = paths::hil()?.join(format!("stick-{label}.img"));
        let _ = fs::remove_file(&image);
        let mut make = Command::new("mkfs.fat");
        child::run(make.args(["-F", "32", "-n", label, "-C"]).arg(&image).arg(KIB))?;
        Ok(Self { label: label.into(), image })
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

    /// A file on it, once it is pulled out.
    pub fn file(&self, name: &str) -> Result<String> {
        let mut read = Command::new("mtype");
        let output = child::run(read.arg("-i").arg(&self.image).arg(format!("::{name}")))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn node(&self) -> String {
        format!("drive-{}", self.label)
    }

    fn device(&self) -> String {
        format!("stick-{}", self.label)
    }
}
