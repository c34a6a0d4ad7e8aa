//! Which slot boots, and how that changes: a pure state machine.
//!
//! What always holds:
//! - **The confirmed slot has no counter.** A boot of it changes nothing on the card, so no number
//!   of power cuts can exhaust it. What counts its panics is in RAM, see [`crate::panics`].
//! - Every decision ends with both slots in the list of choices: something is always tried.
//! - A trial is only ever tried after it was counted down *and* that was stored.
//! - A value that could not be read is [`Reading::Unreadable`]: it neither confirms a slot nor
//!   starts a trial.

use crate::{Error, environment::Environment, panics::Panics};

/// Stored variable: the slot that was healthy, `a` or `b`.
pub const VAR_CONFIRMED: &str = "slot_confirmed";
/// Stored variable: the slot on trial, `a` or `b`; absent: none.
pub const VAR_TRIAL: &str = "slot_trial";
/// Stored variable: boots of the trial that are left, one decimal digit.
pub const VAR_TRIAL_LEFT: &str = "trial_left";

/// Most attempts that a trial can be given: the boot script counts in single digits.
pub const TRIAL_ATTEMPTS_MAX: u8 = 9;

/// Attempts of a rollback: that slot was healthy before, so what ends its trial is more likely
/// the power than the slot.
pub const ROLLBACK_ATTEMPTS: u8 = 4;

/// One of the two slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// Partition 2.
    A,
    /// Partition 3.
    B,
}

impl Slot {
    /// The other slot.
    #[must_use]
    pub const fn other(self) -> Slot {
        match self {
            Slot::A => Slot::B,
            Slot::B => Slot::A,
        }
    }

    /// `a` or `b`: the text in the environment, on the command line and in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Slot::A => "a",
            Slot::B => "b",
        }
    }

    /// The slot with that name.
    pub fn from_name(name: &str) -> Option<Slot> {
        match name {
            "a" => Some(Slot::A),
            "b" => Some(Slot::B),
            _ => None,
        }
    }
}

/// What reading a stored value gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading<T> {
    /// There is none.
    Absent,
    /// This value.
    Is(T),
    /// The value, or the environment around it, could not be understood.
    Unreadable,
}

impl<T> Reading<T> {
    /// The value, if one was read.
    pub fn value(self) -> Option<T> {
        match self {
            Reading::Is(value) => Some(value),
            Reading::Absent | Reading::Unreadable => None,
        }
    }
}

/// How a slot is booted: `holdfast.boot=` on the kernel's command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The confirmed slot, no trial set.
    Confirmed,
    /// The slot on trial, counted down.
    Trial,
    /// What is left when the trial or the confirmed slot did not boot or panicked again and again,
    /// or nothing is known.
    Fallback,
}

impl Mode {
    /// The word on the kernel's command line.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Confirmed => "confirmed",
            Mode::Trial => "trial",
            Mode::Fallback => "fallback",
        }
    }

    /// The mode with that name.
    pub fn from_name(name: &str) -> Option<Mode> {
        match name {
            "confirmed" => Some(Mode::Confirmed),
            "trial" => Some(Mode::Trial),
            "fallback" => Some(Mode::Fallback),
            _ => None,
        }
    }
}

/// A slot to try, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// The slot.
    pub slot: Slot,
    /// How.
    pub mode: Mode,
}

/// What the boot script does with a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// The trial: only tried when `trial_left` was stored with this value first.
    pub trial: Option<(Slot, u8)>,
    /// Then these, each when the one before did not load.
    pub then: [Choice; 2],
}

impl Decision {
    /// All choices in the order in which they are tried, when storing the count works.
    pub fn choices(&self) -> impl Iterator<Item = Choice> + '_ {
        let trial = self.trial.map(|(slot, _)| Choice { slot, mode: Mode::Trial });
        trial.into_iter().chain(self.then)
    }
}

