//! How the environment is kept on a card: read both copies, change, write the copy that is not in
//! use, read back. The order of the steps is here and nowhere else; the card is behind [`Media`],
//! so that init runs these steps on the card and the simulator runs the same ones on a card that
//! loses, tears and forgets.
//!
//! What always holds:
//! - "Could not read" is a state ([`SlotState::UNREADABLE`]), never taken for an empty environment.
//! - A change is one write of one copy. It counts only once it was synced and read back; then the
//!   other copy is brought to the same state.
//! - No write when nothing changes.
//! - An environment that is made anew, because no copy was valid, does not know the marks against
//!   rollbacks; it does not say that there were none.

use crate::environment::{EncodedCopy, Environment, EnvironmentCopy, RawCopy};
use crate::layout::ENV_SIZE;
use crate::rollback::Marks;
use crate::slots::SlotState;
use core::fmt;

/// A card that holds the two copies.
pub trait Media {
    /// Why a read or write failed.
    type Error;

    /// Reads one copy.
    ///
    /// # Errors
    /// When the card cannot read it.
    fn read(&mut self, copy: EnvironmentCopy, into: &mut RawCopy) -> Result<(), Self::Error>;

    /// Writes one copy; durable only after [`Media::sync`].
    ///
    /// # Errors
    /// When the card cannot write it; the copy may then hold anything.
    fn write(&mut self, copy: EnvironmentCopy, bytes: &RawCopy) -> Result<(), Self::Error>;

    /// Makes the last write durable; later reads come from the card.
    ///
    /// # Errors
    /// When the card does not confirm it; it is then unknown what the copy holds.
    fn sync(&mut self, copy: EnvironmentCopy) -> Result<(), Self::Error>;
}

/// All that is stored: what decides about slots, and what bars rollbacks.
pub type Stored = (SlotState, Marks);

/// Why a state was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreError<E> {
    /// The change itself is not allowed; nothing was written.
    Change(crate::Error),
    /// The card.
    Media(E),
    /// What was read back is not what was written.
    ReadBack {
        /// What was to be stored.
        wanted: SlotState,
        /// What is there; `None` when no copy is valid.
        found: Option<SlotState>,
    },
}

impl<E: fmt::Display> fmt::Display for StoreError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Change(error) => error.fmt(f),
            StoreError::Media(error) => error.fmt(f),
            StoreError::ReadBack { wanted, found } => {
                write!(f, "read back {found:?} after writing {wanted:?}")
            }
        }
    }
}

/// The environment in use; `None` when no copy is valid.
pub fn load<M: Media>(media: &mut M) -> Option<Environment> {
    let mut read = |copy| {
        let mut raw = [0; ENV_SIZE];
        media.read(copy, &mut raw).is_ok().then_some(raw)
    };
    let (first, second) = (read(EnvironmentCopy::First), read(EnvironmentCopy::Second));
    Environment::read(first.as_ref().map(|raw| &raw[..]), second.as_ref().map(|raw| &raw[..])).ok()
}

/// The stored marks against rollbacks.
pub fn marks<M: Media>(media: &mut M) -> Marks {
    load(media).as_ref().map_or(Marks::UNREADABLE, Marks::read)
}

/// The stored state.
pub fn state<M: Media>(media: &mut M) -> SlotState {
    load(media).as_ref().map_or(SlotState::UNREADABLE, SlotState::read)
}

/// Applies a transition and stores what it gives, in one copy and then in the other one too: so a
/// copy that is lost later does not bring back a state that is over.
///
/// # Errors
/// [`StoreError`]; after anything but [`StoreError::Change`] the old state or the new one is
/// stored, and the next [`state`] says which.
pub fn change<M: Media>(
    media: &mut M,
    transition: impl FnOnce(&SlotState) -> Result<SlotState, crate::Error>,
) -> Result<SlotState, StoreError<M::Error>> {
    change_all(media, |state, marks| Ok((transition(state)?, *marks))).map(|(state, _)| state)
}

