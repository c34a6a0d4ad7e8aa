//! Hardware that is granted singly: a line that the host sees blink, a thermometer whose
//! temperature the host sets, and what lies beside both.

use hil::error::ensure;
use hil::gateway::Gateway;
use hil::limits;
use hil::releases::Releases;
use hil::{Result, provision, samples};
use serde_json::json;
use std::thread;
use std::time::{Duration, Instant};

/// The line: bit of the level register, `GPLEV0` of the BCM2837.
const LINE: u32 = 17;
const LEVELS: &str = "xp /1wx 0x3f200034";
/// More often than the app toggles.
const LOOK: Duration = Duration::from_millis(100);

/// Whether the line is high, as the host sees it.
fn level(gateway: &mut Gateway) -> Result<bool> {
    let text = gateway.machine()?.control()?.monitor(LEVELS)?;
    let digits = text.split("0x").nth(1).unwrap_or_default().trim();
    let word = u32::from_str_radix(digits, 16).unwrap_or_default();
    Ok(word >> LINE & 1 == 1)
}

/// The line is seen high, low and high again.
fn blinks(gateway: &mut Gateway) -> Result {
    let end = Instant::now() + limits::COMMAND;
    let mut seen = Vec::new();
    while seen.len() < 4 {
        ensure(Instant::now() < end, || format!("line {LINE} does not blink: {seen:?}"))?;
        let now = level(gateway)?;
        if seen.last() != Some(&now) {
            seen.push(now);
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

fn set_temperature(gateway: &mut Gateway, thousandths: i32) -> Result {
    let path = "/machine/peripheral/sensor";
    let value = json!({ "path": path, "property": "temperature", "value": thousandths });
    gateway.machine()?.control()?.execute("qom-set", value)?;
    Ok(())
}

fn wait_log(gateway: &mut Gateway, text: &str) -> Result<String> {
    let end = Instant::now() + limits::COMMAND;
    loop {
        let log = gateway.ok("logs blinker -n 200")?;
        if log.contains(text) {
            return Ok(log);
        }
        ensure(Instant::now() < end, || format!("{text:?} is never in the log: {log}"))?;
        thread::sleep(LOOK);
    }
}

#[test]
fn a_line_and_an_address_are_granted_and_their_neighbours_are_not() -> Result {
    let releases = Releases::get()?;
    let image = releases.first()?;
    let gateway = Gateway::new("hardware", &image, &provision::stand_alone("hardware"))?;
    let sensor = "tmp105,bus=i2c-bus.1,address=0x48,id=sensor";
    let mut gateway = gateway.with(&["-device", sensor]);
    gateway.card()?.put("blinker.snap", &samples::other(releases, "blinker")?)?;
    gateway.power_on()?;
    gateway.wait_healthy()?;

    // Nothing is granted by itself.
    gateway.ok("install /boot/blinker.snap")?;
    let log = wait_log(&mut gateway, "plug sensor: find it: not connected")?;
    ensure(log.contains("plug led: find it: not connected"), || log)?;
    gateway.refused("connect blinker:led", "line")?;

    // The line blinks; its neighbour can be had by nobody but who asks for it.
    gateway.ok(&format!("connect blinker:led line={LINE}"))?;
    blinks(&mut gateway)?;
    let plugs = gateway.ok("connections blinker")?;
    ensure(plugs.contains(&format!("line={LINE}")), || plugs.clone())?;

    // The thermometer is read, the address beside it is refused by appd, not by the bus.
    set_temperature(&mut gateway, 21_500)?;
    gateway.ok("connect blinker:sensor")?;
    let log = wait_log(&mut gateway, "temperature 21.5")?;
    ensure(log.contains("neighbour refused: plug sensor: transfer: Permission denied"), || log)?;
    set_temperature(&mut gateway, -5_000)?;
    wait_log(&mut gateway, "temperature -5.0")?;
    blinks(&mut gateway)?;

    // A decision outlives a reboot, and can be taken back.
    gateway.reboot()?;
    gateway.wait_healthy()?;
    blinks(&mut gateway)?;
    gateway.ok("disconnect blinker:led")?;
    wait_log(&mut gateway, "plug led: find it: not connected")?;
    gateway.power_off()
}
