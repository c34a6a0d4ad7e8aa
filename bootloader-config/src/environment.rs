//! The stored U-Boot environment: two copies, written in turn.
//!
//! Format of a copy (U-Boot `include/env_internal.h`, redundant environment): CRC-32 of the data
//! (little-endian, 4 bytes), a serial number (1 byte, wraps from 255 to 0), then data:
//! `name=value` ended by a zero byte each, an empty one at the end.
//!
//! What always holds:
//! - A new state is encoded for the copy that is *not* in use, so a write torn by a power cut
//!   leaves the old state readable.
//! - The copy in use is the one that U-Boot would choose (`env_check_redund`).
//! - Variables that we do not know are kept; what we write is never larger than a copy.

use crate::Error;
use crate::layout::ENV_SIZE;
use crate::slots::SlotState;

/// Bytes before the data of a copy: check sum and serial number.
const HEADER: usize = 5;
/// Bytes of data in a copy.
const DATA: usize = ENV_SIZE - HEADER;
/// Longest name of a variable that we set.
const NAME_MAX: usize = 64;

/// Sixteen bytes at a time take 16 KiB of tables: for the simulator, which reads a million copies.
#[cfg(feature = "fast-crc")]
type Tables = crc::Table<16>;
#[cfg(not(feature = "fast-crc"))]
type Tables = crc::Table<1>;

static CRC: crc::Crc<u32, Tables> = crc::Crc::<u32, Tables>::new(&crc::CRC_32_ISO_HDLC);

/// One of the two copies on the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvironmentCopy {
    /// At [`crate::layout::ENV_OFFSET`].
    First,
    /// At [`crate::layout::ENV_OFFSET_REDUNDANT`].
    Second,
}

impl EnvironmentCopy {
    /// The other copy.
    #[must_use]
    pub const fn other(self) -> EnvironmentCopy {
        match self {
            EnvironmentCopy::First => EnvironmentCopy::Second,
            EnvironmentCopy::Second => EnvironmentCopy::First,
        }
    }

    /// Where it lies on the card, in bytes.
    pub const fn offset(self) -> u64 {
        match self {
            EnvironmentCopy::First => crate::layout::ENV_OFFSET,
            EnvironmentCopy::Second => crate::layout::ENV_OFFSET_REDUNDANT,
        }
    }
}

/// The raw bytes of one copy.
pub type RawCopy = [u8; ENV_SIZE];

/// What to write where, to store an environment.
#[derive(Clone, Debug)]
pub struct EncodedCopy {
    /// Which copy: the one that is not in use.
    pub copy: EnvironmentCopy,
    /// All its bytes.
    pub bytes: RawCopy,
}

/// The variables in use, and where they came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    data: heapless::Vec<u8, DATA>,
    active: EnvironmentCopy,
    serial: u8,
}

impl Environment {
    /// The environment in use, out of both raw copies. A copy that could not be read from the card
    /// is passed as `None`: "could not read" is not the same as "empty".
    ///
    /// # Errors
    /// [`Error::NoValidCopy`] when neither copy has a right check sum; [`Error::CopySize`].
    pub fn read(first: Option<&[u8]>, second: Option<&[u8]>) -> Result<Environment, Error> {
        let serial_first = first.map(check).transpose()?.flatten();
        let serial_second = second.map(check).transpose()?.flatten();
        let active = match (serial_first, serial_second) {
            (None, None) => return Err(Error::NoValidCopy),
            (Some(_), None) => EnvironmentCopy::First,
            (None, Some(_)) => EnvironmentCopy::Second,
            (Some(one), Some(two)) => newer(one, two),
        };
        let raw = match active {
            EnvironmentCopy::First => first,
            EnvironmentCopy::Second => second,
        };
        let raw = raw.ok_or(Error::NoValidCopy)?;
        let mut environment = Environment { data: heapless::Vec::new(), active, serial: raw[4] };
        for entry in entries(&raw[HEADER..]) {
            environment.push(&[entry])?;
        }
        Ok(environment)
    }

    /// A first environment for a new card, and both copies of it: slot a confirmed.
    ///
    /// Both are valid, the first is in use, so that the first write goes to the second.
    pub fn fresh() -> (Environment, [RawCopy; 2]) {
        let mut environment =
            Environment { data: heapless::Vec::new(), active: EnvironmentCopy::First, serial: 1 };
        // A handful of bytes into an empty environment of 16 KiB: cannot fail.
        let written = SlotState::FRESH.write(&mut environment);
        debug_assert!(written.is_ok());
        let copies = [environment.raw(1), environment.raw(0)];
        (environment, copies)
    }

