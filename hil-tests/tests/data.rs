//! Cards whose data partition was damaged: the gateway repairs what can be repaired, says so, stays
//! the same gateway, and needs no visit.

use hil::error::ensure;
use hil::fleet_server::FleetServer;
use hil::gateway::Gateway;
use hil::qemu::Network;
use hil::releases::Releases;
use hil::{Result, checks, damage, limits, provision, samples};
use protocol::control::{BootReason, SystemStatus};

/// A service of the sample app.
const SERVICE: &str = "hello.hello";
/// appd's notes, by their path on the partition.
const STATE: &str = "/snaps/state.json";

fn warned(status: &SystemStatus, text: &str) -> Result {
    ensure(status.warnings.iter().any(|warning| warning.contains(text)), || {
        format!("no warning of {text:?}: {:?}", status.warnings)
    })
}

/// Nothing is said of data and apps; boards and machines may have warnings of their own.
fn not_warned(status: &SystemStatus) -> Result {
    let ours = |warning: &&String| warning.contains("data") || warning.starts_with("apps");
    let said: Vec<&String> = status.warnings.iter().filter(ours).collect();
    ensure(said.is_empty(), || format!("warned without a reason: {said:?}"))
}

#[test]
fn a_damaged_data_partition_is_repaired_and_told_and_apps_go_on() -> Result {
    let releases = Releases::get()?;
    let config = provision::stand_alone("worn");
    let mut gateway = Gateway::new("worn", &releases.first()?, &config)?;
    gateway.card()?.put("hello.snap", &samples::signed(releases)?)?;
    gateway.power_on()?;
    let status = gateway.wait_healthy()?;
    not_warned(&status)?;
    gateway.ok("install /boot/hello.snap")?;
    gateway.wait_service(SERVICE, "active")?;
    gateway.power_off()?;

    // The superblock is gone, and what appd knew is rubbish.
    damage::replace_file(gateway.card()?, STATE, b"\0rubbish")?;
    damage::superblock(gateway.card()?)?;
    gateway.power_on()?;
    let status = gateway.wait_healthy()?;
    warned(&status, "superblock is damaged")?;
    warned(&status, "checked and repaired")?;
    warned(&status, "its copy holds")?;
    gateway.wait_service(SERVICE, "active")?;

    // The power goes: a journal to replay is no damage, and nothing to tell.
    gateway.power_cycle()?;
    gateway.expect("its journal is replayed", limits::BOOT)?;
    let status = gateway.wait_healthy()?;
    not_warned(&status)?;
    gateway.power_off()?;

    // Damage that only shows while it runs: the gateway restarts by itself to repair it.
    damage::block_bitmap(gateway.card()?)?;
    gateway.power_on()?;
    gateway.expect("read-only because of errors", limits::BOOT)?;
    gateway.expect("checked and repaired", limits::BOOT + limits::SHUTDOWN)?;
    let status = gateway.wait_healthy_again()?;
    warned(&status, "checked and repaired")?;
    let because = BootReason::Reboot("data partition read-only because of errors".into());
    ensure(status.boot_reason == because, || format!("{:?}", status.boot_reason))?;
    gateway.wait_service(SERVICE, "active")?;
    gateway.power_off()?;
    checks::data_partition_fills_the_card(gateway.card()?)
}

#[test]
fn a_card_that_lost_its_data_is_still_the_same_gateway_of_its_fleet() -> Result {
    let releases = Releases::get()?;
    let fleet = FleetServer::start("lost-data", releases.keys())?;
    let config = fleet.device_toml("lost-data")?;
    let gateway = Gateway::new("lost-data", &releases.first()?, &config)?;
    let mut gateway = gateway.network(Network::Plugged);
    gateway.power_on()?;
    let first = gateway.wait_healthy()?;
    let device = fleet.wait_enrolled("lost-data")?;
    gateway.power_off()?;

    damage::everything(gateway.card()?)?;
    gateway.power_on()?;
    let status = gateway.wait_healthy()?;
    warned(&status, "a new file system was made")?;
    warned(&status, "restored from the spare copy")?;
    ensure(status.hostname == first.hostname, || format!("{status:?}"))?;
    // The fleet server knows it by its old identity, and shows what happened.
    let told = |state: &protocol::fleet::DeviceState| {
        state.system.boot_id == status.boot_id
            && state.system.warnings.iter().any(|w| w.contains("a new file system was made"))
    };
    let seen = fleet.client().wait_for_device(&device, "the warning", limits::BOOT, |d| {
        d.online && d.state.as_ref().is_some_and(told)
    });
    seen?;
    gateway.power_off()?;
    checks::data_partition_fills_the_card(gateway.card()?)
}
