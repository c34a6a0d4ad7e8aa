//! Everything that exists in one simulated world: what survives a power cut, the memory of the
//! running machine, the outside, and a ledger of what must never have happened.
//!
//! A world can be copied at any operation; copies share their contents and are cheap.

use crate::bug::Bug;
use crate::content::Content;
use crate::disk::{Block, Disk};
use crate::files::Files;
use crate::loss::Loss;
use crate::release::{self, CHUNK, Container, Deltas, Release, SLOT_CHUNKS};
use bootloader_config::environment::Environment;
use bootloader_config::panics::Panics;
use bootloader_config::slots::Mode;
use protocol::control::BootReason;
use std::cell::{Ref, RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

/// When simulated time begins, Unix seconds.
pub const BEGIN: u64 = 1_800_000_000;
/// Lines of what happened that are kept for a failure's report.
const TRACE: usize = 400;

/// The memory of the machine, and what its chips remember over a reset. Gone with the power.
#[derive(Clone)]
pub struct Machine {
    /// There is power.
    pub powered: bool,
    /// init has come up.
    pub up: bool,
    /// Slot that runs.
    pub running: usize,
    /// What runs; once started, it does so whatever becomes of the slot.
    pub release: Option<Rc<Release>>,
    /// How the boot loader chose it.
    pub mode: Mode,
    /// Why the machine started, as init sees it.
    pub reason: BootReason,
    /// Id of this boot.
    pub boot_id: String,
    /// The health gate has decided.
    pub gate_decided: bool,
    /// Why the boot before this one ended, where RAM and chips remember it.
    pub crash: Option<BootReason>,
    /// The last kernel left a log of its panic that the boot loader has not counted.
    pub new_log: bool,
    /// Panics in a row, as the boot loader counts them.
    pub panics: Panics,
}

/// The fleet server, its mirror and the network.
#[derive(Debug, Clone, Default)]
pub struct Outside {
    /// The retained message.
    pub desired: Option<Vec<u8>>,
    /// The retained chain of key sets.
    pub keys: Option<Vec<u8>>,
    /// Counter of the last assignment.
    pub counter: u64,
    /// The power goes after so many steps of each boot; `None`: it stays.
    pub life: Option<u32>,
    /// Requests that fail before one succeeds.
    pub lose_requests: u32,
    /// One request in so many fails or brings rubbish; 0: none.
    pub unreliable: u32,
    /// What the fleet has of deltas.
    pub deltas: Deltas,
    /// Next order of the plan.
    pub order: usize,
}

/// Where the power goes.
#[derive(Clone, Default)]
pub struct Power {
    /// Persistent operations so far.
    pub operations: u64,
    /// The operation before which the power goes.
    pub cut_before: Option<u64>,
    /// The world before each operation, when it is to be kept.
    history: Option<Vec<World>>,
}

/// What happened, to judge by.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// Highest floor of a release that was confirmed.
    pub floor: u64,
    /// Highest version of a key set that was in force.
    pub keys: u64,
    /// Releases that the updater staged.
    pub staged: BTreeSet<u64>,
    /// Releases whose trial ended by itself: not tried again until told.
    pub ended: BTreeSet<u64>,
    /// A slot below the floor had to stand in for one that does not boot any more.
    pub stands_in: bool,
    /// A release that was under way when the data partition was lost, and with it its name.
    pub forgotten: Option<u64>,
    /// Power cuts.
    pub cuts: u32,
    /// Boots, also those that came to nothing.
    pub boots: u32,
    /// Panics since the power came, a boot was healthy, or a trial began.
    pub panics: u8,
    /// Chunks that were fetched whole.
    pub fetched: u32,
    /// Chunks that were fetched as changes to what runs.
    pub patched: u32,
    /// The first thing that must never happen.
    pub violation: Option<String>,
}

/// See the module.
#[derive(Clone)]
pub struct World {
    /// The card's raw regions.
    pub disk: Disk,
    /// The updater's folder on the data partition.
    pub notes: Files,
    /// init's folder on the data partition.
    pub system: Files,
    /// The machine.
    pub machine: Machine,
    /// The outside.
    pub outside: Outside,
    /// Unix seconds.
    pub clock: u64,
    /// Power.
    pub power: Power,
    /// The ledger.
    pub ledger: Ledger,
    /// Chance.
    pub random: fastrand::Rng,
    /// What is broken on purpose.
    pub bug: Option<Bug>,
    releases: Rc<Vec<Rc<Release>>>,
    trace: VecDeque<String>,
}

