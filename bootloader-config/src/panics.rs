//! Panics in a row, counted in RAM: how a slot that loads and then panics is passed over.
//!
//! The boot loader sees only kernels; that a root file system has rotted it learns from the panic
//! that dm-verity makes of it. A kernel that panics leaves its log in memory that outlives a reset
//! (`ramoops`, the kernel's `fs/pstore/ram.c`); the boot script counts such logs, and init takes
//! the count away once the system is healthy.
//!
//! What always holds:
//! - **Only a panic begins to count.** A power cut takes the count away with the memory, and where
//!   the memory outlives a short one, it holds no log that was not counted before.
//! - A log is counted once: the script marks it by setting the zone's start to 0, which changes
//!   nothing for the kernel that reads the log.
//! - The other slot has [`TURN`] boots, however they end, then the first one has its [`TURN`]
//!   panics again. So neither a panic that was nobody's fault nor another slot that is worse ends
//!   in a slot for ever: what would be booted without a count is booted again and again.
//! - A count that cannot be understood is none.
//!
//! The count lies in the last of the zones for logs, in the form of a log, so that the kernel keeps
//! it, shows it as a file in pstore, and drops it when that file is removed. A boot with three
//! crashes overwrites it; then counting begins anew.

use crate::layout::{RAMOOPS_ADDRESS, RAMOOPS_CONSOLE, RAMOOPS_RECORD, RAMOOPS_SIZE};

/// So many panics in a row, then as many boots of the other slot.
pub const TURN: u8 = 3;
/// Counts that there are: they go round.
const CYCLE: u8 = 2 * TURN;

/// Where the first log of a boot goes.
pub const LOG_ZONE: u32 = RAMOOPS_ADDRESS;
/// Where the count lies.
pub const COUNT_ZONE: u32 = RAMOOPS_ADDRESS + (LOG_ZONES - 1) * RAMOOPS_RECORD;
const LOG_ZONES: u32 = (RAMOOPS_SIZE - RAMOOPS_CONSOLE) / RAMOOPS_RECORD;
const _: () = assert!(LOG_ZONES >= 3, "a crash in a crash must not overwrite the count");

/// First word of a zone that the kernel knows.
pub const ZONE_MAGIC: u32 = 0x4347_4244;
/// Offset in a zone of the word that is 0 in an empty one, and in one that was counted.
pub const ZONE_START: u32 = 4;
/// Offset in a zone of the word with the number of bytes that follow.
pub const ZONE_LENGTH: u32 = 8;
/// Offset in a zone of its bytes.
pub const ZONE_TEXT: u32 = 12;

/// What the kernel wants before a log: its time, and `D` for not compressed.
const HEADER: &[u8; 16] = b"====00.000000-D\n";
/// The count, as the file in pstore shows it; its last byte is the digit.
const TEXT: &[u8; 8] = b"panics 0";
/// Bytes of both.
pub const RECORD_LENGTH: usize = HEADER.len() + TEXT.len();

/// How many panics there were in a row: 0 to 2, then 3 to 5 for the first to third boot of the
/// other slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Panics(u8);

impl Panics {
    /// None, or no count.
    pub const NONE: Panics = Panics(0);

    /// All that there are, in order.
    pub fn all() -> impl Iterator<Item = Panics> {
        (0..CYCLE).map(Panics)
    }

    /// The number.
    #[must_use]
    pub const fn count(self) -> u8 {
        self.0
    }

    /// Whether the other slot is to be tried first.
    #[must_use]
    pub const fn turned(self) -> bool {
        self.0 >= TURN
    }

    /// What the boot script counts before it boots anything.
    ///
    /// | a trial is tried | before | a new log | after |
    /// |---|---|---|---|
    /// | yes | any | any | none: a trial has its own count |
    /// | no | 0 to 2 | no | the same |
    /// | no | 0 to 2 | yes | one more |
    /// | no | 3, 4 | any | one more |
    /// | no | 5 | any | none |
    #[must_use]
    pub const fn counted(self, trial: bool, new_log: bool) -> Panics {
        match (trial, self.0, new_log) {
            (true, _, _) => Panics::NONE,
            (false, 0..TURN, false) => self,
            (false, 0..TURN, true) => Panics(self.0 + 1),
            (false, _, _) => Panics((self.0 + 1) % CYCLE),
        }
    }

    /// What is stored behind the zone's length.
    #[must_use]
    pub fn record(self) -> [u8; RECORD_LENGTH] {
        let mut record = [0; RECORD_LENGTH];
        record[..HEADER.len()].copy_from_slice(HEADER);
        record[HEADER.len()..].copy_from_slice(TEXT);
        record[RECORD_LENGTH - 1] += self.0;
        record
    }

    /// The count in a file of pstore; none when the file is a log.
    #[must_use]
    pub fn of_file(content: &[u8]) -> Option<Panics> {
        Panics::all().find(|panics| panics.record()[HEADER.len()..] == *content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_counting() {
        for (trial, before, new_log, after) in [
            (true, 0, true, 0),
            (true, 2, false, 0),
            (true, 4, true, 0),
            (false, 0, false, 0),
            (false, 2, false, 2),
            (false, 0, true, 1),
            (false, 2, true, 3),
            (false, 3, false, 4),
            (false, 4, true, 5),
            (false, 5, false, 0),
            (false, 5, true, 0),
        ] {
            let got = Panics(before).counted(trial, new_log);
            assert_eq!(got, Panics(after), "trial {trial}, {before}, log {new_log}");
        }
    }

    #[test]
    fn without_a_panic_nothing_is_ever_counted() {
        let mut panics = Panics::NONE;
        for boot in 0..1000 {
            panics = panics.counted(boot % 7 == 0, false);
            assert_eq!(panics, Panics::NONE);
        }
    }

    /// Whatever the boots of either slot come to, both are booted again and again.
    #[test]
    fn no_slot_is_left_for_ever() {
        for panics_of_the_first in [true, false] {
            for log_of_the_other in [true, false] {
                let mut panics = Panics(2);
                let mut boots = [0; 2];
                for _ in 0..60 {
                    let log = if panics.turned() { log_of_the_other } else { panics_of_the_first };
                    panics = panics.counted(false, log);
                    boots[usize::from(panics.turned())] += 1;
                }
                assert!(boots[0] >= 30, "{boots:?}");
                assert!(boots[1] >= 30 || !panics_of_the_first, "{boots:?}");
            }
        }
    }

    #[test]
    fn only_a_whole_count_is_read() {
        for panics in Panics::all() {
            let record = panics.record();
            assert_eq!(Panics::of_file(&record[HEADER.len()..]), Some(panics));
            assert_eq!(Panics::of_file(&record), None);
        }
        for file in [&b""[..], b"panics ", b"panics 6", b"panics 10", b"Panic#1 Part1\n"] {
            assert_eq!(Panics::of_file(file), None);
        }
    }
}