/// The three stored values that decide, as they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotState {
    /// The slot that was healthy.
    pub confirmed: Reading<Slot>,
    /// The slot on trial.
    pub trial: Reading<Slot>,
    /// Boots of the trial that are left.
    pub trial_left: Reading<u8>,
}

impl SlotState {
    /// A fresh card: slot a confirmed, no trial.
    pub const FRESH: SlotState = SlotState::confirmed_only(Slot::A);

    /// No copy of the environment could be read.
    pub const UNREADABLE: SlotState = SlotState {
        confirmed: Reading::Unreadable,
        trial: Reading::Unreadable,
        trial_left: Reading::Unreadable,
    };

    const fn confirmed_only(slot: Slot) -> SlotState {
        SlotState {
            confirmed: Reading::Is(slot),
            trial: Reading::Absent,
            trial_left: Reading::Absent,
        }
    }

    /// Reads the state out of an environment.
    pub fn read(environment: &Environment) -> SlotState {
        SlotState {
            confirmed: read_slot(environment.get(VAR_CONFIRMED)),
            trial: read_slot(environment.get(VAR_TRIAL)),
            trial_left: read_left(environment.get(VAR_TRIAL_LEFT)),
        }
    }

    /// Writes the state into an environment. An unreadable value is left as it is: what could not
    /// be understood is not replaced by a guess.
    pub fn write(&self, environment: &mut Environment) -> Result<(), Error> {
        write_value(environment, VAR_CONFIRMED, self.confirmed, Slot::name)?;
        write_value(environment, VAR_TRIAL, self.trial, Slot::name)?;
        write_value(environment, VAR_TRIAL_LEFT, self.trial_left, digit)
    }

    /// The slot that is certainly not needed and may be written by an update: the one that is not
    /// confirmed. None while the confirmed slot is not known.
    pub fn writable_slot(&self) -> Option<Slot> {
        self.confirmed.value().map(Slot::other)
    }

    /// Puts `slot` on trial for the next `attempts` boots. The confirmed slot stays as it is.
    pub fn stage_trial(&self, slot: Slot, attempts: u8) -> Result<SlotState, Error> {
        let Reading::Is(confirmed) = self.confirmed else {
            return Err(Error::ConfirmedUnreadable);
        };
        if slot == confirmed {
            return Err(Error::TrialInConfirmedSlot);
        }
        if attempts == 0 || attempts > TRIAL_ATTEMPTS_MAX {
            return Err(Error::TrialAttempts { got: attempts });
        }
        Ok(SlotState {
            confirmed: self.confirmed,
            trial: Reading::Is(slot),
            trial_left: Reading::Is(attempts),
        })
    }

    /// Gives the trial up: it was unhealthy, did not boot, or is to be overwritten.
    #[must_use]
    pub fn drop_trial(&self) -> SlotState {
        SlotState { confirmed: self.confirmed, trial: Reading::Absent, trial_left: Reading::Absent }
    }

    /// The running slot is healthy: it is the confirmed one from now on, and no trial is left.
    #[must_use]
    pub fn confirm(&self, running: Slot) -> SlotState {
        SlotState::confirmed_only(running)
    }

    /// Goes back to the slot before a success, as a person asked: that slot is tried once more
    /// like an update, so a slot that no longer works costs a fall back and not a visit.
    pub fn rollback(&self) -> Result<SlotState, Error> {
        let Reading::Is(confirmed) = self.confirmed else {
            return Err(Error::ConfirmedUnreadable);
        };
        self.stage_trial(confirmed.other(), ROLLBACK_ATTEMPTS)
    }

    /// What is stored after the boot script counted: only a trial that is tried counts.
    #[must_use]
    pub fn counted_down(&self) -> SlotState {
        match decide(self, Panics::NONE).trial {
            Some((_, left)) => SlotState { trial_left: Reading::Is(left), ..*self },
            None => *self,
        }
    }
}

fn read_slot(value: Option<&str>) -> Reading<Slot> {
    match value {
        None | Some("") => Reading::Absent,
        Some(name) => Slot::from_name(name).map_or(Reading::Unreadable, Reading::Is),
    }
}

