//! The U-Boot environment on the boot disk. The state machine is `bootloader_config::slots`, the
//! steps of storing it `bootloader_config::store`; this is the disk that they are taken on, and the
//! one place of persistence on a running system.

use crate::{
    Error,
    error::{At, Result},
};
use bootloader_config::{
    environment::{EnvironmentCopy, RawCopy},
    layout::ENV_SIZE,
    rollback::Marks,
    slots::{Reading, Slot, SlotState},
    store::{self, Media},
};
use protocol::control::{RollbackMarks, SlotName};
use rustix::fs::{Advice, fadvise};
use std::{
    fs::{File, OpenOptions},
    io,
    num::NonZeroU64,
    os::unix::fs::FileExt,
    path::PathBuf,
};

/// What a transition of the state machine gives.
pub type Transition = std::result::Result<SlotState, bootloader_config::Error>;
/// What a change of all that is stored gives.
pub type Change = std::result::Result<(SlotState, Marks), bootloader_config::Error>;

/// Where the environment lies.
#[derive(Debug, Clone)]
pub struct SlotStore {
    disk: PathBuf,
}

impl SlotStore {
    /// On this whole-disk device (or image file).
    pub fn new(disk: PathBuf) -> Self {
        Self { disk }
    }

    /// The state as stored; an environment of which no copy is valid reads as unreadable.
    pub fn state(&self) -> Result<SlotState> {
        Ok(store::state(&mut self.card(false)?))
    }

    /// The marks against rollbacks as stored; of an environment without a valid copy: unreadable.
    pub fn marks(&self) -> Result<Marks> {
        Ok(store::marks(&mut self.card(false)?))
    }

    /// Applies a change and stores what it gives, see [`store::change_all`].
    ///
    /// An environment of which no copy is valid is begun anew by a change that names the confirmed
    /// slot; its marks are then absent before the change, since there is nothing to keep.
    pub fn change(&self, change: impl FnOnce(&SlotState, &Marks) -> Change) -> Result<()> {
        let stored = store::change_all(&mut self.card(true)?, change);
        stored.map(drop).map_err(|error| {
            Error::invalid(format!("environment on {}", self.disk.display()), error.to_string())
        })
    }

    fn card(&self, write: bool) -> Result<Card> {
        let mut options = OpenOptions::new();
        options.read(true).write(write);
        Ok(Card(options.open(&self.disk).at("open", &self.disk)?))
    }
}

/// The disk with the two copies.
struct Card(File);

impl Media for Card {
    type Error = io::Error;

    fn read(&mut self, copy: EnvironmentCopy, into: &mut RawCopy) -> io::Result<()> {
        self.0.read_exact_at(into, copy.offset())
    }

    fn write(&mut self, copy: EnvironmentCopy, bytes: &RawCopy) -> io::Result<()> {
        self.0.write_all_at(bytes, copy.offset())
    }

    fn sync(&mut self, copy: EnvironmentCopy) -> io::Result<()> {
        self.0.sync_all()?;
        // What is read back comes from the card.
        let length = NonZeroU64::new(ENV_SIZE as u64);
        let _ = fadvise(&self.0, copy.offset(), length, Advice::DontNeed);
        Ok(())
    }
}

/// The state machine's word for a slot.
pub fn slot(name: SlotName) -> Slot {
    match name {
        SlotName::A => Slot::A,
        SlotName::B => Slot::B,
    }
}

/// The protocol's word for a slot that was read.
pub fn name(reading: Reading<Slot>) -> Option<SlotName> {
    reading.value().map(|slot| match slot {
        Slot::A => SlotName::A,
        Slot::B => SlotName::B,
    })
}

