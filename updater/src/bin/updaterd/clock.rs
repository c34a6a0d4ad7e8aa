//! Which time is believed: for certificates, and for what expires.
//!
//! | clock | expiry is judged by |
//! |---|---|
//! | set by a time server since the boot | the clock |
//! | not set yet | the floor and the time since, but never more than the clock |
//!
//! The floor is the time of the build, or the last time that was seen if that is later: true
//! time is not below it. So a clock that was not set is no licence for what has expired by the
//! floor, and a clock that runs ahead does not make valid things expire.

use crate::files;
use crate::identity::Site;
use crate::paths::Paths;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use updater::policy::Moment;

/// How long a time server is waited for while the clock is only plausible (after the build).
const PATIENCE: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(250);

/// Unix seconds, as the clock has them.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// What is known of the time.
#[derive(Debug, Clone)]
pub struct Clock {
    floor: u64,
    /// Seconds since boot when the floor was read.
    read_at: u64,
    synced: PathBuf,
}

impl Clock {
    /// Reads the floor; `build_time` in Unix seconds.
    pub fn open(paths: &Paths, build_time: u64) -> Self {
        let text = files::read_text(&paths.clock_floor()).ok().flatten();
        let stored = text.and_then(|text| protocol::clock::parse(&text)).unwrap_or(0);
        let synced = paths.time_synced();
        Self { floor: build_time.max(stored), read_at: since_boot(), synced }
    }

    /// What is known of the time, for holds and windows.
    pub fn moment(&self) -> Moment {
        Moment { now: self.trusted(), set: self.synced.exists() }
    }

    /// Unix seconds by which expiry is judged.
    pub fn trusted(&self) -> u64 {
        let least = self.floor + since_boot().saturating_sub(self.read_at);
        judged(self.synced.exists(), now(), least)
    }
}

/// The table above; `least`: the floor and the time since.
fn judged(synced: bool, clock: u64, least: u64) -> u64 {
    if synced { clock } else { clock.min(least) }
}

fn since_boot() -> u64 {
    u64::try_from(rustix::system::sysinfo().uptime).unwrap_or(0)
}

/// Returns when a time server set the clock, or when it is plausible and none did for a while.
///
/// The clock floor makes it plausible at every start; a certificate made after the build is only
/// valid by a true clock, so that it is worth to wait a little.
pub fn wait(site: &Site) {
    let mut waited = Duration::ZERO;
    loop {
        if site.paths.time_synced().exists() {
            return;
        }
        if waited >= PATIENCE && now() >= site.build.build_time {
            eprintln!("no time server yet; going on with the clock as it is");
            return;
        }
        thread::sleep(STEP);
        waited += STEP;
    }
}

#[cfg(test)]
mod tests {
    use super::judged;

    #[test]
    fn a_clock_that_was_not_set_is_believed_up_to_the_floor_and_no_further() {
        for (synced, clock, least, expected) in [
            (true, 1000, 500, 1000),
            (true, 400, 500, 400),
            // not set: ahead of what can be known, as known, and behind (nobody raised it)
            (false, 9000, 500, 500),
            (false, 500, 500, 500),
            (false, 400, 500, 400),
        ] {
            assert_eq!(judged(synced, clock, least), expected, "{synced} {clock} {least}");
        }
    }
}