fn read_left(value: Option<&str>) -> Reading<u8> {
    match value.map(str::as_bytes) {
        None | Some([]) => Reading::Absent,
        Some([digit @ b'0'..=b'9']) => Reading::Is(digit - b'0'),
        Some(_) => Reading::Unreadable,
    }
}

fn digit(left: u8) -> &'static str {
    const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    DIGITS[usize::from(left.min(TRIAL_ATTEMPTS_MAX))]
}

fn write_value<T: Copy>(
    environment: &mut Environment,
    name: &str,
    value: Reading<T>,
    text: impl Fn(T) -> &'static str,
) -> Result<(), Error> {
    match value {
        Reading::Absent => {
            environment.unset(name);
            Ok(())
        }
        Reading::Is(value) => environment.set(name, text(value)),
        Reading::Unreadable => Ok(()),
    }
}

/// What to boot. The boot script of [`crate::script`] does the same; `hil-tests` runs the real
/// U-Boot against each row.
///
/// | confirmed | trial | left | tried in this order |
/// |---|---|---|---|
/// | C | none | any | C `confirmed`, other `fallback` |
/// | C | C | any | C `confirmed`, other `fallback` (a slot is not on trial against itself) |
/// | C | T | 1 to 9 | store left - 1; T `trial`, C `fallback`, T `fallback` |
/// | C | T | 0 | C `fallback`, T `fallback` |
/// | C | T | none, unreadable | C `fallback`, T `fallback` |
/// | C | unreadable | any | C `fallback`, other `fallback` |
/// | none, unreadable | T | any | other than T `fallback`, T `fallback` |
/// | none, unreadable | none, unreadable | any | a `fallback`, b `fallback` |
/// | three panics in a row, no trial tried | | | the row's two in turned order, both `fallback` |
///
/// When the count cannot be stored, the trial is passed over: an endless trial is worse than none.
/// `panics` is what [`Panics::counted`] gave: none where a trial is tried.
pub fn decide(state: &SlotState, panics: Panics) -> Decision {
    use Reading::{Absent, Is, Unreadable};
    let calm = |slot: Slot| [confirmed(slot), fallback(slot.other())];
    let fall_back = |slot: Slot| [fallback(slot), fallback(slot.other())];
    let (trial, then) = match (state.confirmed, state.trial, state.trial_left) {
        (Is(c), Absent, _) => (None, calm(c)),
        (Is(c), Is(t), _) if t == c => (None, calm(c)),
        (Is(c), Is(t), Is(left @ 1..=TRIAL_ATTEMPTS_MAX)) => (Some((t, left - 1)), fall_back(c)),
        (Is(c), Is(_), Is(_)) => (None, fall_back(c)),
        (Is(c), Is(_), Absent | Unreadable) => (None, fall_back(c)),
        (Is(c), Unreadable, _) => (None, fall_back(c)),
        (Absent | Unreadable, Is(t), _) => (None, fall_back(t.other())),
        (Absent | Unreadable, Absent | Unreadable, _) => (None, fall_back(Slot::A)),
    };
    match (trial, panics.turned()) {
        (None, true) => Decision { trial, then: fall_back(then[1].slot) },
        _ => Decision { trial, then },
    }
}

const fn confirmed(slot: Slot) -> Choice {
    Choice { slot, mode: Mode::Confirmed }
}

