//! The updater's ports, and the boot environment's, on a simulated world.

use crate::boot;
use crate::bug::Bug;
use crate::content::Content;
use crate::disk::Block;
use crate::files::Files;
use crate::release::{self, Container, Release};
use crate::world::{Handle, Holds, World};
use bootloader_config::environment::{EnvironmentCopy, RawCopy};
use bootloader_config::slots::{Reading, Slot, SlotState};
use bootloader_config::store::{self, Media, Stored};
use protocol::control::{
    BootReason, BootRecord, Failure, Health, RollbackMarks, SlotName, SystemStatus,
};
use protocol::payload::Kind;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use updater::Error;
use updater::durable::Folder;
use updater::ports::{BootControl, Chunk, Storage, Transport};

/// The number of a slot.
pub fn number(slot: Slot) -> usize {
    usize::from(slot == Slot::B)
}

/// The boot loader's word for a slot.
pub fn slot(number: usize) -> Slot {
    if number == 0 { Slot::A } else { Slot::B }
}

fn name(number: usize) -> SlotName {
    if number == 0 { SlotName::A } else { SlotName::B }
}

fn no_power() -> Failure {
    Failure { code: "no-power".into(), message: "the power is gone".into() }
}

fn storage(done: bool) -> Result<(), Error> {
    if done { Ok(()) } else { Err(Error::Storage("no power".into())) }
}

impl Media for Handle {
    type Error = &'static str;

    fn read(&mut self, copy: EnvironmentCopy, into: &mut RawCopy) -> Result<(), &'static str> {
        let world = self.look();
        let found = world.disk.read(Block::Environment(copy as usize)).ok_or("bad sector")?;
        into.copy_from_slice(found);
        Ok(())
    }

    fn write(&mut self, copy: EnvironmentCopy, bytes: &RawCopy) -> Result<(), &'static str> {
        let overwrites = self.look().bug == Some(Bug::EnvironmentIsOverwritten);
        let copy = if overwrites { copy.other() } else { copy };
        let block = Block::Environment(copy as usize);
        let done = self.operation("environment: write", |world| {
            world.disk.write(block, bytes.to_vec().into());
        });
        done.then_some(()).ok_or("no power")
    }

    fn sync(&mut self, _copy: EnvironmentCopy) -> Result<(), &'static str> {
        self.operation("environment: sync", |world| world.disk.sync()).then_some(()).ok_or("power")
    }
}

/// Environments whose meaning is remembered; then all are forgotten.
const REMEMBERED: usize = 256;

thread_local! {
    /// What the two copies say, by their whole content: they are asked more often than anything
    /// else, and each answer takes the checksum of both.
    static SAID: RefCell<HashMap<[Option<Content>; 2], Stored>> = RefCell::default();
}

/// What the environment says; as the device reads it, which has nothing else to go by.
fn stored(world: &Handle) -> Stored {
    let copies = [0, 1].map(|copy| world.look().disk.read(Block::Environment(copy)).cloned());
    SAID.with_borrow_mut(|said| {
        if said.len() == REMEMBERED {
            said.clear();
        }
        *said.entry(copies).or_insert_with(|| {
            let mut media = world.clone();
            (store::state(&mut media), store::marks(&mut media))
        })
    })
}

/// The stored state of the slots.
pub fn slot_state(world: &Handle) -> SlotState {
    stored(world).0
}

impl Storage for Handle {
    fn chunks(&self) -> u32 {
        release::SLOT_CHUNKS
    }

    fn read_running(&mut self, chunk: u32, into: &mut Chunk) -> Result<(), Error> {
        let world = self.look();
        read(&world, Block::Chunk(world.machine.running, chunk), into)
    }

    fn read_running_at(&mut self, offset: u64, into: &mut [u8]) -> Result<(), Error> {
        let world = self.look();
        let size = into.len();
        let (mut chunk, mut done) = (protocol::payload::zero_chunk(), 0);
        while done < size {
            let at = offset + done as u64;
            let number = (at / chunk.len() as u64) as u32;
            read(&world, Block::Chunk(world.machine.running, number), &mut chunk)?;
            let inside = (at % chunk.len() as u64) as usize;
            let length = (size - done).min(chunk.len() - inside);
            into[done..done + length].copy_from_slice(&chunk[inside..inside + length]);
            done += length;
        }
        Ok(())
    }