/// What a slot holds.
#[derive(Clone)]
pub enum Holds {
    /// A whole release.
    Whole(Rc<Release>),
    /// A release that loads, with damage in its root file system.
    Damaged(Rc<Release>),
    /// Nothing that loads.
    Nothing,
}

impl World {
    /// A new card in a machine that is off: the first release in slot a, rubbish in slot b.
    pub fn new(releases: Vec<Rc<Release>>, seed: u64) -> Self {
        let mut durable: BTreeMap<Block, Content> = BTreeMap::new();
        for (number, copy) in Environment::fresh().1.into_iter().enumerate() {
            durable.insert(Block::Environment(number), copy.to_vec().into());
        }
        let rubbish: Content = vec![0xee; CHUNK].into();
        for chunk in 0..SLOT_CHUNKS {
            let first = releases[0].chunks.get(chunk as usize).unwrap_or(&rubbish);
            durable.insert(Block::Chunk(0, chunk), first.clone());
            durable.insert(Block::Chunk(1, chunk), rubbish.clone());
        }
        Self {
            disk: Disk::new(durable),
            notes: Files::default(),
            system: Files::default(),
            machine: Machine::off(),
            outside: Outside::default(),
            clock: BEGIN,
            power: Power::default(),
            ledger: Ledger::default(),
            random: fastrand::Rng::with_seed(seed),
            bug: None,
            releases: Rc::new(releases),
            trace: VecDeque::new(),
        }
    }

    /// All releases that exist.
    pub fn releases(&self) -> &[Rc<Release>] {
        &self.releases
    }

    /// The release of a sequence.
    pub fn release(&self, sequence: u64) -> Option<Rc<Release>> {
        self.releases.iter().find(|release| release.sequence() == sequence).cloned()
    }

    /// What the fleet and its mirror have at an address, and the release that it makes.
    pub fn served(&self, address: &str) -> Option<(Rc<Release>, Rc<Container>)> {
        let runs = self.machine.release.as_ref()?;
        let has = |release: &&Rc<Release>| release::source(release.sequence()) == address;
        if let Some(release) = self.releases.iter().find(has) {
            return Some((release.clone(), release.payload.clone()));
        }
        let release = self.releases.iter().find(|r| r.delta_address(runs) == address)?;
        let is_like_it = |other: &&Rc<Release>| {
            ![runs.sequence(), release.sequence()].contains(&other.sequence())
                && other.chunks[0][8..] == release.chunks[0][8..]
        };
        let made = match self.outside.deltas {
            Deltas::None => return None,
            Deltas::Good => release,
            Deltas::Wrong => self.releases.iter().find(is_like_it)?,
        };
        Some((release.clone(), made.delta_from(runs)))
    }

    /// The slot that is not running.
    pub fn target(&self) -> usize {
        1 - self.machine.running
    }

    /// What a slot holds, as a reader sees it.
    pub fn holds(&self, slot: usize) -> Holds {
        let same = |chunk: usize, content: &Content| {
            self.disk.read(Block::Chunk(slot, chunk as u32)) == Some(content)
        };
        let loads = |release: &&Rc<Release>| same(0, &release.chunks[0]);
        let Some(release) = self.releases.iter().find(loads) else { return Holds::Nothing };
        let whole = release.chunks.iter().enumerate().all(|(chunk, content)| same(chunk, content));
        if whole { Holds::Whole(release.clone()) } else { Holds::Damaged(release.clone()) }
    }

    /// The content of a known chunk where this is one: worlds then share it.
    pub fn interned(&self, bytes: &[u8]) -> Content {
        let known = self.releases.iter().flat_map(|release| &release.chunks);
        let mut known = known.filter(|content| content[..16] == bytes[..16]);
        known
            .find(|content| content[..] == *bytes)
            .cloned()
            .unwrap_or_else(|| bytes.to_vec().into())
    }

    /// Says what happened.
    pub fn note(&mut self, line: impl Into<String>) {
        if self.trace.len() == TRACE {
            self.trace.pop_front();
        }
        self.trace.push_back(format!("{:5} {}", self.power.operations, line.into()));
    }

    /// What happened, for a report.
    pub fn trace(&self) -> String {
        let lines: Vec<&str> = self.trace.iter().map(String::as_str).collect();
        lines.join("\n")
    }

    /// Something happened that must never happen.
    pub fn violated(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.note(format!("VIOLATION: {what}"));
        self.ledger.violation.get_or_insert(what);
    }

