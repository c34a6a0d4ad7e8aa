//! The card's raw regions: both copies of the environment and the chunks of both slots. What was
//! written lies in a cache until it is synced; a power cut keeps any of its sectors, in no
//! order, and one of them may hold anything.

use crate::content::Content;
use crate::loss::Loss;
use std::collections::{BTreeMap, BTreeSet};

/// Bytes that are written whole or not at all.
pub const SECTOR: usize = 512;

/// What a write covers. A slot is counted 0 (a) or 1 (b), a copy 0 or 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Block {
    /// A copy of the environment.
    Environment(usize),
    /// A chunk of a slot.
    Chunk(usize, u32),
}

/// The card. Its hash tells cards apart by what is durable and by what is still in the cache.
#[derive(Clone, Hash)]
pub struct Disk {
    durable: BTreeMap<Block, Content>,
    /// Written and not synced, oldest first.
    pending: Vec<(Block, Content)>,
    /// Cannot be read until written anew.
    unreadable: BTreeSet<Block>,
}

impl Disk {
    /// A card with this content.
    pub fn new(durable: BTreeMap<Block, Content>) -> Self {
        Self { durable, pending: Vec::new(), unreadable: BTreeSet::new() }
    }

    /// What a read gives now; `None`: the card cannot read it.
    pub fn read(&self, block: Block) -> Option<&Content> {
        let cached = self.pending.iter().rev().find(|(at, _)| *at == block);
        match cached {
            Some((_, content)) => Some(content),
            None if self.unreadable.contains(&block) => None,
            None => self.durable.get(&block),
        }
    }

    /// Writes into the cache.
    pub fn write(&mut self, block: Block, content: Content) {
        self.pending.push((block, content));
    }

    /// Makes all earlier writes durable.
    pub fn sync(&mut self) {
        for (block, content) in std::mem::take(&mut self.pending) {
            self.unreadable.remove(&block);
            self.durable.insert(block, content);
        }
    }

    /// Whether a cut could lose something.
    pub fn is_dirty(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The power goes: of each write that was not synced, any sectors are there.
    pub fn lose_power(&mut self, loss: Loss, random: &mut fastrand::Rng) {
        for (block, content) in std::mem::take(&mut self.pending) {
            let Some(old) = self.durable.get(&block) else { continue };
            let mixed: Content = match loss {
                Loss::Everything => continue,
                Loss::Nothing => content,
                Loss::Random => mixed(old, &content, random),
            };
            self.durable.insert(block, mixed);
        }
    }

    /// A bit of what is durable turns over.
    pub fn rot(&mut self, block: Block, random: &mut fastrand::Rng) {
        if let Some(content) = self.durable.get(&block) {
            let mut bytes = content.to_vec();
            let at = random.usize(..bytes.len());
            bytes[at] ^= 1 << random.u8(..8);
            self.durable.insert(block, bytes.into());
        }
    }

    /// The block cannot be read any more, until it is written.
    pub fn spoil(&mut self, block: Block) {
        self.unreadable.insert(block);
    }
}

/// Sectors of both, each a matter of chance; the one that was being written may hold anything.
fn mixed(old: &[u8], new: &[u8], random: &mut fastrand::Rng) -> Content {
    let mut bytes = old.to_vec();
    let differs = |at: &usize| old[*at..*at + SECTOR] != new[*at..*at + SECTOR];
    let written: Vec<usize> = (0..old.len()).step_by(SECTOR).filter(differs).collect();
    for at in &written {
        if random.bool() {
            bytes[*at..*at + SECTOR].copy_from_slice(&new[*at..*at + SECTOR]);
        }
    }
    if let Some(at) = random.choice(&written)
        && random.bool()
    {
        bytes[*at..*at + SECTOR].fill_with(|| random.u8(..));
    }
    bytes.into()
}