    fn read_target(&mut self, chunk: u32, into: &mut Chunk) -> Result<(), Error> {
        let world = self.look();
        read(&world, Block::Chunk(world.target(), chunk), into)
    }

    fn write_target(&mut self, chunk: u32, from: &Chunk) -> Result<(), Error> {
        let state = slot_state(self);
        let target = self.look().target();
        if state.confirmed != Reading::Is(slot(1 - target)) {
            self.change().violated("a slot is written beside one that is not confirmed");
        }
        if state.trial == Reading::Is(slot(target)) {
            self.change().violated("a slot that is on trial is written");
        }
        let content = self.look().interned(&from[..]);
        storage(self.operation(&format!("slot: write chunk {chunk}"), |world| {
            world.disk.write(Block::Chunk(target, chunk), content);
        }))
    }

    fn sync_target(&mut self) -> Result<(), Error> {
        storage(self.operation("slot: sync", |world| {
            if world.bug != Some(Bug::SlotIsNotSynced) {
                world.disk.sync();
            }
        }))
    }
}

fn read(world: &World, block: Block, into: &mut Chunk) -> Result<(), Error> {
    let found = world.disk.read(block).ok_or_else(|| Error::Storage(format!("{block:?}")))?;
    into.copy_from_slice(found);
    Ok(())
}

impl Transport for Handle {
    fn fetch(&mut self, source: &str, range: Range<u64>, into: &mut Vec<u8>) -> Result<(), Error> {
        let mut world = self.change();
        world.clock += 1;
        let lost = |why: &str| Error::Unreachable { source_url: source.into(), why: why.into() };
        if !world.machine.powered {
            return Err(lost("no power"));
        }
        let (release, container) =
            world.served(source).ok_or_else(|| Error::NotServed(source.into()))?;
        if world.outside.lose_requests > 0 {
            world.outside.lose_requests -= 1;
            world.note("network: connection lost");
            return Err(lost("connection lost"));
        }
        if let Some(chunk) = container.chunk_at(&range) {
            was_needed(&mut world, &release, &container, chunk);
        }
        let part = container.bytes.get(range.start as usize..range.end as usize);
        into.clear();
        into.extend_from_slice(part.ok_or_else(|| Error::PayloadTruncated(source.into()))?);
        let unreliable = world.outside.unreliable;
        if unreliable > 0 && world.random.u32(..unreliable) == 0 {
            return disturbed(&mut world, source, into);
        }
        Ok(())
    }
}

/// A fetch of a chunk that is on the card already is a fetch too many.
fn was_needed(world: &mut World, release: &Release, container: &Container, chunk: u32) {
    let wanted = &release.chunks[chunk as usize];
    let target = Block::Chunk(world.target(), chunk);
    let in_place = world.disk.read(target).is_some_and(|found| found == wanted);
    let running = (0..release::SLOT_CHUNKS).any(|at| {
        let block = Block::Chunk(world.machine.running, at);
        world.disk.read(block).is_some_and(|found| found == wanted)
    });
    if in_place || running {
        world.violated(format!("chunk {chunk} was fetched and was there already"));
    }
    let (count, how) = match container.kind {
        Kind::Whole => (&mut world.ledger.fetched, "whole"),
        Kind::Delta => (&mut world.ledger.patched, "as a delta"),
    };
    *count += 1;
    world.note(format!("network: chunk {chunk} {how}"));
}

fn disturbed(world: &mut World, source: &str, into: &mut [u8]) -> Result<(), Error> {
    match world.random.u8(..3) {
        0 => Err(Error::PayloadTruncated(source.into())),
        1 => {
            let at = world.random.usize(..into.len());
            into[at] ^= 0x55;
            Ok(())
        }
        _ => Err(Error::Unreachable { source_url: source.into(), why: "lost".into() }),
    }
}

/// What init tells of the environment's marks (`init/src/slots.rs`).
fn rollback_marks(world: &Handle) -> RollbackMarks {
    let marks = stored(world).1;
    RollbackMarks {
        sequence: marks.sequence.value(),
        floor: marks.floor.value(),
        unreadable: marks.unreadable(),
    }
}

