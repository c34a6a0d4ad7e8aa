//! A gateway without a fleet server: it boots, keeps what it is given, and runs apps that see
//! nothing of the host.

use hil::error::ensure;
use hil::gateway::Gateway;
use hil::qemu::Network;
use hil::releases::Releases;
use hil::samples::{self, APP};
use hil::{Result, limits, ports, provision};

/// Services of the sample app: one that greets, one that looks around.
const SERVICE: &str = "hello.hello";
const PROBE: &str = "hello.probe";
/// The one that serves a page, and the port of the device that leads to it.
const PAGE: &str = "hello.page";
const PAGE_PORT: u16 = 8080;
/// The one that sets the clock.
const CLOCK: &str = "hello.clock";
/// The one of the image that looks around.
const BOXED: &str = "boxed.boxed";

#[test]
fn a_new_card_becomes_a_gateway_that_runs_apps_and_keeps_them() -> Result {
    let releases = Releases::get()?;
    let image = releases.first()?;
    let port = ports::free()?;
    let mut gateway = Gateway::new("apps", &image, &provision::stand_alone("apps"))?
        .network(Network::Forwarded(vec![(port, PAGE_PORT)]));
    gateway.card()?.put("hello.snap", &samples::signed(releases)?)?;
    gateway.card()?.put("loose.snap", &samples::unsigned(releases)?)?;
    gateway.card()?.put("torn.snap", &samples::truncated(releases)?)?;
    gateway.card()?.put("image.tar", &samples::image()?)?;

    gateway.power_on()?;
    let first = gateway.wait_healthy()?;
    ensure(first.version == image.version, || format!("{first:?}"))?;
    ensure(first.hostname == "apps", || format!("{first:?}"))?;

    // What is not signed is not installed, unless told to; what is not whole never is.
    gateway.refused("install /boot/loose.snap", "signature")?;
    gateway.refused("install /boot/torn.snap", "")?;
    gateway.refused("install --dangerous /boot/torn.snap", "")?;
    gateway.ok("install /boot/hello.snap")?;
    gateway.wait_service(SERVICE, "active")?;

    // The app looked around and said what it saw.
    gateway.wait_service(PROBE, "done")?;
    let seen = gateway.ok(&format!("logs {PROBE}"))?;
    samples::saw_nothing_of_the_host(&seen)?;

    serves_a_page(&mut gateway, port)?;
    sets_the_clock_if_it_may(&mut gateway)?;

    // An image of containers becomes a snap here, and sees no more than one with the plug network.
    gateway.refused("install --name boxed /boot/image.tar", "signature")?;
    gateway.ok("install --dangerous --name boxed /boot/image.tar")?;
    gateway.wait_service(BOXED, "done")?;
    let seen = gateway.ok(&format!("logs {BOXED}"))?;
    samples::saw_only(&seen, &["host-interfaces"])?;

    // An orderly reboot, then a power cut in the middle of a change: the change is finished or
    // undone, the app is there and runs again.
    gateway.reboot()?;
    let second = gateway.wait_healthy()?;
    ensure(second.boot_id != first.boot_id, || "the boot id is the old one".into())?;
    gateway.wait_service(SERVICE, "active")?;
    // It counts its starts in a file that it moves from one directory to another.
    let log = format!("logs {SERVICE} -n 200");
    gateway.until(&log, limits::COMMAND, |log| log.contains(", start 2"))?;
    gateway.ok("install --no-wait /boot/hello.snap")?;
    gateway.power_cycle()?;
    gateway.wait_healthy()?;
    // An error where it was undone.
    let _ = gateway.ok("watch --last=install");
    let changes = gateway.ok("changes")?;
    ensure(!changes.contains("Do ") && !changes.contains("ing "), || changes.clone())?;
    gateway.wait_service(SERVICE, "active")?;
    let boots = gateway.boots()?;
    ensure(boots.len() == 3, || format!("three boots were to be recorded: {boots:?}"))?;

    gateway.ok(&format!("remove {APP}"))?;
    gateway.refused(&format!("info {APP}"), "")?;
    gateway.power_off()?;
    hil::checks::data_partition_fills_the_card(gateway.card()?)
}

/// From a network of its own, at port 80 there: what comes to the device's 8080.
fn serves_a_page(gateway: &mut Gateway, port: u16) -> Result {
    gateway.ok(&format!("start {PAGE}"))?;
    gateway.wait_service(PAGE, "active")?;
    let page = ports::page(port, limits::COMMAND)?;
    ensure(page.ends_with("Hello from hello\n"), || format!("another page: {page:?}"))
}

/// It may once a person said so.
fn sets_the_clock_if_it_may(gateway: &mut Gateway) -> Result {
    let says = |gateway: &mut Gateway, expected: &str| {
        gateway.ok(&format!("start {CLOCK}"))?;
        gateway.wait_service(CLOCK, "done")?;
        let said = gateway.ok(&format!("logs {CLOCK}"))?;
        let last = said.lines().last().unwrap_or_default();
        ensure(last.contains(expected), || format!("not {expected}: {last}"))
    };
    says(gateway, "time-control")?;
    gateway.ok("connect hello:time-control")?;
    says(gateway, "ALLOWED")
}
