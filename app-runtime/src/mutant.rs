//! Bugs put in on purpose, for the simulator's tests: a simulator that does not notice them is
//! worth nothing. Without the feature `mutants`, which nothing on a device has, none of them
//! exists.

/// One deliberate bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// The copy of the data is not synced before the new revision becomes the current one.
    CopyIsNotSynced,
    /// Undoing a copy deletes what was copied from.
    UndoDeletesTheOldData,
    /// What is no longer kept is deleted before the new revision has proved itself.
    DeletesBeforeProof,
    /// It is not stored that all is done before something is deleted.
    DeletesBeforeStoring,
    /// A task that failed leaves what it made.
    FailureLeavesThings,
    /// What an interrupted change left is not swept away.
    SweepsNothing,
    /// A change that the power ended is forgotten.
    ForgetsWhatWasUnderWay,
    /// The state's content is not synced before its rename.
    StateIsNotSynced,
    /// The data is taken away before its replacement is durable.
    SwapsWithoutSync,
    /// A snapshot is noted before its content is synced.
    SnapshotIsNotSynced,
}

#[cfg(feature = "mutants")]
thread_local! {
    static ACTIVE: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
}

/// Runs something with a bug in this thread's appd.
#[cfg(feature = "mutants")]
pub fn with<T>(mutant: Mutant, run: impl FnOnce() -> T) -> T {
    ACTIVE.set(Some(mutant));
    let result = run();
    ACTIVE.set(None);
    result
}

/// Whether this bug is to be there.
#[cfg(feature = "mutants")]
pub(crate) fn is(mutant: Mutant) -> bool {
    ACTIVE.get() == Some(mutant)
}

/// Never, on a device.
#[cfg(not(feature = "mutants"))]
pub(crate) const fn is(_: Mutant) -> bool {
    false
}
