//! Deltas beside those of other tools, on the same images in one run: bytes to download, processor
//! time and highest memory to make and to apply. Every step is a child process measured by
//! `/usr/bin/time`; what is applied must be the new image, byte by byte.
//!
//! | module | what |
//! |---|---|
//! | [`pairs`] | the images: two Debian roots, two releases of our own |
//! | [`ours`] | our coder and decoder as programs of their own |
//! | [`tools`] | xdelta3, zstd, rdiff, casync, ostree |
//!
//! A tool that is not installed is left out with a line that says so.

pub mod ours;
pub mod pairs;
pub mod tools;

use crate::child;
use crate::error::{Error, Result, file};
use crate::paths;
use pairs::Pair;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Peak memory to apply above which a tool is no rival on a small gateway.
const MEMORY_KIB: u64 = 64 << 10;

/// What a step took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// Processor seconds, user and system.
    pub seconds: f64,
    /// Highest resident memory in KiB.
    pub memory_kib: u64,
}

impl Cost {
    /// Of two steps, one after the other.
    fn then(self, next: Self) -> Self {
        Self {
            seconds: self.seconds + next.seconds,
            memory_kib: self.memory_kib.max(next.memory_kib),
        }
    }
}

/// One line of the table.
#[derive(Debug)]
pub struct Row {
    /// Which tool, how.
    pub name: &'static str,
    /// Bytes that a device downloads.
    pub download: u64,
    /// To make it.
    pub make: Cost,
    /// To apply it.
    pub apply: Cost,
}

/// Runs every tool on every pair and prints the tables.
pub fn run() -> Result {
    let folder = paths::hil()?.join("bench-delta");
    fs::create_dir_all(&folder).map_err(file("make", &folder))?;
    for pair in pairs::ALL {
        let Some(pair) = pair(&folder)? else { continue };
        let work = folder.join("work");
        let _ = fs::remove_dir_all(&work);
        fs::create_dir_all(&work).map_err(file("make", &work))?;
        let mut rows = vec![ours::measure(&pair, &work)?];
        for (needed, package, measure) in tools::ALL {
            match tools::is_there(needed) {
                true => rows.push(measure(&pair, &work)?),
                false => println!("skipped: {needed} is not installed (Debian: {package})"),
            }
        }
        print(&pair, &rows)?;
        let _ = fs::remove_dir_all(&work);
    }
    println!("\nskipped: desync is not in Debian; casync writes the same chunks");
    Ok(())
}

fn print(pair: &Pair, rows: &[Row]) -> Result {
    let size = size(&pair.new)?;
    println!("\n{}: {:.1} MB\n", pair.name, megabytes(size));
    println!("| | download, bytes | ratio | make, CPU s | make, MiB | apply, CPU s | apply, MiB |");
    println!("|---|---|---|---|---|---|---|");
    let [ours, others @ ..] = rows else { return Ok(()) };
    for row in rows {
        println!(
            "| {} | {} | {:.2} | {:.1} | {} | {:.1} | {} |",
            row.name,
            row.download,
            row.download as f64 / ours.download as f64,
            row.make.seconds,
            row.make.memory_kib >> 10,
            row.apply.seconds,
            row.apply.memory_kib >> 10,
        );
    }
    let small = others.iter().filter(|row| row.apply.memory_kib <= MEMORY_KIB);
    if let Some(best) = small.min_by_key(|row| row.download) {
        let ratio = ours.download as f64 / best.download as f64;
        println!("\nholdfast / best that applies within 64 MiB ({}): {ratio:.2}", best.name);
    }
    Ok(())
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Size of a file.
fn size(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path).map_err(file("read size of", path))?.len())
}

/// Runs a command to its end and says what it took.
fn measured(program: &str, arguments: &[&str], work: &Path) -> Result<Cost> {
    let report = work.join("cost");
    let mut command = Command::new("/usr/bin/time");
    command.args(["--format", "%U %S %M", "--output"]).arg(&report);
    child::run(command.arg(program).args(arguments).current_dir(work))?;
    let text = fs::read_to_string(&report).map_err(file("read", &report))?;
    let bad = || Error::Story(format!("/usr/bin/time wrote {text:?}"));
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [user, system, memory] = numbers[..] else { return Err(bad()) };
    Ok(Cost { seconds: user + system, memory_kib: memory as u64 })
}

/// Whether what was applied is the new image.
fn same(applied: &Path, pair: &Pair) -> Result {
    child::run(Command::new("cmp").arg(applied).arg(&pair.new)).map(drop)
}

/// A path as an argument.
fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}
