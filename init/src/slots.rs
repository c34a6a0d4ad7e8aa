//! The U-Boot environment on the boot disk: read, changed, written, read back. The state machine is
//! `bootloader_config::slots`; this is its one place of persistence on a running system.
//!
//! Every change is one write of the copy that is not in use, synced and read back from the card.
//! "Could not read" is an error, never a state.

use crate::{
    Error,
    error::{At, Result},
};
use bootloader_config::{
    environment::Environment,
    layout::{ENV_OFFSETS, ENV_SIZE},
    rollback::Marks,
    slots::{Reading, Slot, SlotState},
};
use protocol::control::{RollbackMarks, SlotName};
use rustix::fs::{Advice, OFlags, fadvise};
use std::{
    fs::{File, OpenOptions},
    num::NonZeroU64,
    os::unix::fs::{FileExt, OpenOptionsExt},
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
        let disk = File::open(&self.disk).at("open", &self.disk)?;
        match self.environment(&disk) {
            Some(environment) => Ok(SlotState::read(&environment)),
            None => Ok(SlotState::UNREADABLE),
        }
    }

    /// The marks against rollbacks as stored; of an environment without a valid copy: unreadable.
    pub fn marks(&self) -> Result<Marks> {
        let disk = File::open(&self.disk).at("open", &self.disk)?;
        Ok(self.environment(&disk).as_ref().map_or(Marks::UNREADABLE, Marks::read))
    }

    /// Applies a change and stores what it gives, in one write; none when nothing changes.
    ///
    /// An environment of which no copy is valid is begun anew by a change that names the confirmed
    /// slot; its marks are then absent before the change, since there is nothing to keep.
    pub fn change(&self, change: impl FnOnce(&SlotState, &Marks) -> Change) -> Result<()> {
        let disk = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlags::SYNC.bits() as i32)
            .open(&self.disk)
            .at("open", &self.disk)?;
        let read = self.environment(&disk);
        let slots = read.as_ref().map_or(SlotState::UNREADABLE, SlotState::read);
        let mut environment = read.unwrap_or_else(Environment::empty);
        let before = (slots, Marks::read(&environment));
        let after = change(&before.0, &before.1).map_err(|e| self.invalid(e.to_string()))?;
        if after == before {
            return Ok(());
        }
        let (slots, marks) = after;
        if slots == SlotState::UNREADABLE {
            // Marks alone would make a valid environment that knows no confirmed slot.
            return Err(self.invalid("no copy can be read, so nothing is kept in it".into()));
        }
        let written = slots.write(&mut environment).and_then(|()| marks.write(&mut environment));
        written.map_err(|e| self.invalid(e.to_string()))?;
        let encoded = environment.encode();
        let offset = encoded.copy.offset();
        disk.write_all_at(&encoded.bytes, offset).at("write environment to", &self.disk)?;
        disk.sync_all().at("sync", &self.disk)?;
        let _ = fadvise(&disk, offset, NonZeroU64::new(ENV_SIZE as u64), Advice::DontNeed);
        let stored = self.environment(&disk);
        let stored = stored.as_ref().map(|read| (SlotState::read(read), Marks::read(read)));
        if stored != Some(after) {
            return Err(self.invalid(format!("read back {stored:?} after writing {after:?}")));
        }
        Ok(())
    }

    fn environment(&self, disk: &File) -> Option<Environment> {
        let [first, second] = ENV_OFFSETS.map(|offset| {
            let mut raw = vec![0; ENV_SIZE];
            disk.read_exact_at(&mut raw, offset).is_ok().then_some(raw)
        });
        Environment::read(first.as_deref(), second.as_deref()).ok()
    }

    fn invalid(&self, problem: String) -> Error {
        Error::invalid(format!("environment on {}", self.disk.display()), problem)
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
    fn confirming_and_raising_the_marks_is_one_write() {
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
        let changed = before.iter().zip(&after).filter(|(old, new)| old != new).count();
        assert_eq!(changed, 1, "one copy was written, once: the other is as it was");
        assert_eq!(after.iter().map(|raw| raw[4]).max(), Some(2), "serial number after 1");
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
