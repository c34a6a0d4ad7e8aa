//! Bugs of the updater, for the simulator: see [`protocol::mutants`].

protocol::mutants! {
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