impl BootControl for Handle {
    fn status(&mut self) -> Result<SystemStatus, Error> {
        let state = slot_state(self);
        let marks = rollback_marks(self);
        let world = self.look();
        let runs = world.machine.release.as_ref().ok_or_else(|| Error::Boot(no_power()))?;
        let build = runs.build.clone();
        Ok(SystemStatus {
            hostname: "gw".into(),
            board: build.board,
            version: build.version,
            sequence: build.sequence,
            floor: 1,
            slot: name(world.machine.running),
            confirmed: state.confirmed.value().map(|slot| name(number(slot))),
            trial: state.trial.value().map(|slot| name(number(slot))),
            rollback_marks: marks,
            boot_kind: boot::kind(world.machine.mode),
            boot_reason: world.machine.reason.clone(),
            boot_id: world.machine.boot_id.clone(),
            uptime_s: 1,
            health: Health::Healthy,
            services: Vec::new(),
            init_memory_kib: None,
            temperature_mc: None,
            warnings: Vec::new(),
        })
    }

    fn boots(&mut self) -> Result<Vec<BootRecord>, Error> {
        Ok(boot::records(self))
    }

    fn stage(&mut self, wanted: SlotName, attempts: u8) -> Result<(), Error> {
        let target = self.look().target();
        let wanted = usize::from(wanted == SlotName::B);
        let holds = self.look().holds(target);
        match holds {
            Holds::Whole(release) if wanted == target => {
                if self.look().ledger.ended.contains(&release.sequence()) {
                    self.change().violated("a release that fell back is staged again untold");
                }
                self.change().ledger.staged.insert(release.sequence());
            }
            _ => self.change().violated("a slot without a whole image is staged"),
        }
        if self.look().disk.is_dirty() {
            self.change().violated("a slot that is not synced is staged");
        }
        self.order(|state| state.stage_trial(slot(target), attempts))
    }

    fn drop_trial(&mut self) -> Result<(), Error> {
        self.order(|state| Ok(state.drop_trial()))
    }

    fn restore_marks(&mut self, sequence: u64, floor: u64) -> Result<(), Error> {
        let restored =
            store::change_all(self, |state, marks| Ok((*state, marks.restored(sequence, floor))));
        restored.map(drop).map_err(|_| Error::Boot(no_power()))
    }

    fn reboot(&mut self, reason: &str) -> Result<(), Error> {
        if boot::reboot(self, &BootReason::Reboot(reason.into())) {
            Ok(())
        } else {
            Err(Error::Boot(no_power()))
        }
    }

    fn updating(&mut self, _on: bool) {}
}

impl Handle {
    fn order(
        &mut self,
        transition: impl FnOnce(&SlotState) -> Result<SlotState, bootloader_config::Error>,
    ) -> Result<(), Error> {
        let stored = store::change(self, transition);
        stored.map(drop).map_err(|e| {
            Error::Boot(Failure { code: "slot-control".into(), message: e.to_string() })
        })
    }
}

/// Which folder of the data partition.
#[derive(Clone)]
pub enum Place {
    /// The updater's.
    Notes(Handle),
    /// init's.
    System(Handle),
}

impl Place {
    fn files<T>(&self, with: impl FnOnce(&Files) -> T) -> T {
        match self {
            Self::Notes(handle) => with(&handle.look().notes),
            Self::System(handle) => with(&handle.look().system),
        }
    }

    fn operation(&self, what: &str, effect: impl FnOnce(&mut Files)) -> Result<(), Failure> {
        let done = match self {
            Self::Notes(handle) => {
                let skips = match handle.look().bug {
                    Some(Bug::NoteIsNotSynced) => what.starts_with("sync "),
                    Some(Bug::NameIsNotSynced) => what == "names",
                    _ => false,
                };
                handle.operation(&format!("notes: {what}"), |world| {
                    if !skips {
                        effect(&mut world.notes);
                    }
                })
            }
            Self::System(handle) => {
                handle.operation(&format!("system: {what}"), |world| effect(&mut world.system))
            }
        };
        done.then_some(()).ok_or_else(no_power)
    }
}

impl Folder for Place {
    fn read(&mut self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.files(|files| files.read(name)))
    }

    fn write(&mut self, name: &str, content: &[u8]) -> Result<(), Failure> {
        self.operation(&format!("write {name}"), |files| files.write(name, content))
    }

    fn sync(&mut self, name: &str) -> Result<(), Failure> {
        self.operation(&format!("sync {name}"), |files| files.sync(name))
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), Failure> {
        let mut there = true;
        self.operation(&format!("rename to {to}"), |files| there = files.rename(from, to))?;
        there.then_some(()).ok_or_else(no_power)
    }

    fn sync_names(&mut self) -> Result<(), Failure> {
        self.operation("names", Files::sync_names)
    }
}
