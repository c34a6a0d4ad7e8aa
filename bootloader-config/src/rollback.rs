//! What the stored environment remembers against rollbacks: the highest sequence and floor that
//! were confirmed on this card.
//!
//! What always holds:
//! - The marks decide nothing at boot: the boot script does not read them, and no value of them
//!   keeps a slot from booting. They are a bar to *installing* and confirming, kept beside the one
//!   in the data partition, so that wiping that partition does not lower it.
//! - They never go down: [`Marks::raised`] takes the higher of what is there and what is given.
//! - A mark that cannot be understood is [`Reading::Unreadable`], not zero. It is replaced only by
//!   somebody who knows a value ([`Marks::restored`]).

use crate::{Error, environment::Environment, slots::Reading};
use core::fmt::Write;

/// Stored variable: highest sequence that was confirmed, decimal.
pub const VAR_SEQUENCE: &str = "rollback_sequence";
/// Stored variable: highest floor of a release that was confirmed, decimal.
pub const VAR_FLOOR: &str = "rollback_floor";

/// What is stored when a mark was lost with the environment around it: no number, so that it reads
/// as [`Reading::Unreadable`] until somebody knows it.
const LOST: &str = "lost";
/// Digits of the largest mark.
const DIGITS: usize = 20;

/// Both marks, as they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    /// Highest sequence that was confirmed.
    pub sequence: Reading<u64>,
    /// Highest floor that was confirmed.
    pub floor: Reading<u64>,
}

impl Marks {
    /// No copy of the environment could be read.
    pub const UNREADABLE: Marks =
        Marks { sequence: Reading::Unreadable, floor: Reading::Unreadable };

    /// Reads the marks out of an environment.
    pub fn read(environment: &Environment) -> Marks {
        Marks {
            sequence: read_mark(environment.get(VAR_SEQUENCE)),
            floor: read_mark(environment.get(VAR_FLOOR)),
        }
    }

    /// Writes the marks into an environment; an unreadable one stays unreadable.
    pub fn write(&self, environment: &mut Environment) -> Result<(), Error> {
        write_mark(environment, VAR_SEQUENCE, self.sequence)?;
        write_mark(environment, VAR_FLOOR, self.floor)
    }

    /// A release of this sequence and floor was confirmed. An unreadable mark stays unreadable: it
    /// may have been higher.
    #[must_use]
    pub fn raised(&self, sequence: u64, floor: u64) -> Marks {
        Marks { sequence: raise(self.sequence, sequence), floor: raise(self.floor, floor) }
    }

    /// As [`Marks::raised`], by somebody who knows what an unreadable mark must have been.
    #[must_use]
    pub fn restored(&self, sequence: u64, floor: u64) -> Marks {
        let known = |mark| if mark == Reading::Unreadable { Reading::Absent } else { mark };
        Marks { sequence: known(self.sequence), floor: known(self.floor) }.raised(sequence, floor)
    }

    /// The floor that a release of this sequence is below: it must not be confirmed any more. An
    /// unreadable floor keeps nothing that boots from running.
    pub fn below_floor(&self, sequence: u64) -> Option<u64> {
        self.floor.value().filter(|floor| sequence < *floor)
    }

    /// Whether a mark is there that cannot be understood.
    pub fn unreadable(&self) -> bool {
        self.sequence == Reading::Unreadable || self.floor == Reading::Unreadable
    }
}

fn raise(mark: Reading<u64>, to: u64) -> Reading<u64> {
    match mark {
        Reading::Absent => Reading::Is(to),
        Reading::Is(value) => Reading::Is(value.max(to)),
        Reading::Unreadable => Reading::Unreadable,
    }
}

fn read_mark(value: Option<&str>) -> Reading<u64> {
    match value {
        None | Some("") => Reading::Absent,
        // Digits only: `parse` alone would take a sign.
        Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            text.parse().map_or(Reading::Unreadable, Reading::Is)
        }
        Some(_) => Reading::Unreadable,
    }
}

fn write_mark(environment: &mut Environment, name: &str, mark: Reading<u64>) -> Result<(), Error> {
    match mark {
        Reading::Absent => {
            environment.unset(name);
            Ok(())
        }
        Reading::Is(value) => {
            let mut text: heapless::String<DIGITS> = heapless::String::new();
            write!(text, "{value}").map_err(|_| Error::VariableValue)?;
            environment.set(name, &text)
        }
        Reading::Unreadable if read_mark(environment.get(name)) == Reading::Unreadable => Ok(()),
        Reading::Unreadable => environment.set(name, LOST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Reading::{Absent, Is, Unreadable};

    #[test]
    fn a_mark_is_a_decimal_number_or_unreadable() {
        for (text, expected) in [
            ("", Absent),
            ("0", Is(0)),
            ("17", Is(17)),
            ("18446744073709551615", Is(u64::MAX)),
            ("18446744073709551616", Unreadable),
            ("-1", Unreadable),
            ("+1", Unreadable),
            ("1 ", Unreadable),
            ("0x10", Unreadable),
            ("; reset", Unreadable),
            ("\u{fffd}", Unreadable),
        ] {
            assert_eq!(read_mark(Some(text)), expected, "{text:?}");
        }
        assert_eq!(read_mark(None), Absent);
    }

    #[test]
    fn marks_go_up_and_an_unreadable_one_waits_for_who_knows_it() {
        for (mark, to, raised, restored) in [
            (Absent, 3, Is(3), Is(3)),
            (Is(5), 3, Is(5), Is(5)),
            (Is(5), 7, Is(7), Is(7)),
            (Unreadable, 7, Unreadable, Is(7)),
        ] {
            let marks = Marks { sequence: mark, floor: Is(1) };
            assert_eq!(marks.raised(to, 0).sequence, raised, "{mark:?} to {to}");
            assert_eq!(marks.restored(to, 0).sequence, restored, "{mark:?} to {to}");
            assert_eq!(marks.raised(to, 0).floor, Is(1));
        }
    }

    #[test]
    fn only_a_known_floor_bars_a_release() {
        for (floor, sequence, expected) in [
            (Is(5), 4, Some(5)),
            (Is(5), 5, None),
            (Is(0), 0, None),
            (Absent, 0, None),
            (Unreadable, 0, None),
        ] {
            let marks = Marks { sequence: Is(9), floor };
            assert_eq!(marks.below_floor(sequence), expected, "{floor:?} {sequence}");
        }
    }

    #[test]
    fn what_is_written_is_read_back_beside_everything_else() {
        let (mut environment, _) = Environment::fresh();
        let slots = crate::slots::SlotState::read(&environment);
        let marks = Marks { sequence: Is(u64::MAX), floor: Is(0) };
        marks.write(&mut environment).expect("fits");
        assert_eq!(Marks::read(&environment), marks);
        assert_eq!(crate::slots::SlotState::read(&environment), slots);
        environment.set(VAR_SEQUENCE, "rubbish").expect("fits");
        let read = Marks::read(&environment);
        read.write(&mut environment).expect("nothing to write");
        assert_eq!(environment.get(VAR_SEQUENCE), Some("rubbish"), "not replaced by a guess");
    }
}
