//! When the clock may be believed: certificates are worth nothing before.

use crate::identity::Site;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a time server is waited for while the clock is only plausible (after the build).
const PATIENCE: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(250);

/// Unix seconds.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
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
