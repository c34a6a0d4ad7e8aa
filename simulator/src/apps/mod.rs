//! A world for changes of apps that loses, tears and forgets more than hardware does.
//!
//! What runs unchanged: planning, the order of tasks, what each does to files, what is swept away,
//! how the state is stored and read (`app_runtime::change`, `app_runtime::state`). What is
//! simulated: the file system below them, snap files, and apps, which write to their data.
//!
//! # Fault model
//!
//! What must be survived, also during the recovery from the last: **power cuts** before and after
//! any operation on the file system. Of what was not synced, any new name, rename or removal may
//! be lost although a later one is there, each folder for itself; a file's content may be old,
//! empty, zeros or any whole sectors of the new one. **Apps** that do not start, after having
//! written to their data.
//!
//! What need not be survived: a card that denies having stored what it acknowledged; an app that
//! does not sync what it wrote. What a damaged state leads to is `app_runtime::rebuild`'s matter.
//!
//! # What must hold
//!
//! After any cuts, and the recovery, everything is as before the change or as after it: what is
//! installed, what runs, every file, the data of every revision, every snapshot, byte for byte, and
//! nothing else is left. No app ever runs on a torn file, or without its data. A change that was
//! reported as done is done, whatever comes then. No change stays under way.
//!
//! | module | what |
//! |---|---|
//! | [`tree`] | folders and files, and what a power cut makes of them |
//! | [`machine`] | a gateway with such a card, as `app_runtime`'s world |
//! | [`story`] | what is asked of it |
//! | [`sweep`] | count, then cut |

pub mod machine;
pub mod story;
pub mod sweep;
pub mod tree;
