//! Hardware that is granted singly: a line that the host sees blink, a thermometer whose
//! temperature the host sets, and what lies beside both; a chip on the SPI bus, a serial port that
//! the host speaks through, and sticks that it plugs in and pulls out.

use hil::error::ensure;
use hil::gateway::Gateway;
use hil::limits;
use hil::releases::Releases;
use hil::stick::Stick;
use hil::wire::{Line, Wire};
use hil::{Result, provision, samples};
use serde_json::json;
use std::thread;
use std::time::{Duration, Instant};

/// The line: bit of the level register, `GPLEV0` of the BCM2837.
const LINE: u32 = 17;
const LEVELS: &str = "xp /1wx 0x3f200034";
/// A serial flash on the header's bus, and what it tells of itself.
const CHIP: (&str, &str) = ("w25q80bl,bus=spi", "ef4014");
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

fn wait_log(gateway: &mut Gateway, app: &str, text: &str) -> Result<String> {
    wait_times(gateway, &format!("logs {app} -n 200"), text, 1)
}

fn appd_says(gateway: &mut Gateway, text: &str) -> Result {
    wait_times(gateway, "system logs appd", text, 1).map(drop)
}

/// Waits until a text was printed so often.
fn wait_times(gateway: &mut Gateway, log: &str, text: &str, times: usize) -> Result<String> {
    gateway.until(log, limits::COMMAND, |log| log.matches(text).count() >= times)
}

#[test]
fn hardware_is_granted_singly_and_nothing_beside_it() -> Result {
    let releases = Releases::get()?;
    let image = releases.first()?;
    let gateway = Gateway::new("hardware", &image, &provision::stand_alone("hardware"))?;
    let sensor = "tmp105,bus=i2c-bus.1,address=0x48,id=sensor";
    let wire = Wire::new("meter");
    let port = wire.arguments();
    let mut gateway = gateway
        .with(&["-device", sensor, "-device", CHIP.0])
        .with(&port.each_ref().map(String::as_str));
    for app in ["blinker", "logger"] {
        let snap = samples::other(releases, app)?;
        gateway.card()?.put(&format!("{app}.snap"), &snap)?;
    }
    gateway.power_on()?;
    gateway.wait_healthy()?;

    keeps_what_a_meter_says(&mut gateway, &wire)?;
    blinks_a_line_and_reads_an_address(&mut gateway)?;

    // A decision outlives a reboot, and can be taken back.
    gateway.reboot()?;
    gateway.wait_healthy()?;
    blinks(&mut gateway)?;
    gateway.ok("disconnect blinker:led")?;
    wait_log(&mut gateway, "blinker", "plug led: find it: not connected")?;
    gateway.power_off()
}

fn blinks_a_line_and_reads_an_address(gateway: &mut Gateway) -> Result {
    // Nothing is granted by itself.
    gateway.ok("install /boot/blinker.snap")?;
    let log = wait_log(gateway, "blinker", "plug sensor: find it: not connected")?;
    ensure(log.contains("plug led: find it: not connected"), || log)?;
    gateway.refused("connect blinker:led", "line")?;

    // The line blinks; its neighbour can be had by nobody but who asks for it.
    gateway.ok(&format!("connect blinker:led line={LINE}"))?;
    blinks(gateway)?;
    let plugs = gateway.ok("connections blinker")?;
    ensure(plugs.contains(&format!("line={LINE}")), || plugs.clone())?;

    // The thermometer is read, the address beside it is refused by appd, not by the bus.
    set_temperature(gateway, 21_500)?;
    gateway.ok("connect blinker:sensor")?;
    let log = wait_log(gateway, "blinker", "temperature 21.5")?;
    ensure(log.contains("neighbour refused: plug sensor: transfer: Permission denied"), || log)?;
    set_temperature(gateway, -5_000)?;
    wait_log(gateway, "blinker", "temperature -5.0")?;
    blinks(gateway)
}

/// The meter says a line, and is told on how many sticks it is.
fn kept(meter: &mut Line, line: u32, sticks: u32) -> Result {
    let answer = meter.ask(&format!("reading {line}"))?;
    ensure(answer == format!("kept on {sticks}"), || format!("{line}: {answer:?}"))
}

/// From the port, through the app, to the sticks.
fn keeps_what_a_meter_says(gateway: &mut Gateway, wire: &Wire) -> Result {
    gateway.ok("install /boot/logger.snap")?;
    let log = wait_log(gateway, "logger", "plug meter: find it: not connected")?;
    ensure(log.contains("plug flash: find it: not connected"), || log)?;
    gateway.ok("connect logger:flash")?;
    wait_log(gateway, "logger", &format!("chip {}", CHIP.1))?;
    // A stick that nobody may see is none of the kernel's business.
    let (first, second) = (Stick::fat("FIRST")?, Stick::exfat("SECOND")?);
    first.plug(gateway)?;
    gateway.refused("connect logger:meter port=ttyUSB7", "ttyUSB7")?;
    gateway.ok("connect logger:meter port=ttyUSB0")?;
    wait_log(gateway, "logger", "meter: listening")?;
    let mut meter = wire.take()?;
    kept(&mut meter, 1, 0)?;
    gateway.expect("Attached SCSI", limits::COMMAND)?;
    let log = gateway.ok("system logs appd")?;
    ensure(!log.contains("media: "), || format!("mounted before anybody said so: {log}"))?;

    // Mounted once a person says so; and whenever one is plugged in from then on.
    gateway.ok("connect logger:removable-media")?;
    appd_says(gateway, "is /media/FIRST")?;
    // It was started anew.
    wait_times(gateway, "logs logger -n 200", "meter: listening", 2)?;
    kept(&mut meter, 2, 1)?;
    second.plug(gateway)?;
    appd_says(gateway, "is /media/SECOND")?;
    kept(&mut meter, 3, 2)?;
    first.pull(gateway)?;
    appd_says(gateway, "/media/FIRST is gone")?;
    kept(&mut meter, 4, 1)?;
    gateway.ok("disconnect logger:removable-media")?;
    appd_says(gateway, "/media/SECOND is gone")?;
    first.holds("meter.log", "reading 2\nreading 3\n")?;
    second.holds("meter.log", "reading 3\nreading 4\n")
}
