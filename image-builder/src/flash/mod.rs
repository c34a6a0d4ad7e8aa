//! Writes an image to a card: only the blocks of the block map, and reads them back.
//!
//! [`target`] decides whether a device may be written, from what the kernel says of it; [`write`]
//! does it. What always holds: nothing is written before every check has passed, and a mounted
//! device is never written, whoever insists.

pub mod target;
pub mod write;

pub use target::{Judgement, Target, judge};
pub use write::{Progress, image_to_device, image_to_file};
