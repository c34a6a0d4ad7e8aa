//! What all processes of a snap together may use, as a person or its snap.yaml says it.
//!
//! | name | bounds | as |
//! |---|---|---|
//! | `memory` | memory | `64M`: bytes, or with `k`, `M`, `G` (of 1024) |
//! | `cpu` | processor time | `50%` of one core; above 100 of several |
//! | `cpu-set` | cores by number | `0,1` |
//! | `threads` | processes and threads | a number |
//! | `io-read`, `io-write` | bytes a second to the disk with the data | as `memory` |

use serde::{Deserialize, Serialize};

/// Names of the bounds, as in snapd where it has them.
pub const NAMES: [&str; 6] = ["memory", "cpu", "cpu-set", "threads", "io-read", "io-write"];
/// Bytes in a unit by its letter.
const UNITS: [(&str, u64); 3] = [("k", 1 << 10), ("M", 1 << 20), ("G", 1 << 30)];

/// All bounds; `None` is none of the snap as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// Processor time in percent of one core.
    pub cpu: Option<u32>,
    /// Cores by number.
    pub cpu_set: Option<Vec<u32>>,
    /// Processes and threads.
    pub threads: Option<u64>,
    /// Bytes a second read from the disk with the data.
    pub io_read: Option<u64>,
    /// Bytes a second written to the disk with the data.
    pub io_write: Option<u64>,
}

impl Quota {
    /// Nothing is bounded.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Sets the bound of a name to what the text says; the error says what it is not.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
        let size = || bytes(text).ok_or("not a size as 64M");
        let rate = || bytes(text).ok_or("not bytes a second as 1M");
        match name {
            "memory" => self.memory = Some(size()?),
            "cpu" => {
                let percent = text.strip_suffix('%').unwrap_or(text).parse();
                self.cpu = Some(percent.map_err(|_| "not percent of a core as 50%")?);
            }
            "cpu-set" => {
                let cores: Result<Vec<u32>, _> = text.split(',').map(str::parse).collect();
                self.cpu_set = Some(cores.map_err(|_| "not numbers of cores as 0,1")?);
            }
            "threads" => self.threads = Some(text.parse().map_err(|_| "not a number")?),
            "io-read" => self.io_read = Some(rate()?),
            "io-write" => self.io_write = Some(rate()?),
            _ => return Err(format!("not one of {}", NAMES.join(", "))),
        }
        Ok(())
    }

    /// These bounds, and for what they do not bound those of `other`.
    pub fn or(self, other: &Self) -> Self {
        Self {
            memory: self.memory.or(other.memory),
            cpu: self.cpu.or(other.cpu),
            cpu_set: self.cpu_set.or_else(|| other.cpu_set.clone()),
            threads: self.threads.or(other.threads),
            io_read: self.io_read.or(other.io_read),
            io_write: self.io_write.or(other.io_write),
        }
    }
}

/// `64M`, `64MB`, `65536`.
fn bytes(text: &str) -> Option<u64> {
    let text = text.strip_suffix('B').unwrap_or(text);
    let unit = UNITS.iter().find_map(|(letter, unit)| {
        let number =
            text.strip_suffix(letter).or_else(|| text.strip_suffix(&letter.to_lowercase()));
        Some((number?, *unit))
    });
    let (number, unit) = unit.unwrap_or((text, 1));
    number.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, size) in
            [("1", Some(1)), ("2k", Some(2048)), ("64MB", Some(64 << 20)), ("1G", Some(1 << 30))]
        {
            assert_eq!(bytes(text), size, "{text}");
        }
        for text in ["", "M", "x", "-1", "1T", "99999999999G"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }

    #[test]
    fn every_name_is_a_bound_and_says_what_it_takes() {
        let mut all = Quota::default();
        for (name, text) in NAMES.iter().zip(["64M", "150%", "0,3", "10", "1M", "2M"]) {
            all.set(name, text).unwrap();
            assert!(Quota::default().set(name, "x").is_err(), "{name}");
        }
        let expected = Quota {
            memory: Some(64 << 20),
            cpu: Some(150),
            cpu_set: Some(vec![0, 3]),
            threads: Some(10),
            io_read: Some(1 << 20),
            io_write: Some(2 << 20),
        };
        assert_eq!(all, expected);
        assert!(all.set("disk", "1M").unwrap_err().contains("memory, cpu"));
        assert_eq!(Quota::default().or(&all), all);
        let less = Quota { threads: Some(5), ..Quota::default() };
        assert_eq!(less.or(&all), Quota { threads: Some(5), ..all });
    }
}
