//! The boards of the stories: what QEMU plays each with, and in what its model differs from the
//! hardware.

use crate::qemu::Machine;

/// A board of `board-support/boards` that QEMU has a model of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Board {
    /// Raspberry Pi 3, as model B.
    Rpi3,
    /// Raspberry Pi 4, as model B.
    Rpi4,
    /// QEMU's own.
    Virt,
}

/// A change of the tree that the firmware would pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// A device that the model lacks: probing it would abort or hang.
    Disable(&'static str),
    /// A node that is to go.
    Remove(&'static str),
    /// A property of a node that is to go: (node, property).
    Delete(&'static str, &'static str),
}

/// What QEMU's model of the Pi 4 lacks, and how its card is wired: to the controller that on the
/// hardware has the radio.
const RPI4_EDITS: &[Edit] = &[
    Edit::Disable("/soc/interrupt-controller@7ef00100"),
    Edit::Disable("/soc/i2c@7ef04500"),
    Edit::Disable("/soc/i2c@7ef09500"),
    Edit::Disable("/soc/clock@7ef00000"),
    Edit::Disable("/soc/hdmi@7ef00700"),
    Edit::Disable("/soc/hdmi@7ef05700"),
    Edit::Disable("/emmc2bus/mmc@7e340000"),
    Edit::Disable("/wifi-pwrseq"),
    Edit::Delete("/soc/mmc@7e300000", "mmc-pwrseq"),
    Edit::Delete("/soc/mmc@7e300000", "non-removable"),
    Edit::Remove("/soc/mmc@7e300000/wifi@1"),
];

impl Board {
    /// The id of the board's file.
    pub fn id(self) -> &'static str {
        match self {
            Self::Rpi3 => "rpi3",
            Self::Rpi4 => "rpi4",
            Self::Virt => "virt",
        }
    }

    /// The machine that plays it.
    pub fn machine(self) -> Machine {
        match self {
            Self::Rpi3 => Machine::Raspi3b,
            Self::Rpi4 => Machine::Raspi4b,
            Self::Virt => Machine::Virt,
        }
    }

    /// The tree that the firmware would pass, as the kernel's build names it; none where QEMU makes
    /// its own.
    pub fn tree(self) -> Option<&'static str> {
        match self {
            Self::Rpi3 => Some("bcm2837-rpi-3-b.dtb"),
            Self::Rpi4 => Some("bcm2711-rpi-4-b.dtb"),
            Self::Virt => None,
        }
    }

    /// How that tree is edited for the model.
    pub fn edits(self) -> &'static [Edit] {
        match self {
            Self::Rpi4 => RPI4_EDITS,
            Self::Rpi3 | Self::Virt => &[],
        }
    }
}
