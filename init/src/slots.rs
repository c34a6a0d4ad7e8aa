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
    slots::{Reading, Slot, SlotState},
};
use protocol::control::SlotName;
use rustix::fs::{Advice, OFlags, fadvise};
use std::{
    fs::{File, OpenOptions},
    num::NonZeroU64,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::PathBuf,
};

/// What a transition of the state machine gives.
pub type Transition = std::result::Result<SlotState, bootloader_config::Error>;

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

    /// Applies a transition and stores what it gives; no write when nothing changes.
    pub fn change(&self, transition: impl FnOnce(&SlotState) -> Transition) -> Result<SlotState> {
        let disk = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlags::SYNC.bits() as i32)
            .open(&self.disk)
            .at("open", &self.disk)?;
        let read = self.environment(&disk);
        let before = read.as_ref().map_or(SlotState::UNREADABLE, SlotState::read);
        let after = transition(&before).map_err(|e| self.invalid(e.to_string()))?;
        if after == before {
            return Ok(after);
        }
        let mut environment = read.unwrap_or_else(Environment::empty);
        after.write(&mut environment).map_err(|e| self.invalid(e.to_string()))?;
        let encoded = environment.encode();
        let offset = encoded.copy.offset();
        disk.write_all_at(&encoded.bytes, offset).at("write environment to", &self.disk)?;
        disk.sync_all().at("sync", &self.disk)?;
        let _ = fadvise(&disk, offset, NonZeroU64::new(ENV_SIZE as u64), Advice::DontNeed);
        let stored = self.environment(&disk).as_ref().map(SlotState::read);
        if stored != Some(after) {
            return Err(self.invalid(format!("read back {stored:?} after writing {after:?}")));
        }
        Ok(after)
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

    #[test]
    fn staging_confirming_and_dropping_survive_on_the_disk() {
        let store = store("cycle");
        assert_eq!(store.state().unwrap(), SlotState::FRESH);
        store.change(|s| s.stage_trial(Slot::B, 2)).unwrap();
        assert_eq!(store.state().unwrap().trial, Reading::Is(Slot::B));
        store.change(|s| Ok(s.confirm(Slot::B))).unwrap();
        assert_eq!(store.state().unwrap(), SlotState::FRESH.confirm(Slot::B));
        assert!(store.change(|s| s.stage_trial(Slot::B, 1)).is_err());
        store.change(|s| s.stage_trial(Slot::A, 1)).unwrap();
        store.change(|s| Ok(s.drop_trial())).unwrap();
        assert_eq!(store.state().unwrap(), SlotState::FRESH.confirm(Slot::B));
        std::fs::remove_file(&store.disk).unwrap();
    }

    #[test]
    fn an_unreadable_environment_is_told_from_an_empty_one_and_mended_by_confirming() {
        let store = store("mend");
        let disk = OpenOptions::new().write(true).open(&store.disk).unwrap();
        for offset in ENV_OFFSETS {
            disk.write_all_at(&[0xff; ENV_SIZE], offset).unwrap();
        }
        assert_eq!(store.state().unwrap(), SlotState::UNREADABLE);
        assert!(store.change(|s| s.stage_trial(Slot::B, 1)).is_err());
        store.change(|s| Ok(s.confirm(Slot::A))).unwrap();
        assert_eq!(store.state().unwrap(), SlotState::FRESH);
        std::fs::remove_file(&store.disk).unwrap();
    }
}
