//! What people and networks do wrong: the gateway says what is the matter, stays up, and goes on
//! when it is mended.

use hil::error::ensure;
use hil::fleet_server::FleetServer;
use hil::gateway::Gateway;
use hil::qemu::Network;
use hil::releases::Releases;
use hil::{Result, provision};
use protocol::control::Health;

#[test]
fn a_broken_device_toml_is_named_and_the_gateway_stays_up() -> Result {
    let releases = Releases::get()?;
    let text = "name = \"typo\"\n[console]\nenabled = true\n[netwrok]\naddress = \"10.0.0.1/24\"\n";
    let mut gateway = Gateway::with_device_toml("typo", &releases.first()?, text)?;
    gateway.power_on()?;
    // No configuration is in force, so there is no prompt either: the log says why.
    let line = gateway.expect("device.toml", hil::limits::BOOT)?;
    ensure(line.contains("netwrok"), || format!("the field is not named: {line}"))?;
    gateway.expect("healthy", hil::limits::BOOT)?;

    // Mended on a PC, the card comes up as wanted.
    gateway.power_cut();
    let right = toml::to_string(&provision::stand_alone("typo")).expect("it is a table");
    gateway.card()?.put("device.toml", right.as_bytes())?;
    gateway.power_on()?;
    let status = gateway.wait_healthy()?;
    let complaint = status.warnings.iter().any(|warning| warning.contains("device.toml"));
    ensure(status.hostname == "typo" && !complaint, || format!("{status:?}"))
}

#[test]
fn without_a_network_or_a_broker_the_gateway_stays_up_and_says_so() -> Result {
    let releases = Releases::get()?;
    let mut fleet = FleetServer::start("lost", releases.keys())?;
    let release = releases.short_gate()?;
    let mut gateway =
        Gateway::new("lost", &release, &fleet.device_toml("lost")?)?.network(Network::None);

    // No network: the confirmed slot is unhealthy, stays up and can be talked to.
    gateway.power_on()?;
    let status = gateway.wait_decided()?;
    let Health::Unhealthy(missing) = &status.health else {
        return ensure(false, || format!("healthy without a network: {status:?}"));
    };
    ensure(missing.iter().any(|what| what.contains("fleet")), || format!("{missing:?}"))?;
    gateway.power_off()?;

    // Plugged in, it enrols and is healthy.
    let mut gateway = gateway.network(Network::Plugged);
    gateway.power_on()?;
    gateway.wait_healthy_at_last()?;
    let device = fleet.wait_enrolled("lost")?;

    // The server goes away: the gateway stays; the server comes back: the gateway does too.
    fleet.stop();
    let boot = gateway.status()?.boot_id;
    fleet.start_again()?;
    fleet.wait_online(&device)?;
    ensure(gateway.status()?.boot_id == boot, || "it rebooted meanwhile".into())
}
