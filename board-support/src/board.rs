//! Board files. The `[image]` table is the image builder's; this crate reads what the device needs.

use crate::Error;
use serde::{Deserialize, de::IgnoredAny};
use std::{fs, path::Path};

/// Where the image has the running board's file.
pub const BOARD_FILE: &str = "/etc/holdfast/board.toml";

/// A board.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// Id, the file's name.
    pub id: String,
    /// For people.
    pub description: String,
    /// Hardware that init uses.
    #[serde(default)]
    pub device: Device,
    #[serde(default, rename = "image")]
    _image: Ignored,
}

/// `[device]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Device {
    /// Watchdog, where the device tree does not say: `bcm2835`, `softdog`, `i6300esb` or `none`.
    pub watchdog: Option<String>,
    /// Status LED.
    pub led: Option<LedSource>,
    /// Reset button.
    pub button: Option<GpioLine>,
}

/// Where the status LED is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum LedSource {
    /// First of these in `/sys/class/leds`.
    Class(Vec<String>),
    /// A line of a GPIO chip.
    Gpio(GpioLine),
}

/// A line of a GPIO chip.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpioLine {
    /// Label of the chip (`pinctrl-bcm2835`), as `/sys/bus/gpio` and gpioinfo show it.
    pub chip: String,
    /// Offset in the chip.
    pub line: u32,
    /// Low means lit, or pressed.
    #[serde(default)]
    pub active_low: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Ignored;

impl PartialEq for Ignored {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Ignored {}

impl<'de> Deserialize<'de> for Ignored {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(from).map(|_| Self)
    }
}

impl Board {
    /// A board of which nothing is known: no hardware is touched.
    pub fn unknown() -> Self {
        Self {
            id: "unknown".into(),
            description: "no board file".into(),
            device: Device::default(),
            _image: Ignored,
        }
    }

    /// Parses a board file; the error names `name`, the line and the field.
    pub fn parse(text: &str, name: &str) -> Result<Self, Error> {
        toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(0, |span| text[..span.start].matches('\n').count() + 1);
            Error::invalid(format!("{name} line {line}"), error.message())
        })
    }

    /// Reads a board file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let name = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|e| Error::io("read", &name, e))?;
        Self::parse(&text, &name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_board_of_the_repository_is_named_after_its_file() {
        let boards = Path::new(env!("CARGO_MANIFEST_DIR")).join("boards");
        let mut count = 0;
        for entry in fs::read_dir(boards).unwrap() {
            let path = entry.unwrap().path();
            let board = Board::read(&path).unwrap();
            assert_eq!(Some(board.id.as_str()), path.file_stem().unwrap().to_str());
            assert!(board.device.watchdog.is_some(), "{} names no watchdog", board.id);
            count += 1;
        }
        assert!(count >= 3);
    }

    #[test]
    fn a_mistake_is_named_by_line_and_field() {
        let text = "id = \"x\"\ndescription = \"y\"\n[device]\nwatchdgo = \"none\"\n";
        let error = Board::parse(text, "x.toml").unwrap_err().to_string();
        assert!(error.starts_with("x.toml line 4") && error.contains("watchdgo"), "{error}");
    }

    #[test]
    fn lines_and_classes() {
        let text = "id = \"x\"\ndescription = \"y\"\n[device]\nled = { class = [\"ACT\"] }\n\
                    button = { chip = \"c\", line = 3, active_low = true }\n";
        let device = Board::parse(text, "x").unwrap().device;
        assert_eq!(device.led, Some(LedSource::Class(vec!["ACT".into()])));
        let button = GpioLine { chip: "c".into(), line: 3, active_low: true };
        assert_eq!(device.button, Some(button));
    }
}
