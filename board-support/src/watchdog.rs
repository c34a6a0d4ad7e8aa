//! The watchdog. Which one: `/chosen/holdfast,watchdog` of the device tree, else the board file,
//! else none. It is looked for by its driver's identity in sysfs, which does not open it.

use crate::{Error, sys_watchdog};
use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::PathBuf,
};

const CHOSEN: &str = "/proc/device-tree/chosen/holdfast,watchdog";
const CLASS: &str = "/sys/class/watchdog";

/// Which watchdog init shall use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The Raspberry Pi's.
    Bcm2835,
    /// The kernel's own.
    Softdog,
    /// Intel's, in QEMU.
    I6300esb,
    /// None shall be opened.
    None,
}

impl Kind {
    /// By the name in board files and device trees.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "bcm2835" => Some(Self::Bcm2835),
            "softdog" => Some(Self::Softdog),
            "i6300esb" => Some(Self::I6300esb),
            "none" => Some(Self::None),
            _ => None,
        }
    }

    /// What the driver calls itself.
    fn identity(self) -> &'static str {
        match self {
            Self::Bcm2835 => "Broadcom BCM2835 Watchdog timer",
            Self::Softdog => "Software Watchdog",
            Self::I6300esb => "i6300ESB timer",
            Self::None => "",
        }
    }
}

/// The kind to use: the device tree decides before the board file. An unknown name is an error, and
/// none is opened.
pub fn chosen(board: Option<&str>) -> Result<Kind, Error> {
    let tree = fs::read_to_string(CHOSEN).ok();
    let tree = tree.as_deref().map(|text| text.trim_end_matches('\0'));
    let (name, place) = match tree {
        Some(name) => (name, CHOSEN),
        None => (board.unwrap_or("none"), "board file"),
    };
    Kind::from_name(name)
        .ok_or_else(|| Error::invalid(place, format!("no watchdog is called {name:?}")))
}

/// An open, running watchdog: [`Watchdog::pet`] it, or the machine is reset.
#[derive(Debug)]
pub struct Watchdog {
    file: File,
    /// Seconds after which it resets the machine.
    pub timeout_s: u32,
}

impl Watchdog {
    /// Opens and thereby starts it; `None` for [`Kind::None`].
    pub fn open(kind: Kind, timeout_s: u32) -> Result<Option<Self>, Error> {
        if kind == Kind::None {
            return Ok(None);
        }
        let path = find(kind)?;
        let name = path.display().to_string();
        let file = OpenOptions::new().write(true).open(&path);
        let file = file.map_err(|e| Error::io("open", &name, e))?;
        let timeout_s = sys_watchdog::set_timeout(&file, timeout_s)
            .map_err(|e| Error::io("set time-out of", &name, e))?;
        Ok(Some(Self { file, timeout_s }))
    }

    /// Starts its time anew.
    pub fn pet(&mut self) -> Result<(), Error> {
        self.file.write_all(b".").map_err(|e| Error::io("pet", "watchdog", e))
    }

    /// Stops it, where the driver allows that.
    pub fn disarm(mut self) -> Result<(), Error> {
        self.file.write_all(b"V").map_err(|e| Error::io("disarm", "watchdog", e))
    }
}

fn find(kind: Kind) -> Result<PathBuf, Error> {
    let entries = fs::read_dir(CLASS).map_err(|e| Error::io("list", CLASS, e))?;
    entries
        .flatten()
        .find(|entry| {
            fs::read_to_string(entry.path().join("identity"))
                .is_ok_and(|identity| identity.trim() == kind.identity())
        })
        .map(|entry| PathBuf::from("/dev").join(entry.file_name()))
        .ok_or_else(|| Error::invalid(CLASS, format!("no {:?}", kind.identity())))
}
