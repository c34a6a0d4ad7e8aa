//! Boot time in virtual time: QEMU counts instructions (`-icount`), two nanoseconds each, so that
//! the same image gives the same figures whatever else the machine does. Three systems on the same
//! kernel, card and verity root:
//!
//! - **kernel**: an init that prints one line and ends: what no init can be faster than;
//! - **busybox**: a shell script that does what init and netd do at the least: the same mounts,
//!   host name, DHCP;
//! - **holdfast**: to its first line, to an address, and to healthy (every required service ready).
//!
//! With a fleet server the clock is no longer our own: while the guest idles, virtual time jumps
//! ahead of the server's answers. That figure is printed apart, as an upper bound.

use crate::board::Board;
use crate::error::{Error, Result, file};
use crate::fleet_server::FleetServer;
use crate::gateway::Gateway;
use crate::provision;
use crate::qemu::Qemu;
use crate::releases::{Release, Releases, busybox, put};
use crate::{limits, paths};
use image_builder::Outputs;
use protocol::device::DeviceConfig;
use std::fs;

/// What the scripts of the two other systems print.
const MARK: &str = "bench: ";

/// The least init: one line in the kernel's log.
const KERNEL_ALONE: &str = "#!/bin/busybox sh
echo 'bench: first line' >/dev/kmsg
/bin/busybox poweroff -f
";

/// What init and netd do at the least, by busybox.
const BUSYBOX: &str = "#!/bin/busybox sh
B=/bin/busybox
echo 'bench: first line' >/dev/kmsg
$B mount -t proc proc /proc
$B mount -t sysfs sysfs /sys
$B mount -t tmpfs -o nosuid,nodev,mode=755 tmpfs /run
$B mount -t tmpfs -o nosuid,nodev tmpfs /tmp
$B mkdir -p /dev/pts /run/holdfast
$B mount -t devpts devpts /dev/pts
$B mount -t cgroup2 cgroup2 /sys/fs/cgroup
$B mount -t pstore pstore /sys/fs/pstore
while [ ! -b /dev/mmcblk0p4 ]; do $B usleep 10000; done
$B mount -t ext4 -o noatime /dev/mmcblk0p4 /data
$B mount -t vfat -o ro /dev/mmcblk0p1 /boot
$B hostname bench
$B ifconfig lo up
while ! $B ifconfig eth0 up 2>/dev/null; do $B usleep 10000; done
$B udhcpc -i eth0 -q -n -s /bin/lease >/dev/null 2>&1
echo 'bench: address' >/dev/kmsg
$B poweroff -f
";

/// What busybox's DHCP client calls with a lease.
const LEASE: &str = "#!/bin/busybox sh
[ \"$1\" = bound ] || exit 0
/bin/busybox ifconfig $interface $ip netmask $subnet
/bin/busybox route add default gw $router
echo nameserver $dns >/run/holdfast/resolv.conf
";

/// One system and when it reached what, in seconds since the kernel's start.
struct Row {
    system: &'static str,
    first_line: f64,
    address: Option<f64>,
    healthy: Option<f64>,
}

/// Runs the three systems and prints the table.
pub fn run() -> Result {
    let releases = Releases::prepare(Board::Rpi3, &paths::hil()?.join("keys"))?;
    let kernel = scripted(&releases, "bench-kernel", KERNEL_ALONE)?;
    let busybox = scripted(&releases, "bench-busybox", BUSYBOX)?;
    let rows = [
        others("kernel", &kernel, false)?,
        others("busybox", &busybox, true)?,
        holdfast(&releases.first()?)?,
    ];
    println!(
        "\nSeconds of virtual time since the kernel's start (QEMU raspi3b, 2 ns an instruction):\n"
    );
    println!("| system | first line | address | healthy |\n|---|---|---|---|");
    let cell = |time: Option<f64>| time.map_or("–".into(), |t| format!("{t:.3}"));
    for row in &rows {
        let (address, healthy) = (cell(row.address), cell(row.healthy));
        println!("| {} | {:.3} | {address} | {healthy} |", row.system, row.first_line);
    }
    if let [_, busybox, ours] = &rows
        && let (Some(theirs), Some(address), Some(healthy)) =
            (busybox.address, ours.address, ours.healthy)
    {
        let ratio = address.max(healthy) / theirs;
        println!("\nholdfast healthy with an address / busybox with one: {ratio:.2} (aim: 1.5)");
    }
    let connected = with_fleet(&releases)?;
    println!(
        "with a fleet server, enrolment included, first MQTT connection: at most {connected:.3}"
    );
    Ok(())
}

fn holdfast(release: &Release) -> Result<Row> {
    let mut machine = start("bench-holdfast", release, &provision::stand_alone("bench"))?;
    let first_line = stamp(&machine.console.expect(", starting", limits::BOOT)?)?;
    // Alone, a gateway may be healthy before or after it has an address.
    const MARKS: [&str; 2] = ["holdfast: network ", "holdfast: healthy"];
    let mut times = [None; 2];
    while times.contains(&None) {
        let (index, line) = machine.console.expect_any(&MARKS, limits::BOOT)?;
        times[index] = Some(stamp(&line)?);
    }
    let [address, healthy] = times;
    Ok(Row { system: "holdfast", first_line, address, healthy })
}

fn with_fleet(releases: &Releases) -> Result<f64> {
    let fleet = FleetServer::start("bench", releases.keys())?;
    let release = releases.first()?;
    let mut machine = start("bench-fleet", &release, &fleet.device_toml("bench")?)?;
    stamp(&machine.console.expect("MQTT connected", limits::BOOT)?)
}

fn others(system: &'static str, release: &Release, network: bool) -> Result<Row> {
    let name = format!("bench-{system}");
    let mut machine = start(&name, release, &provision::stand_alone("bench"))?;
    let mut mark = |text: &str| {
        let line = machine.console.expect(&format!("{MARK}{text}"), limits::BOOT)?;
        stamp(&line)
    };
    let first_line = mark("first line")?;
    let address = if network { Some(mark("address")?) } else { None };
    Ok(Row { system, first_line, address, healthy: None })
}

/// The release as a card in a machine whose time is virtual.
fn start(name: &str, release: &Release, config: &DeviceConfig) -> Result<Qemu> {
    let gateway = Gateway::new(name, release, config)?;
    let mut spec = gateway.spec().clone();
    spec.virtual_time = true;
    Qemu::start(&spec)
}

/// The first release with another init.
fn scripted(releases: &Releases, name: &str, init: &str) -> Result<Release> {
    let folder = paths::hil()?.join("overlays").join(name);
    let _ = fs::remove_dir_all(&folder);
    put(&folder, "sbin/init", init.as_bytes(), 0o755)?;
    put(&folder, "bin/lease", LEASE.as_bytes(), 0o755)?;
    let busybox = busybox()?;
    let program = fs::read(&busybox).map_err(file("read", &busybox))?;
    put(&folder, "bin/busybox", &program, 0o755)?;
    releases.build(|spec| {
        spec.version = format!("1.0.0-{name}");
        spec.overlays.push(folder);
        spec.outputs = Outputs::Image;
        Ok(())
    })
}

/// Seconds in the kernel's time stamp at the start of a line, `[   12.345678]`.
fn stamp(line: &str) -> Result<f64> {
    let inside = line.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    inside
        .and_then(|(time, _)| time.trim().parse().ok())
        .ok_or_else(|| Error::Story(format!("no time stamp in {line:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_stamp_is_read() {
        assert_eq!(stamp("[    1.234567] holdfast: healthy").expect("a stamp"), 1.234_567);
        assert!(stamp("holdfast: healthy").is_err());
    }
}
