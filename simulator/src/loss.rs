//! What a power cut takes of the things that were not synced.

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// All: nothing reached the medium.
    Everything,
    /// None: the cache was written out in the last moment.
    Nothing,
    /// Each sector, each name by chance.
    Random,
}

impl Loss {
    /// Whether a change that was not synced is kept.
    pub fn keeps(self, random: &mut fastrand::Rng) -> bool {
        match self {
            Loss::Everything => false,
            Loss::Nothing => true,
            Loss::Random => random.bool(),
        }
    }
}