/// The protocol's form of the marks that were read.
pub fn marks(marks: &Marks) -> RollbackMarks {
    RollbackMarks {
        sequence: marks.sequence.value(),
        floor: marks.floor.value(),
        unreadable: marks.unreadable(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bootloader_config::{environment::Environment, layout::ENV_OFFSETS};

    fn store(test: &str) -> SlotStore {
        let path = std::env::temp_dir().join(format!("holdfast-env-{test}-{}", std::process::id()));
        let disk = File::create(&path).unwrap();
        disk.set_len(4 << 20).unwrap();
        let (_, copies) = Environment::fresh();
        for (copy, offset) in copies.iter().zip(ENV_OFFSETS) {
            disk.write_all_at(copy, offset).unwrap();
        }
        SlotStore::new(path)
    }

    /// A change of the slots alone.
    fn slots(store: &SlotStore, transition: fn(&SlotState) -> Transition) -> Result<()> {
        store.change(|state, marks| Ok((transition(state)?, *marks)))
    }

    fn destroy(store: &SlotStore) {
        let disk = OpenOptions::new().write(true).open(&store.disk).unwrap();
        for offset in ENV_OFFSETS {
            disk.write_all_at(&[0xff; ENV_SIZE], offset).unwrap();
        }
    }

    #[test]
    fn staging_confirming_and_dropping_survive_on_the_disk() {
        let store = store("cycle");
        assert_eq!(store.state().unwrap(), SlotState::FRESH);
        slots(&store, |s| s.stage_trial(Slot::B, 2)).unwrap();
        assert_eq!(store.state().unwrap().trial, Reading::Is(Slot::B));
        slots(&store, |s| Ok(s.confirm(Slot::B))).unwrap();
        assert_eq!(store.state().unwrap(), SlotState::FRESH.confirm(Slot::B));
        assert!(slots(&store, |s| s.stage_trial(Slot::B, 1)).is_err());
        slots(&store, |s| s.stage_trial(Slot::A, 1)).unwrap();
        slots(&store, |s| Ok(s.drop_trial())).unwrap();
        assert_eq!(store.state().unwrap(), SlotState::FRESH.confirm(Slot::B));
        std::fs::remove_file(&store.disk).unwrap();
    }

    #[test]
    fn an_unreadable_environment_is_told_from_an_empty_one_and_mended_by_confirming() {
        let store = store("mend");
        destroy(&store);
        assert_eq!(store.state().unwrap(), SlotState::UNREADABLE);
        assert!(store.marks().unwrap().unreadable());
        assert!(slots(&store, |s| s.stage_trial(Slot::B, 1)).is_err());
        slots(&store, |s| Ok(s.confirm(Slot::A))).unwrap();
        assert_eq!(store.state().unwrap(), SlotState::FRESH);
        std::fs::remove_file(&store.disk).unwrap();
    }

    #[test]
    fn confirming_and_raising_the_marks_is_one_write_and_then_in_both_copies() {
        let store = store("marks");
        let copies = || {
            let disk = File::open(&store.disk).unwrap();
            ENV_OFFSETS.map(|offset| {
                let mut raw = vec![0; ENV_SIZE];
                disk.read_exact_at(&mut raw, offset).unwrap();
                raw
            })
        };
        let before = copies();
        let confirm =
            |state: &SlotState, marks: &Marks| Ok((state.confirm(Slot::B), marks.raised(7, 3)));
        store.change(confirm).unwrap();
        let after = copies();
        assert!(before[0] != after[0] && before[1] != after[1], "both copies are written");
        assert!(after[0][5..] == after[1][5..], "both say the same");
        assert_eq!(after.map(|raw| raw[4]).iter().max(), Some(&3), "serial numbers 2, 3 after 1");
        let after = copies();
        assert_eq!(store.state().unwrap(), SlotState::FRESH.confirm(Slot::B));
        let marks = marks(&store.marks().unwrap());
        assert_eq!((marks.sequence, marks.floor, marks.unreadable), (Some(7), Some(3), false));
        store.change(confirm).unwrap();
        assert!(copies() == after, "nothing changes, nothing is written");
        // A rollback by a person confirms an older release: the marks stay.
        store.change(|state, marks| Ok((state.confirm(Slot::A), marks.raised(6, 1)))).unwrap();
        assert_eq!(store.marks().unwrap().sequence, Reading::Is(7));
        std::fs::remove_file(&store.disk).unwrap();
    }
}
