//! An update's parts, and writing a slot beside `dd` on the same virtual card in the same run: a
//! gateway in QEMU first writes the other slot with busybox's `dd`, in blocks of a chunk and synced
//! at the end, some times; then it is updated by the ordinary way, from the fleet server beside it,
//! and `updaterd` says what each part took. Since `dd` has overwritten it, every chunk is written.
//!
//! The card begins to write a chunk while the next one is fetched or decoded; what hides behind
//! that is not in the part "write", which is the time that the updater waits for the card.

use crate::board::Board;
use crate::error::{Error, Result};
use crate::fleet_server::FleetServer;
use crate::gateway::Gateway;
use crate::releases::{Releases, number, service};
use crate::{limits, paths};
use protocol::release::CHUNK_SIZE;

/// How often `dd` writes the slot: the first is not counted, the best of the others is.
const TIMES: usize = 4;
/// What the script prints, then seconds since the start before and after `dd`.
const MARK: &str = "holdfast: dd ";
/// What `updaterd` prints when the slot is written and read back.
const INSTALLED: &str = "holdfast: installed: ";

/// The other slot, as the first release sees it: that boots from slot a.
fn script(chunks: u64) -> String {
    format!(
        "B=/bin/busybox
uptime() {{ read now rest </proc/uptime; }}
$B sleep 20
for time in $($B seq {TIMES}); do
  uptime; before=$now
  $B dd if=/dev/zero of=/dev/mmcblk0p3 bs={CHUNK_SIZE} count={chunks} conv=fsync 2>/dev/null
  uptime; echo \"{MARK}$before $now\"
done"
    )
}

/// One of the parts that `updaterd` names, `NAME N bytes in N ms`.
struct Part {
    bytes: f64,
    seconds: f64,
}

impl Part {
    fn rate(&self) -> f64 {
        self.bytes / 1e6 / self.seconds.max(1e-3)
    }
}

/// Boots, lets `dd` write, updates, prints the table.
pub fn run() -> Result {
    let releases = Releases::prepare(Board::Rpi3, &paths::hil()?.join("keys"))?;
    // As large as it gets with the service in it; the same for `dd` and the update.
    let sample = releases.first()?;
    let size = std::fs::metadata(&sample.slot_image)
        .map_err(crate::error::file("read size of", &sample.slot_image))?
        .len();
    let overlay = service("dd", &script(size / u64::from(CHUNK_SIZE)))?;
    let first = releases.build(|spec| {
        spec.version = "1.0.0-bench-install".into();
        spec.overlays.push(overlay.clone());
        spec.outputs = image_builder::Outputs::Image;
        Ok(())
    })?;
    let second = releases.build(|spec| {
        number(spec, "2.0.0-bench-install", 2);
        spec.overlays.push(overlay);
        Ok(())
    })?;
    let fleet = FleetServer::start("bench-install", releases.keys())?;
    let config = fleet.device_toml("bench-install")?;
    let mut gateway = Gateway::new("bench-install", &first, &config)?;
    gateway.power_on()?;
    let device = fleet.wait_enrolled("bench-install")?;
    let mut dd = Vec::new();
    for _ in 0..TIMES {
        let line = gateway.expect(MARK, limits::UPDATE)?;
        let times = numbers(after(&line, MARK)?);
        let [before, after] = times[..] else { return Err(unread(&line)) };
        dd.push(Part { bytes: size as f64, seconds: after - before });
    }
    fleet.deploy(&second, &device)?;
    let line = gateway.expect(INSTALLED, limits::UPDATE)?;
    print(&dd, &line)
}

fn print(dd: &[Part], line: &str) -> Result {
    let part = |name: &str| -> Result<Part> {
        let [bytes, milliseconds, ..] = numbers(after(line, name)?)[..] else {
            return Err(unread(line));
        };
        Ok(Part { bytes, seconds: milliseconds / 1000.0 })
    };
    println!("\n| | MB | seconds | MB/s |\n|---|---|---|---|");
    let row = |name: &str, part: &Part| {
        let (bytes, seconds) = (part.bytes / 1e6, part.seconds);
        println!("| {name} | {bytes:.1} | {seconds:.2} | {:.2} |", part.rate());
    };
    dd.iter().for_each(|part| row("dd", part));
    let (fetched, written) = (part("fetched ")?, part("wrote ")?);
    row("scan both slots", &part("scanned ")?);
    row("fetch", &fetched);
    row("write and sync", &written);
    row("read back", &part("read back ")?);
    let rest = numbers(after(line, "all else ")?).first().copied().unwrap_or_default();
    println!("| decode, patch, hash | | {:.2} | |", rest / 1000.0);
    let best = dd.iter().skip(1).map(Part::rate).fold(0.0, f64::max);
    println!("\nwrite / dd: {:.2} (aim: 0.9)", written.rate() / best);
    Ok(())
}

/// The numbers of a text, in their order.
fn numbers(text: &str) -> Vec<f64> {
    text.split([' ', ',']).filter_map(|word| word.trim().parse().ok()).collect()
}

fn after<'a>(line: &'a str, mark: &str) -> Result<&'a str> {
    line.split_once(mark).map(|(_, rest)| rest).ok_or_else(|| unread(line))
}

fn unread(line: &str) -> Error {
    Error::Story(format!("not what the bench expects: {line:?}"))
}
