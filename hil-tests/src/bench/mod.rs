//! Figures of booted images: `cargo xtask bench boot` and `bench memory`. They are printed, never
//! compared with a limit in a test: the machines that run this are noisy.
//!
//! | module | what |
//! |---|---|
//! | [`boot`] | milestones of a boot in virtual time, beside the kernel alone and busybox |
//! | [`memory`] | memory of each process of the device |

pub mod boot;
pub mod memory;
