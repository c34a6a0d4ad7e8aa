//! A [`Confinement`] and a [`Process`] become a running, confined process: [`spawn`]. Sync, and the
//! one place of these
//! system calls.
//!
//! | module | what |
//! |---|---|
//! | [`confinement`] | what a process may see and do, as a value |
//! | [`process`] | what is executed |
//! | [`capability`], [`profile`], [`cgroup`] | capabilities, system calls, control groups |
//! | [`fence`] | the mounts once more as Landlock rules, and what the kernel lacks of that |
//! | `plan` | value to list of steps, in the caller, before anything is started |
//! | `view`, `skeleton` | the steps that make its `/`; mount points that a read-only directory lacks |
//! | [`clocks`] | a time namespace, made beforehand for any number of processes |
//! | `user_namespace` | made and mapped beforehand, in the caller, and entered late |
//! | `orphans` | which process a program left behind when it went into the background |
//! | `apply` | list of steps to system calls, in the new process |
//! | `clone`, `exec`, `landlock`, `mount_attr`, `netdevice`, `seccomp`, `signals` | what rustix does not wrap; the only `unsafe` |
//!
//! What always holds: the new process allocates nothing and takes no lock between its birth and the
//! execution of the
//! program (so the caller may have threads); every step that fails is reported to the caller with
//! its name and
//! object; no descriptor, environment variable or signal disposition of the caller reaches the
//! program unless it is
//! named; the caller never waits longer than the steps take.

mod apply;
pub mod capability;
pub mod cgroup;
pub mod clocks;
mod clone;
pub mod confinement;
mod error;
mod exec;
pub mod fence;
mod landlock;
mod mount_attr;
mod netdevice;
mod orphans;
mod plan;
pub mod process;
pub mod profile;
mod seccomp;
mod signals;
mod skeleton;
mod spawn;
mod user_namespace;
mod view;

pub use capability::CapabilitySet;
pub use cgroup::Limits;
pub use confinement::{
    CgroupPlace, Confinement, IdMap, Identity, Landlock, Mount, Namespaces, Ports, Root,
};
pub use error::Error;
pub use netdevice::loopback_up;
pub use process::{PROGRAM_PID, Process, Stdio};
pub use profile::Profile;
pub use rustix::process::{Pid, Resource, Signal};
pub use spawn::{Spawned, join, spawn};
