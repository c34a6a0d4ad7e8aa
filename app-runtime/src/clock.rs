//! The device's clock, set by an app that knows better than it: a receiver of satellites or of a
//! radio signal, a clock chip of its own.
//!
//! What always holds: the clock is never set below the last time that was seen, nor above what can
//! be a time; what waits for a clock that was set (certificates, windows) knows that it was, and by
//! whom. A time server that answers later is believed over the app.

use crate::{
    error::{Context, Error, Result},
    paths::Paths,
};
use protocol::{calendar, clock};
use rustix::time::{ClockId, Timespec, clock_settime};
use std::fs;

/// Sets it to Unix seconds.
pub fn set(paths: &Paths, snap: &str, time: u64) -> Result<()> {
    let refuse = |why: &str| Err(Error::refused("time", format!("{snap}: {time}: {why}")));
    if time > clock::LATEST {
        return refuse("after the year 2200");
    }
    let seen = fs::read_to_string(paths.time_seen()).ok().and_then(|text| clock::parse(&text));
    if let Some(seen) = seen.filter(|seen| time < *seen) {
        return refuse(&format!("before {}, which was seen", calendar::utc_text(seen)));
    }
    let wanted = Timespec { tv_sec: time.cast_signed(), tv_nsec: 0 };
    clock_settime(ClockId::Realtime, wanted).context("set", "the clock")?;
    let synced = paths.time_synced();
    let new = synced.with_extension("new");
    fs::write(&new, format!("{time} {snap}\n")).at("write", &new)?;
    fs::rename(&new, &synced).at("rename to", &synced)?;
    eprintln!("holdfast: time {} from {snap}", calendar::utc_text(time));
    Ok(())
}