const fn fallback(slot: Slot) -> Choice {
    Choice { slot, mode: Mode::Fallback }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Mode::{Confirmed, Fallback, Trial};
    use Reading::{Absent, Is, Unreadable};
    use Slot::{A, B};

    type Row = (Reading<Slot>, Reading<Slot>, Reading<u8>, &'static [(Slot, Mode)], Reading<u8>);

    /// The table of [`decide`], in its order: the state, what is tried, `trial_left` afterwards.
    const TABLE: &[Row] = &[
        (Is(A), Absent, Absent, &[(A, Confirmed), (B, Fallback)], Absent),
        (Is(B), Absent, Is(3), &[(B, Confirmed), (A, Fallback)], Is(3)),
        (Is(A), Is(A), Is(2), &[(A, Confirmed), (B, Fallback)], Is(2)),
        (Is(A), Is(B), Is(2), &[(B, Trial), (A, Fallback), (B, Fallback)], Is(1)),
        (Is(B), Is(A), Is(1), &[(A, Trial), (B, Fallback), (A, Fallback)], Is(0)),
        (Is(A), Is(B), Is(9), &[(B, Trial), (A, Fallback), (B, Fallback)], Is(8)),
        (Is(A), Is(B), Is(0), &[(A, Fallback), (B, Fallback)], Is(0)),
        (Is(A), Is(B), Absent, &[(A, Fallback), (B, Fallback)], Absent),
        (Is(A), Is(B), Unreadable, &[(A, Fallback), (B, Fallback)], Unreadable),
        (Is(B), Unreadable, Is(2), &[(B, Fallback), (A, Fallback)], Is(2)),
        (Absent, Is(A), Is(2), &[(B, Fallback), (A, Fallback)], Is(2)),
        (Unreadable, Is(B), Is(2), &[(A, Fallback), (B, Fallback)], Is(2)),
        (Unreadable, Unreadable, Unreadable, &[(A, Fallback), (B, Fallback)], Unreadable),
        (Absent, Absent, Absent, &[(A, Fallback), (B, Fallback)], Absent),
    ];

    #[test]
    fn the_decision_table_holds() {
        for (row, &(confirmed, trial, trial_left, expected, left)) in TABLE.iter().enumerate() {
            let state = SlotState { confirmed, trial, trial_left };
            let got = tried(&state, Panics::NONE);
            assert_eq!(got, expected, "row {row}: {state:?}");
            assert_eq!(state.counted_down().trial_left, left, "row {row}: {state:?}");
        }
        // The last row, which is about each of the others.
        for &(confirmed, trial, trial_left, expected, _) in TABLE {
            let state = SlotState { confirmed, trial, trial_left };
            for panics in Panics::all() {
                let turned = match *expected {
                    [(first, _), (second, _)] if panics.turned() => {
                        vec![(second, Fallback), (first, Fallback)]
                    }
                    _ => expected.to_vec(),
                };
                assert_eq!(tried(&state, panics), turned, "{panics:?}: {state:?}");
            }
        }
    }

    fn tried(state: &SlotState, panics: Panics) -> Vec<(Slot, Mode)> {
        decide(state, panics).choices().map(|choice| (choice.slot, choice.mode)).collect()
    }

    #[test]
    fn a_boot_of_the_confirmed_slot_counts_nothing() {
        let state = SlotState::FRESH;
        assert_eq!(state.counted_down(), state);
    }

    #[test]
    fn a_trial_is_staged_only_beside_a_known_confirmed_slot() {
        let fresh = SlotState::FRESH;
        assert_eq!(fresh.stage_trial(A, 1), Err(Error::TrialInConfirmedSlot));
        assert_eq!(fresh.stage_trial(B, 0), Err(Error::TrialAttempts { got: 0 }));
        assert_eq!(fresh.stage_trial(B, 10), Err(Error::TrialAttempts { got: 10 }));
        assert_eq!(SlotState::UNREADABLE.stage_trial(B, 1), Err(Error::ConfirmedUnreadable));
        assert_eq!(SlotState::UNREADABLE.rollback(), Err(Error::ConfirmedUnreadable));
        assert_eq!(SlotState::UNREADABLE.writable_slot(), None);
        let staged = fresh.stage_trial(B, 2).expect("valid");
        assert_eq!((staged.trial, staged.trial_left), (Is(B), Is(2)));
        assert_eq!(staged.confirm(B), SlotState::confirmed_only(B));
        assert_eq!(staged.drop_trial(), fresh);
        assert_eq!(fresh.confirm(B).rollback().map(|state| state.trial), Ok(Is(A)));
    }
}
