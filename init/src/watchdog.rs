//! The watchdog of the running system: opened before anything that may hang, petted by the one
//! loop, stopped by nobody.
//!
//! What always holds:
//! - A pet says that the loop came round, or that init still looks at a check of the data
//!   partition. No thread and no timer pets: they would go on when PID 1 hangs.
//! - It runs until the reset, through the end of the system too: a machine that hangs while it goes
//!   down is reset.
//! - A machine without a watchdog runs; that it has none is a warning.
//!
//! | phase | time-out | pets |
//! |---|---|---|
//! | start: mounts, data partition, provisioning | [`CARD_TIMEOUT_S`] | none, but for a check |
//! | a check of the data partition, at start | [`CARD_TIMEOUT_S`] | every [`PET_INTERVAL_MS`] |
//! | the loop | [`LOOP_TIMEOUT_S`] | every [`PET_INTERVAL_MS`] |
//! | end: killing, unmounting | [`CARD_TIMEOUT_S`] | none: the phase must fit |

use board_support::{
    Error,
    watchdog::{self, Kind, Watchdog},
};

/// Seconds for the two phases that wait for the card in one piece: journal replay and growth of the
/// data partition, and writing back before it is unmounted. A worn card at 2 MB/s writes the dirty
/// pages of a small board in about a minute; a limit that a slow card reaches would be a reset at
/// every boot.
pub const CARD_TIMEOUT_S: u32 = 127;
/// Seconds that the loop may take to come round. It writes logs, and a worn card keeps a writer for
/// tens of seconds; each second more is one that a hung gateway waits.
pub const LOOP_TIMEOUT_S: u32 = 31;
/// Milliseconds between two pets: two may be late before the third is the last.
pub const PET_INTERVAL_MS: u64 = 10_000;

/// The Raspberry Pi's watchdog counts below 16 s. The kernel pets it every 8 s until a longer
/// time-out ends, but its driver sets the hardware to the time-out *modulo* 16 s (Linux 6.12,
/// `bcm2835_wdt_start`): 120 would be 8 s, a reset at random. One less than a multiple is 15 s.
const BCM2835_PERIOD_S: u32 = 16;

const _: () = {
    assert!((CARD_TIMEOUT_S + 1).is_multiple_of(BCM2835_PERIOD_S));
    assert!((LOOP_TIMEOUT_S + 1).is_multiple_of(BCM2835_PERIOD_S));
    assert!(3 * PET_INTERVAL_MS < LOOP_TIMEOUT_S as u64 * 1000);
};

/// The board's watchdog, when it has one and it could be opened.
#[derive(Debug)]
pub struct Keeper {
    kind: Kind,
    open: Option<Watchdog>,
    next: u64,
}

impl Keeper {
    /// Opens the one that the device tree, else `board`, names, with the time-out of the start. One
    /// that cannot be opened yet is tried again by [`Keeper::begin_loop`].
    pub fn open(board: Option<&str>, warnings: &mut Vec<String>) -> Self {
        let kind = watchdog::chosen(board).unwrap_or_else(|error| {
            warnings.push(format!("watchdog: {error}"));
            Kind::None
        });
        Self { kind, open: Watchdog::open(kind, CARD_TIMEOUT_S).ok().flatten(), next: 0 }
    }

    /// Whether it ended the run before; `None` where it does not say.
    pub fn ended_last_run(&self) -> Option<bool> {
        watchdog::ended_last_run(self.kind)
    }

    /// From here on it wants to be petted; returns its name and time-out in seconds.
    pub fn begin_loop(&mut self) -> Result<Option<(&'static str, u32)>, Error> {
        match &mut self.open {
            Some(watchdog) => watchdog.set_timeout(LOOP_TIMEOUT_S)?,
            None => self.open = Watchdog::open(self.kind, LOOP_TIMEOUT_S)?,
        }
        Ok(self.open.as_ref().map(|watchdog| (self.kind.name(), watchdog.timeout_s)))
    }

    /// From here on nobody pets: what is left must fit into the time-out of the end.
    pub fn begin_end(&mut self) -> Result<(), Error> {
        self.open.as_mut().map_or(Ok(()), |watchdog| watchdog.set_timeout(CARD_TIMEOUT_S))
    }

    /// Pets it when that is due.
    pub fn turn(&mut self, now: u64) -> Result<(), Error> {
        match &mut self.open {
            Some(watchdog) if now >= self.next => {
                self.next = now + PET_INTERVAL_MS;
                watchdog.pet()
            }
            _ => Ok(()),
        }
    }

    /// When [`Keeper::turn`] is next to be called.
    pub fn next_deadline(&self) -> Option<u64> {
        self.open.as_ref().map(|_| self.next)
    }
}