/// [`change`] of the slots and of the marks against rollbacks, in the same write.
///
/// # Errors
/// As [`change`].
pub fn change_all<M: Media>(
    media: &mut M,
    transition: impl FnOnce(&SlotState, &Marks) -> Result<Stored, crate::Error>,
) -> Result<Stored, StoreError<M::Error>> {
    let mut changed = false;
    let after = commit_all(media, |state, marks| {
        let after = transition(state, marks)?;
        changed = after != (*state, *marks);
        Ok(after)
    })?;
    if changed && let Some(environment) = load(media) {
        // The state is stored already; a second copy that cannot be written costs only its safety.
        let EncodedCopy { copy, bytes } = environment.encode();
        let _ = media.write(copy, &bytes).and_then(|()| media.sync(copy));
    }
    Ok(after)
}

/// [`change`] with one write: what the boot loader does.
///
/// # Errors
/// As [`change`].
pub fn commit<M: Media>(
    media: &mut M,
    transition: impl FnOnce(&SlotState) -> Result<SlotState, crate::Error>,
) -> Result<SlotState, StoreError<M::Error>> {
    commit_all(media, |state, marks| Ok((transition(state)?, *marks))).map(|(state, _)| state)
}

fn commit_all<M: Media>(
    media: &mut M,
    transition: impl FnOnce(&SlotState, &Marks) -> Result<Stored, crate::Error>,
) -> Result<Stored, StoreError<M::Error>> {
    let read = load(media);
    let slots = read.as_ref().map_or(SlotState::UNREADABLE, SlotState::read);
    let marks = read.as_ref().map_or(Marks::UNREADABLE, Marks::read);
    let mut environment = read.unwrap_or_else(Environment::empty);
    let before = (slots, marks);
    let after = transition(&before.0, &before.1).map_err(StoreError::Change)?;
    if after == before {
        return Ok(after);
    }
    if after.0 == SlotState::UNREADABLE {
        // Marks alone would make a valid environment that knows no confirmed slot.
        return Err(StoreError::Change(crate::Error::NoValidCopy));
    }
    let written = after.0.write(&mut environment).and_then(|()| after.1.write(&mut environment));
    written.map_err(StoreError::Change)?;
    let EncodedCopy { copy, bytes } = environment.encode();
    media.write(copy, &bytes).map_err(StoreError::Media)?;
    media.sync(copy).map_err(StoreError::Media)?;
    let found = load(media);
    let found = found.as_ref().map(|read| (SlotState::read(read), Marks::read(read)));
    if found == Some(after) {
        Ok(after)
    } else {
        let found = found.map(|(state, _)| state);
        Err(StoreError::ReadBack { wanted: after.0, found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::{Reading, Slot};

    /// Two copies; nothing goes wrong.
    struct Card([RawCopy; 2]);

    impl Media for Card {
        type Error = ();

        fn read(&mut self, copy: EnvironmentCopy, into: &mut RawCopy) -> Result<(), ()> {
            *into = self.0[copy as usize];
            Ok(())
        }

        fn write(&mut self, copy: EnvironmentCopy, bytes: &RawCopy) -> Result<(), ()> {
            self.0[copy as usize] = *bytes;
            Ok(())
        }

        fn sync(&mut self, _copy: EnvironmentCopy) -> Result<(), ()> {
            Ok(())
        }
    }

    #[test]
    fn marks_that_were_lost_with_the_environment_are_not_taken_for_none() {
        let mut card = Card([[0xa5; ENV_SIZE]; 2]);
        let confirmed =
            |state: &SlotState, marks: &Marks| Ok((state.confirm(Slot::A), marks.raised(3, 1)));
        let stored = change_all(&mut card, confirmed);
        assert_eq!(stored.map(|(_, marks)| marks), Ok(Marks::UNREADABLE));
        assert_eq!(state(&mut card), SlotState::FRESH.confirm(Slot::A));
        assert_eq!(marks(&mut card), Marks::UNREADABLE);
        // Until the updater, whose notes are whole, or a person says what they were.
        let known = change_all(&mut card, |state, marks| Ok((*state, marks.restored(9, 6))));
        let restored = Marks { sequence: Reading::Is(9), floor: Reading::Is(6) };
        assert_eq!(known.map(|(_, marks)| marks), Ok(restored));
        assert_eq!(marks(&mut card), restored);
    }
}
