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
