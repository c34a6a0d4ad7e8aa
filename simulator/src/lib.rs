//! A world for the updater that loses, tears and forgets more than hardware does.
//!
//! What runs unchanged: the updater's core (`updater`), its notes and how a file is replaced
//! (`updater::notes`, `updater::durable`), the environment's codec, its storing and the decision of
//! the boot loader (`bootloader_config`). What is simulated: the card, the file system below the
//! notes, the network and the fleet server, the clock, the boot loader's and init's sequence.
//!
//! # Fault model
//!
//! What must be survived, in any number, at any moment, also during the recovery from the last:
//! - **Power cuts** before and after any persistent operation. Of what was written and not synced,
//!   any 512-byte sectors reach the medium, in no order, and one may hold anything; a new file may
//!   be empty, zeros or any whole sectors of its content; a rename may be lost although a later
//!   one is there.
//! - **A torn environment**: its two copies are written like everything else.
//! - **Sectors that cannot be read** until they are written: of the slot that is written, and of
//!   one copy of the environment at a time.
//! - **Bit rot** in the slot that does not run; in the kernel or the root of the one that runs,
//!   when the next boot meets it and the other slot boots.
//! - **The network**: lost connections, truncated and damaged answers, old and repeated messages.
//! - **Loss of the data partition** as a whole.
//! - **Releases** that do not load, panic, hang, or never become healthy.
//!
//! What need not be survived: a card that denies having stored what it acknowledged; both slots
//! or both copies of the environment rotten at once; rot in the slot that runs which no boot has
//! met before the other slot is written; an attacker with the signing keys.
//!
//! # What must hold
//!
//! Something always boots. The slot that runs and the confirmed one are never written, nor is one
//! that is on trial. What is staged is whole and synced; what is confirmed was whole and healthy.
//! What runs is not below the floor, but to stand in for a slot that does not boot. No slot is
//! passed over but for three panics in a row that no healthy boot came between. A release
//! whose trial ended is not tried again untold. No chunk is fetched that is on the card. Once the
//! faults stop, the update completes without a person.
//!
//! | module | what |
//! |---|---|
//! | [`world`] | all that exists, copied at will |
//! | [`disk`], [`content`], [`files`], [`loss`] | what survives a power cut, and what does not |
//! | [`release`] | signed releases that are good and bad when booted |
//! | [`boot`] | boot loader, kernel, init |
//! | [`ports`] | the updater's ports |
//! | [`device`] | the device over time, and the plan of what is done to it |
//! | [`scenario`], [`sweep`] | count, then cut |
//! | [`chance`] | seeded runs with many faults |
//! | [`bug`] | what is broken on purpose |
//!
//! Changes of apps have a world of their own, with a fault model of their own: [`apps`].

pub mod apps;
pub mod boot;
pub mod bug;
pub mod chance;
pub mod content;
pub mod device;
pub mod disk;
pub mod files;
pub mod loss;
pub mod ports;
pub mod release;
pub mod scenario;
pub mod sweep;
pub mod world;