    /// A key set is in force.
    pub fn trusts(&mut self, version: u64) {
        if version < self.ledger.keys {
            self.violated(format!("the key set goes back from {} to {version}", self.ledger.keys));
        }
        self.ledger.keys = self.ledger.keys.max(version);
    }

    /// One persistent operation; `false`: the power went before it.
    pub fn operation(&mut self, what: &str, effect: impl FnOnce(&mut Self)) -> bool {
        if !self.machine.powered {
            return false;
        }
        if let Some(mut history) = self.power.history.take() {
            history.push(self.clone());
            self.power.history = Some(history);
        }
        if self.power.cut_before == Some(self.power.operations) {
            self.power.cut_before = None;
            self.note(format!("power cut before: {what}"));
            self.machine.powered = false;
            return false;
        }
        self.note(what);
        self.power.operations += 1;
        effect(self);
        true
    }

    /// From here on the world before each operation is kept.
    pub fn record(&mut self) {
        self.power.history = Some(Vec::new());
    }

    /// The kept worlds, and this one.
    pub fn recorded(&mut self) -> Vec<World> {
        let mut history = self.power.history.take().unwrap_or_default();
        history.push(self.clone());
        history
    }

    /// Whether a cut now could lose something that was written.
    pub fn is_dirty(&self) -> bool {
        self.disk.is_dirty() || self.notes.is_dirty() || self.system.is_dirty()
    }

    /// Tells worlds apart by what is stored or about to be, and by what is outside: two worlds that
    /// have the same key come to the same when the power goes.
    pub fn key(&self) -> u64 {
        let mut state = DefaultHasher::new();
        self.disk.hash(&mut state);
        self.notes.hash(&mut state);
        self.system.hash(&mut state);
        (&self.outside.desired, self.outside.order, self.outside.lose_requests).hash(&mut state);
        (self.outside.deltas, &self.outside.keys, self.ledger.keys).hash(&mut state);
        (self.ledger.floor, self.ledger.stands_in, self.ledger.forgotten).hash(&mut state);
        (&self.ledger.staged, &self.ledger.ended).hash(&mut state);
        state.finish()
    }

    /// The power goes.
    pub fn lose_power(&mut self, loss: Loss) {
        self.ledger.cuts += 1;
        self.ledger.panics = 0;
        self.note(format!("the power is gone; lost: {loss:?}"));
        self.settle(loss);
        self.machine = Machine::off();
    }

    /// A bit of a chunk turns over.
    pub fn rot(&mut self, slot: usize, chunk: u32) {
        self.note(format!("bit rot: slot {slot} chunk {chunk}"));
        self.disk.rot(Block::Chunk(slot, chunk), &mut self.random);
    }

    /// The data partition is lost and made anew: the device remembers nothing but its slots.
    pub fn lose_data(&mut self) {
        self.note("the data partition is lost");
        (self.notes, self.system) = (Files::default(), Files::default());
        self.ledger.ended.clear();
        self.ledger.keys = 0;
        self.ledger.forgotten = match self.holds(self.target()) {
            Holds::Whole(release) | Holds::Damaged(release) => Some(release.sequence()),
            Holds::Nothing => None,
        };
    }

    /// What was not synced becomes durable, or not.
    pub fn settle(&mut self, loss: Loss) {
        self.disk.lose_power(loss, &mut self.random);
        self.notes.lose_power(loss, &mut self.random);
        self.system.lose_power(loss, &mut self.random);
    }
}

impl Machine {
    /// Without power.
    pub fn off() -> Self {
        Self {
            powered: false,
            up: false,
            running: 0,
            release: None,
            mode: Mode::Confirmed,
            reason: BootReason::Cold,
            boot_id: String::new(),
            gate_decided: false,
            crash: None,
            new_log: false,
            panics: Panics::NONE,
        }
    }
}

/// A world that the updater's ports share.
#[derive(Clone)]
pub struct Handle(Rc<RefCell<World>>);

impl Handle {
    /// Takes a world.
    pub fn new(world: World) -> Self {
        Self(Rc::new(RefCell::new(world)))
    }

    /// Looks.
    pub fn look(&self) -> Ref<'_, World> {
        self.0.borrow()
    }

    /// Changes.
    pub fn change(&self) -> RefMut<'_, World> {
        self.0.borrow_mut()
    }

    /// One persistent operation, see [`World::operation`].
    pub fn operation(&self, what: &str, effect: impl FnOnce(&mut World)) -> bool {
        self.change().operation(what, effect)
    }
}
