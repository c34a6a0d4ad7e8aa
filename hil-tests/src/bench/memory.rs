//! Memory of the device's processes, idle: a gateway in QEMU, connected to its fleet server, with
//! nothing to do. The figure is the proportional set size that init reads for each service, in
//! which a page that several processes share counts once in all.

use crate::board::Board;
use crate::error::Result;
use crate::fleet_server::FleetServer;
use crate::gateway::Gateway;
use crate::paths;
use crate::releases::Releases;
use std::thread;
use std::time::Duration;

/// From healthy to idle: enrolment's and start-up's memory is given back by then.
const SETTLE: Duration = Duration::from_secs(30);
/// What all of them may take, in KiB, and what is aimed at.
const LIMIT_KIB: u32 = 24 << 10;
const AIM_KIB: u32 = 12 << 10;

/// Boots, waits, prints the table.
pub fn run() -> Result {
    let releases = Releases::prepare(Board::Rpi3, &paths::hil()?.join("keys"))?;
    let release = releases.first()?;
    let fleet = FleetServer::start("bench-memory", releases.keys())?;
    let config = fleet.device_toml("bench-memory")?;
    let mut gateway = Gateway::new("bench-memory", &release, &config)?;
    gateway.power_on()?;
    let device = fleet.wait_enrolled("bench-memory")?;
    fleet.wait_healthy(&device, &release)?;
    thread::sleep(SETTLE);
    let status = gateway.status()?;
    println!("\n| process | memory, KiB |\n|---|---|");
    let init = status.init_memory_kib;
    let services = status.services.iter().map(|s| (s.name.as_str(), s.memory_kib));
    let mut total = 0;
    for (name, memory) in std::iter::once(("init", init)).chain(services) {
        println!("| {name} | {} |", memory.map_or("–".into(), |kib| kib.to_string()));
        total += memory.unwrap_or(0);
    }
    println!("| together | {total} |\n\nlimit {LIMIT_KIB} KiB, aim {AIM_KIB} KiB");
    Ok(())
}
