//! Updates over MQTT: a good one is confirmed, a bad one falls back and says why, one that must not
//! run is refused, and a power cut at any moment of a download costs nothing but time.

use hil::Result;
use hil::error::ensure;
use hil::fleet_server::FleetServer;
use hil::gateway::Gateway;
use hil::releases::{Release, Releases};
use hil::replay::{Cast, Recording};
use hil::soak;
use protocol::control::SlotName;
use protocol::fleet::UpdatePhase;
use protocol::policy::{Hold, UpdatePolicy};

/// Power cuts; `cargo xtask soak` makes more.
const CUTS: u32 = 3;
/// Cards with the beginning of an update; `cargo xtask replay` boots more.
const POINTS: usize = 2;
/// What decides their moments.
const SEED: u64 = 1;

#[test]
fn a_good_release_is_fetched_as_a_delta_tried_and_confirmed() -> Result {
    let releases = Releases::get()?;
    let fleet = FleetServer::start("updates", releases.keys())?;
    let first = releases.first()?;
    let mut gateway = Gateway::new("updates", &first, &fleet.device_toml("updates")?)?;
    let mut recording = Recording::start(&mut gateway)?;
    let device = enrol("updates", &mut gateway, &fleet)?;
    let status = gateway.status()?;
    ensure(status.slot == SlotName::A && status.trial.is_none(), || format!("{status:?}"))?;

    let second = releases.second()?;
    fleet.upload(&first)?;
    // Held by the fleet, and let go.
    let held = UpdatePolicy { hold: Some(Hold::Forever), ..UpdatePolicy::default() };
    fleet.client().set_policy(&device, &held)?;
    recording.update_follows()?;
    fleet.deploy(&second, &device)?;
    fleet.wait_held(&device, &second)?;
    ensure(gateway.update()?.waiting.is_some(), || "held, and the gateway does not say".into())?;
    fleet.client().set_policy(&device, &UpdatePolicy::default())?;
    let state = fleet.wait_update(&device, &second, UpdatePhase::Confirmed)?;
    let (fetched, whole) = (state.update.bytes_fetched, second.whole_bytes(&first)?);
    println!("{}: {fetched} bytes fetched, {whole} in whole chunks", second.version);
    ensure(0 < fetched && fetched < whole / 4, || format!("{fetched} bytes of {whole} fetched"))?;
    let status = gateway.wait_healthy_again()?;
    ensure(status.version == second.version, || format!("{status:?}"))?;
    ensure(status.confirmed == Some(SlotName::B), || format!("{status:?}"))?;

    // The same from cards on which the power went between two writes of it.
    let cast =
        Cast { fleet: &fleet, gateway: &mut gateway, device: &device, old: &first, new: &second };
    let report = recording.replay(cast, POINTS, SEED)?;
    println!("{report:?}");
    ensure(report.points == POINTS, || format!("{report:?}"))?;

    // A person goes back, and stays back.
    gateway.roll_back()?;
    fleet.wait_healthy(&device, &first)?;
    let status = gateway.wait_healthy()?;
    ensure(status.confirmed == Some(SlotName::A), || format!("{status:?}"))?;
    ensure(status.version == first.version, || format!("{status:?}"))
}

#[test]
fn releases_that_are_signed_and_broken_each_in_its_way_fall_back() -> Result {
    let releases = Releases::get()?;
    let fleet = FleetServer::start("broken", releases.keys())?;
    let first = releases.first()?;
    let (mut gateway, device) = enrolled("broken", &first, &fleet)?;
    let why = falls_back(&fleet, &mut gateway, &device, &releases.never_healthy()?, &first)?;
    let check = "check service:never-ready fails";
    ensure(why.contains(check), || format!("the fleet is not told which check: {why}"))?;
    let told = gateway.boots()?.into_iter().any(|boot| boot.outcome.contains(check));
    ensure(told, || "the gateway does not remember which check failed".into())?;
    for broken in [releases.panics_early()?, releases.does_not_load()?] {
        falls_back(&fleet, &mut gateway, &device, &broken, &first)?;
    }
    Ok(())
}

#[test]
fn what_must_not_run_is_refused_by_name_and_harms_nothing() -> Result {
    let releases = Releases::get()?;
    let mut fleet = FleetServer::start("refusals", releases.keys())?;
    let (mut gateway, device) = enrolled("refusals", &releases.second_image()?, &fleet)?;
    let before = gateway.status()?;

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
    ensure(status.version == third.version, || format!("{status:?}"))?;

    // Nor does a person get it below the floor: the trial is ended at once, and says why.
    gateway.roll_back()?;
    gateway.wait_restart()?;
    let status = gateway.wait_healthy()?;
    ensure(status.version == third.version, || format!("{status:?}"))?;
    let why = "release 2 is below the floor 3";
    let told = gateway.boots()?.into_iter().any(|boot| boot.outcome.contains(why));
    ensure(told, || format!("no boot says that {why}"))
}

/// A gateway that runs `release` and is known to the fleet, and its id there.
fn enrolled(name: &str, release: &Release, fleet: &FleetServer) -> Result<(Gateway, String)> {
    let mut gateway = Gateway::new(name, release, &fleet.device_toml(name)?)?;
    let device = enrol(name, &mut gateway, fleet)?;
    Ok((gateway, device))
}

/// Switches it on for the first time; its id in the fleet.
fn enrol(name: &str, gateway: &mut Gateway, fleet: &FleetServer) -> Result<String> {
    gateway.power_on()?;
    gateway.wait_healthy()?;
    fleet.wait_enrolled(name)
}

/// Deploys a broken release; the good one runs afterwards, and both sides can say why.
fn falls_back(
    fleet: &FleetServer,
    gateway: &mut Gateway,
    device: &str,
    broken: &Release,
    good: &Release,
) -> Result<String> {
    fleet.deploy(broken, device)?;
    let state = fleet.wait_update(device, broken, UpdatePhase::FellBack)?;
    let why = state.update.failure.map(|failure| failure.message).unwrap_or_default();
    ensure(!why.is_empty(), || format!("{}: fell back without a reason", broken.version))?;
    let status = gateway.wait_healthy_again()?;
    ensure(status.version == good.version, || format!("{}: {status:?}", broken.version))?;
    ensure(status.trial.is_none(), || format!("{}: {status:?}", broken.version))?;
    println!("{}: {why}", broken.version);
    Ok(why)
}

#[test]
fn power_cuts_during_an_update_cost_nothing_but_time() -> Result {
    let report = soak::run("cuts", CUTS, SEED)?;
    ensure(report.cuts == CUTS && report.updates > 0, || format!("{report:?}"))
}
