//! Updates over MQTT: a good one is confirmed, a bad one falls back and says why, one that must not
//! run is refused, and a power cut at any moment of a download costs nothing but time.

use hil::Result;
use hil::error::ensure;
use hil::fleet_server::FleetServer;
use hil::gateway::Gateway;
use hil::releases::{Release, Releases};
use protocol::control::SlotName;
use protocol::fleet::UpdatePhase;
use std::time::Duration;

/// The latest moment of a cut after the beginning; the download takes longer.
const LATEST_CUT_MS: u64 = 20_000;
/// Power cuts of one download, each at a moment that its seed decides.
const SEEDS: &[u64] = &[1, 2, 3];

#[test]
fn a_good_release_is_confirmed_and_bad_ones_fall_back() -> Result {
    let releases = Releases::get()?;
    let fleet = FleetServer::start("updates", releases.keys())?;
    let first = releases.first()?;
    let mut gateway = Gateway::new("updates", &first, &fleet.device_toml("updates")?)?;
    gateway.power_on()?;
    let status = gateway.wait_healthy()?;
    ensure(status.slot == SlotName::A && status.trial.is_none(), || format!("{status:?}"))?;
    let device = fleet.wait_enrolled("updates")?;

    // 1 → 2: fetched as a delta, written to the other slot, tried, confirmed.
    let second = releases.second()?;
    fleet.upload(&first)?;
    fleet.deploy(&second, &device)?;
    let state = fleet.wait_update(&device, &second, UpdatePhase::Confirmed)?;
    let (fetched, whole) = (state.update.bytes_fetched, second.whole_bytes(&first)?);
    println!("{}: {fetched} bytes fetched, {whole} in whole chunks", second.version);
    ensure(0 < fetched && fetched < whole / 4, || format!("{fetched} bytes of {whole} fetched"))?;
    let status = gateway.wait_healthy_again()?;
    ensure(status.version == second.version, || format!("{status:?}"))?;
    ensure(status.confirmed == Some(SlotName::B), || format!("{status:?}"))?;

    // Three releases that are signed and broken, each in its way.
    for broken in [releases.never_healthy()?, releases.panics_early()?, releases.does_not_load()?] {
        falls_back(&fleet, &mut gateway, &device, &broken, &second)?;
    }
    Ok(())
}

#[test]
fn what_must_not_run_is_refused_by_name_and_harms_nothing() -> Result {
    let releases = Releases::get()?;
    let mut fleet = FleetServer::start("refusals", releases.keys())?;
    let second = releases.second_image()?;
    let mut gateway = Gateway::new("refusals", &second, &fleet.device_toml("refusals")?)?;
    gateway.power_on()?;
    let before = gateway.wait_healthy()?;
    let device = fleet.wait_enrolled("refusals")?;

    fleet.refused(&releases.first()?, &device, "sequence-too-low")?;
    // A thief has the server and its online key, but no release key that the device trusts.
    fleet.start_with(&releases.foreign_keys()?)?;
    fleet.wait_online(&device)?;
    fleet.refused(&releases.foreign()?, &device, "unknown-key")?;
    fleet.start_again()?;
    fleet.wait_online(&device)?;
    let status = gateway.status()?;
    ensure(status.boot_id == before.boot_id, || "a refused release led to a reboot".into())?;

    // And it is none the worse for it.
    let third = releases.third()?;
    fleet.deploy(&third, &device)?;
    fleet.wait_update(&device, &third, UpdatePhase::Confirmed)?;
    let status = gateway.wait_healthy_again()?;
    ensure(status.version == third.version, || format!("{status:?}"))
}

/// Deploys a broken release; the good one runs afterwards, and both sides can say why.
fn falls_back(
    fleet: &FleetServer,
    gateway: &mut Gateway,
    device: &str,
    broken: &Release,
    good: &Release,
) -> Result {
    fleet.deploy(broken, device)?;
    let state = fleet.wait_update(device, broken, UpdatePhase::FellBack)?;
    let why = state.update.failure.map(|failure| failure.message).unwrap_or_default();
    ensure(!why.is_empty(), || format!("{}: fell back without a reason", broken.version))?;
    let status = gateway.wait_healthy_again()?;
    ensure(status.version == good.version, || format!("{}: {status:?}", broken.version))?;
    ensure(status.trial.is_none(), || format!("{}: {status:?}", broken.version))?;
    println!("{}: {why}", broken.version);
    Ok(())
}

#[test]
fn power_cuts_during_a_download_cost_nothing_but_time() -> Result {
    let releases = Releases::get()?;
    let fleet = FleetServer::start("cuts", releases.keys())?;
    let first = releases.first()?;
    let mut gateway = Gateway::new("cuts", &first, &fleet.device_toml("cuts")?)?;
    gateway.power_on()?;
    gateway.wait_healthy()?;
    let device = fleet.wait_enrolled("cuts")?;
    let large = releases.large()?;
    fleet.deploy(&large, &device)?;
    for seed in SEEDS {
        fleet.wait_downloading(&device, &large)?;
        std::thread::sleep(moment(*seed));
        gateway.power_cycle()?;
        let status = gateway.wait_healthy()?;
        let now = gateway.update()?;
        println!("seed {seed}: boots {} after the cut, {now:?}", status.version);
        ensure(status.version == first.version || status.version == large.version, || {
            format!("seed {seed}: {status:?}")
        })?;
    }
    fleet.wait_update(&device, &large, UpdatePhase::Confirmed)?;
    let status = gateway.wait_healthy_again()?;
    ensure(status.version == large.version, || format!("{status:?}"))
}

/// How far into a download the power is cut: the same for the same seed (splitmix64).
fn moment(seed: u64) -> Duration {
    let z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    Duration::from_millis((z ^ (z >> 27)) % LATEST_CUT_MS)
}
