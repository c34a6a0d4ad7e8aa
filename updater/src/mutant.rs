//! Bugs put in on purpose, for the simulator's tests: a simulator that does not notice them is
//! worth nothing. Without the feature `mutants`, which nothing on a device has, none of them
//! exists.

/// One deliberate bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// The slot is staged without having been read back.
    SkipsReadBack,
    /// The trial is set before it is noted.
    StagesBeforeNoting,
    /// A release that fell back is not remembered.
    ForgetsFailures,
    /// A release below the floor is installed.
    IgnoresFloor,
    /// A chunk is taken without looking at its digest.
    SkipsDigest,
    /// A chunk that a delta made is taken without looking at its digest.
    BelievesDeltas,
    /// A chain of key sets that leads back is followed.
    TakesOlderKeys,
    /// The slot is written while a trial points to it.
    KeepsTrialWhileWriting,
}

#[cfg(feature = "mutants")]
thread_local! {
    static ACTIVE: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
}

/// Runs something with a bug in this thread's updater.
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
