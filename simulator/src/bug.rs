//! What a test breaks on purpose in the world around the updater; the updater's own bugs are
//! `updater::mutant::Mutant`. The simulator must notice each of them.

/// One broken part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// The slot's sync does nothing.
    SlotIsNotSynced,
    /// The sync of a note's content does nothing.
    NoteIsNotSynced,
    /// The sync of a note's name does nothing.
    NameIsNotSynced,
    /// The boot loader counts boots of the confirmed slot, and gives it up after a few.
    ConfirmedSlotIsCounted,
    /// The boot loader tries a trial without storing that it did.
    TrialIsNotCounted,
    /// The environment is written over the copy that is in use.
    EnvironmentIsOverwritten,
    /// The boot loader does not look for logs of panics.
    PanicsAreNotCounted,
    /// init leaves the count of panics when the system is healthy.
    PanicsAreNotForgotten,
    /// The boot loader counts each boot as a panic.
    BootsAreTakenForPanics,
    /// init confirms a trial as soon as it has come up.
    ConfirmedBeforeHealthy,
}