    /// An environment without any variable, as if read from the first copy: for a card whose
    /// copies are both unreadable. [`Environment::encode`] then writes the second copy.
    pub fn empty() -> Environment {
        Environment { data: heapless::Vec::new(), active: EnvironmentCopy::First, serial: 0 }
    }

    /// The copy that these variables came from.
    pub fn active(&self) -> EnvironmentCopy {
        self.active
    }

    /// The value of a variable; `None` too when it is not UTF-8 (none of ours is).
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = entries(&self.data).find_map(|entry| value_of(entry, name))?;
        // Not UTF-8 is unreadable, not absent: a text that no reader of ours accepts.
        Some(core::str::from_utf8(value).unwrap_or("\u{fffd}"))
    }

    /// All variables, `name=value`, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        entries(&self.data)
    }

    /// Sets a variable. All others stay as they are.
    ///
    /// # Errors
    /// [`Error::VariableName`], [`Error::VariableValue`], [`Error::EnvironmentFull`]; the
    /// environment is then unchanged.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let valid = !name.is_empty()
            && name.len() <= NAME_MAX
            && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'=');
        if !valid {
            return Err(Error::VariableName);
        }
        if value.bytes().any(|byte| byte == 0) {
            return Err(Error::VariableValue);
        }
        let mut next = self.clone();
        next.unset(name);
        next.push(&[name.as_bytes(), b"=", value.as_bytes()])?;
        *self = next;
        Ok(())
    }

    /// Removes a variable, if it is there.
    pub fn unset(&mut self, name: &str) {
        let mut kept: heapless::Vec<u8, DATA> = heapless::Vec::new();
        for entry in entries(&self.data).filter(|entry| value_of(entry, name).is_none()) {
            // What is kept is a part of what was there: it fits.
            let fits = kept.extend_from_slice(entry).is_ok() && kept.push(0).is_ok();
            debug_assert!(fits);
        }
        self.data = kept;
    }

    /// What to write to store these variables: always the copy that is not in use.
    ///
    /// After it was written and synced, [`Environment::stored`] is the environment in use.
    pub fn encode(&self) -> EncodedCopy {
        let bytes = self.raw(self.serial.wrapping_add(1));
        EncodedCopy { copy: self.active.other(), bytes }
    }

    /// The same variables, once [`Environment::encode`]'s bytes are on the card.
    #[must_use]
    pub fn stored(mut self) -> Environment {
        self.active = self.active.other();
        self.serial = self.serial.wrapping_add(1);
        self
    }

    fn push(&mut self, parts: &[&[u8]]) -> Result<(), Error> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        // one zero byte ends this variable, one more ends the list
        if self.data.len() + length + 2 > DATA {
            return Err(Error::EnvironmentFull);
        }
        for part in parts {
            self.data.extend_from_slice(part).map_err(|_| Error::EnvironmentFull)?;
        }
        self.data.push(0).map_err(|_| Error::EnvironmentFull)
    }

    fn raw(&self, serial: u8) -> RawCopy {
        let mut raw = [0; ENV_SIZE];
        raw[HEADER..HEADER + self.data.len()].copy_from_slice(&self.data);
        let sum = CRC.checksum(&raw[HEADER..]);
        raw[..4].copy_from_slice(&sum.to_le_bytes());
        raw[4] = serial;
        raw
    }
}

/// The serial number of a raw copy with a right check sum.
fn check(raw: &[u8]) -> Result<Option<u8>, Error> {
    if raw.len() != ENV_SIZE {
        return Err(Error::CopySize { got: raw.len() });
    }
    let stored = u32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]);
    Ok((CRC.checksum(&raw[HEADER..]) == stored).then_some(raw[4]))
}

/// Which of two valid copies U-Boot takes, by their serial numbers (`env_check_redund`).
fn newer(first: u8, second: u8) -> EnvironmentCopy {
    match (first, second) {
        (255, 0) => EnvironmentCopy::Second,
        (0, 255) => EnvironmentCopy::First,
        _ if second > first => EnvironmentCopy::Second,
        _ => EnvironmentCopy::First,
    }
}

/// The variables in raw data, up to the empty one that ends it.
fn entries(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split(|byte| *byte == 0).take_while(|entry| !entry.is_empty())
}

fn value_of<'a>(entry: &'a [u8], name: &str) -> Option<&'a [u8]> {
    entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
}
