//! Power cuts without end: a gateway is given one update after the other while its power goes at
//! moments that a seed decides, and nothing may be lost.
//!
//! After each cut the gateway must come up healthy, on the release that it had or on the one that
//! it was given; and each update must be confirmed in the end, without a word from anybody.

use crate::Result;
use crate::error::{Error, ensure};
use crate::fleet_server::FleetServer;
use crate::gateway::Gateway;
use crate::releases::{Release, Releases};
use protocol::fleet::UpdatePhase;
use std::thread;
use std::time::Duration;

/// The latest moment of a cut after the gateway was healthy: a download takes longer, and what
/// comes after it (reading back, the reboot, the trial) is reached by the cuts that follow.
const LATEST_CUT_MS: u64 = 25_000;

/// What a soak went through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Power cuts.
    pub cuts: u32,
    /// Updates that were confirmed.
    pub updates: u64,
}

/// Cuts the power `cycles` times; `name` is the gateway's and the log's.
///
/// # Errors
/// What was lost, with seed and cycle.
pub fn run(name: &str, cycles: u32, seed: u64) -> Result<Report> {
    let releases = Releases::get()?;
    let fleet = FleetServer::start(name, releases.keys())?;
    let mut running = releases.first()?;
    let mut gateway = Gateway::new(name, &running, &fleet.device_toml(name)?)?;
    gateway.power_on()?;
    gateway.wait_healthy()?;
    let device = fleet.wait_enrolled(name)?;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut report = Report::default();
    let mut given = give(releases, &fleet, &device, 1)?;
    for cycle in 0..cycles {
        let moment = Duration::from_millis(random.u64(..LATEST_CUT_MS));
        thread::sleep(moment);
        gateway.power_cycle()?;
        report.cuts += 1;
        let what = format!("seed {seed}, cycle {cycle}, cut after {} ms", moment.as_millis());
        let lost = |error: Error| Error::Story(format!("{what}: {error}"));
        let status = gateway.wait_healthy().map_err(lost)?;
        let update = gateway.update().map_err(lost)?;
        println!("{what}: {} runs, update {:?}", status.version, update.phase);
        let known = [&running.version, &given.version].contains(&&status.version);
        ensure(known, || format!("{what}: {} runs", status.version))?;
        ensure(update.phase != UpdatePhase::FellBack, || format!("{what}: {update:?}"))?;
        if status.version == given.version && status.confirmed == Some(status.slot) {
            fleet.wait_update(&device, &given, UpdatePhase::Confirmed).map_err(lost)?;
            report.updates += 1;
            running = given;
            given = give(releases, &fleet, &device, report.updates + 1)?;
        }
    }
    fleet.wait_update(&device, &given, UpdatePhase::Confirmed)?;
    let status = gateway.wait_healthy_again()?;
    ensure(status.version == given.version, || format!("seed {seed}: {status:?}"))?;
    report.updates += 1;
    Ok(report)
}

fn give(releases: &Releases, fleet: &FleetServer, device: &str, number: u64) -> Result<Release> {
    let release = releases.numbered(number)?;
    fleet.deploy(&release, device)?;
    Ok(release)
}
