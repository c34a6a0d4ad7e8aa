//! Clocks that begin anew: a time namespace (`time_namespaces(7)`), made beforehand, that any
//! number of processes may be started in. The monotonic and the boot-time clock are below a second
//! when it is made; the wall clock is not part of it.

use crate::error::{Context, Error, Result};
use rustix::{
    thread::{UnshareFlags, gettid},
    time::ClockId,
};
use std::{
    fs::{self, File},
    os::fd::OwnedFd,
    thread,
};

/// What errors call it.
const NAMESPACE: &str = "time namespace";
/// The one that the next child of this thread is in.
const MADE: &str = "/proc/thread-self/ns/time_for_children";

/// A new namespace, which lives as long as the descriptor (CLOEXEC) or a process in it. Needs
/// `CAP_SYS_ADMIN` and `CAP_SYS_TIME`.
pub fn new() -> Result<OwnedFd> {
    // Of a thread of its own, so that no other child of the caller is in it.
    let made = thread::Builder::new().spawn(|| {
        unshare().context("make", NAMESPACE)?;
        // They can be set until the first process is in it.
        let path = format!("/proc/{}/timens_offsets", gettid().as_raw_nonzero());
        fs::write(&path, offsets()).context("write", path)?;
        File::open(MADE).map(OwnedFd::from).context("open", MADE)
    });
    let made = made.context("make", NAMESPACE)?;
    made.join().unwrap_or_else(|_| Err(Error::Vanished { program: NAMESPACE.into() }))
}

#[allow(deprecated, reason = "the safe form exists only in a newer rustix")]
fn unshare() -> rustix::io::Result<()> {
    rustix::thread::unshare(UnshareFlags::NEWTIME)
}

/// Whole seconds off both clocks: they begin below 1 s, and never before 0, which is refused.
fn offsets() -> String {
    let seconds = |id| rustix::time::clock_gettime(id).tv_sec;
    let (monotonic, boot) = (seconds(ClockId::Monotonic), seconds(ClockId::Boottime));
    format!("monotonic -{monotonic} 0\nboottime -{boot} 0\n")
}
