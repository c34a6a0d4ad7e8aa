//! The part of a board file (`board-support/boards/ID.toml`) that concerns the build: its table
//! `[image]`.
//!
//! The rest of the file is the device's and is parsed by `board-support`, here as well, so that a
//! mistake stops the build.

use crate::{Error, Result};
use bootloader_config::layout::LoadAddresses;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Where the sources of the workspace are; the tool is run from the tree that it was built from.
pub fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// A board, as far as the build is concerned.
#[derive(Debug, Clone)]
pub struct Board {
    /// Id, the name of the file.
    pub id: String,
    /// For people.
    pub description: String,
    /// The watchdog that its device opens.
    pub watchdog: Option<String>,
    /// The table `[image]`.
    pub image: ImageSection,
    /// The whole file as it goes onto the device.
    pub text: String,
}

/// `[image]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSection {
    /// Device trees in the slot's FIT, file names as the kernel builds them; the first is the
    /// default.
    pub dtbs: Vec<String>,
    /// The SPI bus of the header, which is turned on in all of them; absent: it has none that the
    /// kernel knows.
    #[serde(default)]
    pub header_spi: Option<HeaderSpi>,
    /// Which U-Boot build, and with it where things go in memory.
    pub u_boot: UBoot,
    /// Files of Debian's raspi-firmware for the boot partition; empty on a board that has none.
    #[serde(default)]
    pub firmware: Vec<String>,
    /// Lines of the Pi firmware's `config.txt`.
    #[serde(default)]
    pub config_txt: Vec<String>,
    /// Tags of Raspberry Pi Imager's devices.
    #[serde(default)]
    pub imager_devices: Vec<String>,
}

/// Where device trees have the SPI bus of the header.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderSpi {
    /// Node of the bus.
    pub bus: String,
    /// Node of the GPIO chip.
    pub gpio: String,
    /// Node of the pins that belong to the bus.
    pub pins: String,
    /// Lines of clock and data.
    pub data: Vec<u32>,
    /// Lines that select a chip, in order.
    pub selects: Vec<u32>,
}

/// The builds of U-Boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UBoot {
    /// All Raspberry Pi boards.
    Rpi,
    /// QEMU's `virt` machine.
    Virt,
}

impl UBoot {
    /// Where the FIT and the kernel go in memory.
    pub fn load_addresses(self) -> LoadAddresses {
        match self {
            UBoot::Rpi => bootloader_config::layout::LOAD_RPI,
            UBoot::Virt => bootloader_config::layout::LOAD_VIRT,
        }
    }
}

#[derive(Deserialize)]
struct File {
    image: ImageSection,
}

/// Reads a board file by its id.
pub fn load(id: &str) -> Result<Board> {
    let folder = workspace_root().join("board-support/boards");
    let path = folder.join(format!("{id}.toml"));
    let plain = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !plain || !path.is_file() {
        let known = known(&folder).join(", ");
        return Err(Error::input(format!("unknown board {id:?}; the boards are: {known}")));
    }
    let text = std::fs::read_to_string(&path).map_err(Error::file("read", &path))?;
    let wrong = |e: &dyn std::fmt::Display| Error::input(format!("{}: {e}", path.display()));
    let device = board_support::Board::parse(&text, id).map_err(|e| wrong(&e))?;
    let file: File = toml::from_str(&text).map_err(|e| wrong(&e))?;
    if device.id != id {
        return Err(wrong(&format!("its id is {:?}", device.id)));
    }
    Ok(Board {
        id: device.id,
        description: device.description,
        watchdog: device.device.watchdog,
        image: file.image,
        text,
    })
}

/// Ids of all boards.
fn known(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut ids: Vec<String> = entries
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".toml").map(String::from))
        .collect();
    ids.sort();
    ids
}
