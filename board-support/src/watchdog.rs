//! The watchdog. Which one: `/chosen/holdfast,watchdog` of the device tree, else the board file,
//! else none. It is looked for by its driver's identity in sysfs, which does not open it.
//!
//! What always holds: nothing here stops a watchdog. Once open it runs until the machine is reset,
//! also when its file is closed.
//!
//! | kind | a hung PID 1 | a hung kernel | how its bite is told afterwards |
//! |---|---|---|---|
//! | `bcm2835` | resets | resets, within 16 s | the driver does not say |
//! | `i6300esb` | resets | resets | the driver's boot status |
//! | `softdog` | resets | no: it is a timer of that kernel | it panics with [`SOFTDOG_PANIC`] |

use crate::{Error, sys_watchdog};
use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::PathBuf,
};

/// What the kernel's own watchdog panics with, given `softdog.soft_panic=1` on the command line
/// (Linux, `drivers/watchdog/softdog.c`).
pub const SOFTDOG_PANIC: &str = "Software Watchdog Timer expired";

/// `WDIOF_CARDRESET` of the kernel's `watchdog.h`: the watchdog reset the machine.
const CARD_RESET: u32 = 0x20;

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
    const ALL: [Self; 4] = [Self::Bcm2835, Self::Softdog, Self::I6300esb, Self::None];

    /// By the name in board files and device trees.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The name in board files and device trees.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bcm2835 => "bcm2835",
            Self::Softdog => "softdog",
            Self::I6300esb => "i6300esb",
            Self::None => "none",
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
        let path = PathBuf::from("/dev").join(find(kind)?);
        let file = OpenOptions::new().write(true).open(&path);
        let file = file.map_err(|e| Error::io("open", path.display().to_string(), e))?;
        let mut watchdog = Self { file, timeout_s };
        watchdog.set_timeout(timeout_s)?;
        Ok(Some(watchdog))
    }

    /// Sets the time-out, or the driver's nearest, and starts it anew.
    ///
    /// A time-out above what the hardware can do is kept by the kernel, which pets the hardware
    /// until then: a hung kernel is noticed by the hardware's own limit.
    pub fn set_timeout(&mut self, seconds: u32) -> Result<(), Error> {
        self.timeout_s = sys_watchdog::set_timeout(&self.file, seconds)
            .map_err(|e| Error::io("set time-out of", "watchdog", e))?;
        Ok(())
    }

    /// Starts its time anew.
    pub fn pet(&mut self) -> Result<(), Error> {
        self.file.write_all(b".").map_err(|e| Error::io("pet", "watchdog", e))
    }
}

/// Whether this watchdog ended the run before; `None` where its driver does not say.
pub fn ended_last_run(kind: Kind) -> Option<bool> {
    if kind != Kind::I6300esb {
        return None;
    }
    let status = PathBuf::from(CLASS).join(find(kind).ok()?).join("bootstatus");
    let status = fs::read_to_string(status).ok()?;
    Some(status.trim().parse::<u32>().ok()? & CARD_RESET != 0)
}

/// Name of the device: of its node in `/dev` and of its folder in [`CLASS`].
fn find(kind: Kind) -> Result<PathBuf, Error> {
    let entries = fs::read_dir(CLASS).map_err(|e| Error::io("list", CLASS, e))?;
    entries
        .flatten()
        .find(|entry| {
            fs::read_to_string(entry.path().join("identity"))
                .is_ok_and(|identity| identity.trim() == kind.identity())
        })
        .map(|entry| PathBuf::from(entry.file_name()))
        .ok_or_else(|| Error::invalid(CLASS, format!("no {:?}", kind.identity())))
}
