//! Figures, by `cargo xtask bench NAME`. They are printed, never compared with a limit in a test:
//! the machines that run this are noisy.
//!
//! | module | what |
//! |---|---|
//! | [`app`] | what confinement costs an app, beside other tools |
//! | [`boot`] | milestones of a boot in virtual time, beside the kernel alone and busybox |
//! | [`delta`] | size, time and memory of deltas, beside other tools |
//! | [`install`] | an update's parts, and writing a slot beside `dd` |
//! | [`memory`] | memory of each process of the device |

pub mod app;
pub mod boot;
pub mod delta;
pub mod install;
pub mod memory;
