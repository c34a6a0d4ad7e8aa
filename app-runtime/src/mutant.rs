//! Bugs of changes of apps, for the simulator: see [`protocol::mutants`].

protocol::mutants! {
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
