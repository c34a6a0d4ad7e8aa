//! Why the machine started, and the record of the last boots. Before an orderly end the reason is
//! written to [`REASON`]; it is read and removed at the next start, so an end that nobody ordered
//! leaves none.
//!
//! The reason is what the first row says that holds; nothing is guessed beyond the last:
//!
//! | found | reason |
//! |---|---|
//! | a panic of the kernel's own watchdog | watchdog |
//! | another panic | panic |
//! | a fallback, and the watchdog says that it was it | watchdog |
//! | a recorded reason | that one |
//! | the watchdog says that it was it | watchdog |
//! | the memory outlived the end, or `/data` cannot be read | unknown |
//! | none of these | cold: the power was gone |
//!
//! A panic is surest. What was recorded comes before the watchdog, as its bit may be that of an end
//! that was ordered and then hung; but not on a fallback: what was recorded then may be the reboot
//! into the trial that came between. Memory that kept the last run's log had power all the time:
//! something reset the machine that left no trace, as a hardware watchdog does whose driver does
//! not say.

use crate::{Result, error::At, files};
use board_support::watchdog::SOFTDOG_PANIC;
use bootloader_config::panics::Panics;
use protocol::control::{BootReason, BootRecord};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The recorded boots, one JSON object a line, newest last.
pub const RECORD: &str = "/data/system/boots.jsonl";
/// The reason of an ordered reboot, written before it.
pub const REASON: &str = "/data/system/boot-reason.json";
/// Where the kernel keeps what it said before it died, and the boot loader its count of panics.
const PSTORE: &str = "/sys/fs/pstore";
/// Where that is kept.
const PSTORE_SAVED: &str = "/data/system/pstore";
/// Boots that are remembered.
const RECORD_LIMIT: usize = 50;
/// Longest record file in bytes that is read.
const RECORD_SIZE_LIMIT: u64 = 256 << 10;
/// Saved kernel logs; one is at most 128 KiB.
const SAVED_LIMIT: usize = 5;
/// Bytes of one kernel log that are kept.
const SAVED_SIZE_LIMIT: u64 = 128 << 10;
/// Lines and bytes of a panic's text that go into the record.
const PANIC_LINES: usize = 8;
const PANIC_BYTES: usize = 1000;
/// Characters of each of these lines.
const PANIC_LINE_CHARACTERS: usize = 160;

/// What of the last end could be found.
#[derive(Debug, Default)]
pub struct Evidence {
    /// The kernel's last words.
    pub panic: Option<String>,
    /// What an orderly end recorded.
    pub recorded: Option<BootReason>,
    /// Whether the watchdog says that it reset the machine; `None` where it does not say.
    pub watchdog: Option<bool>,
    /// The kernel's log of the last run was still in memory.
    pub memory_kept: bool,
    /// Whether /data could be looked at.
    pub data: bool,
    /// The boot loader fell back.
    pub fallback: bool,
}

/// The reason, from what was found, by the table above.
pub fn reason(evidence: Evidence) -> BootReason {
    match evidence {
        Evidence { panic: Some(text), .. } if text.contains(SOFTDOG_PANIC) => BootReason::Watchdog,
        Evidence { panic: Some(text), .. } => BootReason::Panic(text),
        Evidence { watchdog: Some(true), fallback: true, .. } => BootReason::Watchdog,
        Evidence { recorded: Some(reason), .. } => reason,
        Evidence { watchdog: Some(true), .. } => BootReason::Watchdog,
        Evidence { memory_kept: true, .. } | Evidence { data: false, .. } => BootReason::Unknown,
        _ => BootReason::Cold,
    }
}

/// Collects the evidence besides what the caller knows; what pstore holds is saved to /data and
/// removed.
pub fn investigate(
    data: bool,
    fallback: bool,
    watchdog: Option<bool>,
    warnings: &mut Vec<String>,
) -> Evidence {
    let recorded = files::read_bounded(REASON, 64 << 10)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let _ = fs::remove_file(REASON);
    let pstore = save_pstore(Path::new(PSTORE), Path::new(PSTORE_SAVED));
    let Kept { panic, console } = pstore.unwrap_or_else(|error| {
        warnings.push(error.to_string());
        Kept::default()
    });
    Evidence { panic, recorded, watchdog, memory_kept: console, data, fallback }
}

/// What pstore had of the last run.
#[derive(Debug, Default, PartialEq, Eq)]
struct Kept {
    /// Last words of a kernel that panicked.
    panic: Option<String>,
    /// Whether the console's log was there: the kernel keeps it of every run.
    console: bool,
}

fn save_pstore(from: &Path, to: &Path) -> Result<Kept> {
    let mut kept = Kept::default();
    let Ok(entries) = fs::read_dir(from) else { return Ok(kept) };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = fs::read(&path).unwrap_or_default();
        if Panics::of_file(&bytes).is_some() {
            continue; // stays until the system is healthy
        }
        kept.console |= name.starts_with("console-");
        if name.starts_with("dmesg-") {
            kept.panic.get_or_insert_with(|| last_words(&String::from_utf8_lossy(&bytes)));
            fs::create_dir_all(to).at("create", to)?;
            let length = bytes.len().min(SAVED_SIZE_LIMIT as usize);
            // the clock alone may stand at its floor at each boot of a row of panics
            let boot = files::read_line("/proc/sys/kernel/random/boot_id").unwrap_or_default();
            let boot = boot.get(..8).unwrap_or_default();
            let saved = to.join(format!("{:010}-{boot}-{name}", crate::clock::now_s()));
            files::replace(saved, &bytes[bytes.len() - length..], 0o600)?;
        }
        fs::remove_file(&path).at("remove", &path)?;
    }
    forget_old(to);
    Ok(kept)
}

/// The boot loader's count of panics in a row without a healthy boot between: it lies among the
/// logs, see [`bootloader_config::panics`].
pub fn panics_in_a_row() -> Panics {
    counts(Path::new(PSTORE)).first().map_or(Panics::NONE, |(_, panics)| *panics)
}

/// The system is healthy: takes the count away.
pub fn forget_panics() -> Result<()> {
    remove_counts(Path::new(PSTORE))
}

fn counts(directory: &Path) -> Vec<(PathBuf, Panics)> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    let count = |path: PathBuf| Panics::of_file(&fs::read(&path).ok()?).map(|count| (path, count));
    paths.filter_map(count).collect()
}

fn remove_counts(directory: &Path) -> Result<()> {
    counts(directory).iter().try_for_each(|(path, _)| fs::remove_file(path).at("remove", path))
}

fn forget_old(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let surplus = paths.len().saturating_sub(SAVED_LIMIT);
    for path in &paths[..surplus] {
        let _ = fs::remove_file(path);
    }
}

/// The line with the panic and those before it; the whole end when there is none.
fn last_words(log: &str) -> String {
    let lines: Vec<&str> = log.lines().map(without_level).collect();
    let end = lines
        .iter()
        .position(|line| line.contains("Kernel panic") || line.contains("Unable to handle kernel"))
        .map_or(lines.len(), |at| at + 1);
    let shortened = |line: &&str| line.chars().take(PANIC_LINE_CHARACTERS).collect::<String>();
    let last: Vec<String> =
        lines[end.saturating_sub(PANIC_LINES)..end].iter().map(shortened).collect();
    let mut text = last.join("\n");
    let surplus = text.len().saturating_sub(PANIC_BYTES);
    let cut = (surplus..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.drain(..cut);
    text
}

/// `<6>[    1.2] text` → `[    1.2] text`
fn without_level(line: &str) -> &str {
    line.strip_prefix('<').and_then(|rest| rest.split_once('>')).map_or(line, |(_, rest)| rest)
}

/// Records why the machine is about to start anew.
pub fn record_reason(reason: &BootReason) -> Result<()> {
    let json = serde_json::to_vec(reason).map_err(std::io::Error::from).at("encode", REASON)?;
    files::replace(REASON, &json, 0o600)
}

/// The list of boots.
#[derive(Debug)]
pub struct BootLog {
    path: PathBuf,
    records: Vec<BootRecord>,
}

impl BootLog {
    /// Reads the list; lines that cannot be understood are dropped.
    pub fn open(path: &Path) -> Self {
        let bytes = files::read_bounded(path, RECORD_SIZE_LIMIT).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let records = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Self { path: path.to_path_buf(), records }
    }

    /// Adds this boot.
    pub fn add(&mut self, record: BootRecord) -> Result<()> {
        self.records.push(record);
        let surplus = self.records.len().saturating_sub(RECORD_LIMIT);
        self.records.drain(..surplus);
        self.store()
    }

    /// Sets how this boot's health gate ended.
    pub fn outcome(&mut self, outcome: &str) -> Result<()> {
        if let Some(last) = self.records.last_mut() {
            last.outcome = outcome.to_string();
        }
        self.store()
    }

    /// All, newest last.
    pub fn records(&self) -> &[BootRecord] {
        &self.records
    }

    fn store(&self) -> Result<()> {
        let mut text = Vec::new();
        for record in &self.records {
            serde_json::to_writer(&mut text, record)
                .map_err(std::io::Error::from)
                .at("encode", &self.path)?;
            text.push(b'\n');
        }
        files::replace(&self.path, &text, 0o600)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::control::{BootKind, SlotName};

    #[test]
    fn the_surest_evidence_wins() {
        let asked = BootReason::Reboot("asked".into());
        let softdog = format!("Kernel panic - not syncing: {SOFTDOG_PANIC}");
        let panic = || BootReason::Panic("oops".into());
        let row = |panic: &str, recorded: bool, watchdog, memory_kept, data| Evidence {
            panic: (!panic.is_empty()).then(|| panic.into()),
            recorded: recorded.then(|| asked.clone()),
            watchdog,
            memory_kept,
            data,
            fallback: false,
        };
        let fallback = |evidence: Evidence| Evidence { fallback: true, ..evidence };
        for (evidence, expected) in [
            (row(&softdog, true, None, true, true), BootReason::Watchdog),
            (row("oops", true, Some(true), true, true), panic()),
            (row("oops", false, Some(true), true, false), panic()),
            (row("", true, Some(true), true, true), asked.clone()),
            (fallback(row("", true, Some(true), true, true)), BootReason::Watchdog),
            (fallback(row("", true, Some(false), true, true)), asked.clone()),
            (row("", false, Some(true), true, false), BootReason::Watchdog),
            (row("", false, Some(true), false, true), BootReason::Watchdog),
            (row("", false, Some(false), true, true), BootReason::Unknown),
            (row("", false, None, true, true), BootReason::Unknown),
            (row("", false, None, false, false), BootReason::Unknown),
            (row("", false, Some(false), false, true), BootReason::Cold),
            (row("", false, None, false, true), BootReason::Cold),
        ] {
            let told = format!("{evidence:?}");
            assert_eq!(reason(evidence), expected, "{told}");
        }
    }

    #[test]
    fn pstore_is_saved_emptied_and_its_last_words_found() {
        let dir = std::env::temp_dir().join(format!("holdfast-pstore-{}", std::process::id()));
        let (from, to) = (dir.join("from"), dir.join("to"));
        fs::create_dir_all(&from).unwrap();
        let log = "Panic#1 Part1\n<6>[ 1.0] hello\n<0>[ 1.1] Kernel panic - not syncing: gone\n\
                   <4>[ 1.2] Call trace:\n";
        fs::write(from.join("dmesg-ramoops-0"), log).unwrap();
        fs::write(from.join("console-ramoops-0"), "console").unwrap();
        let kept = save_pstore(&from, &to).unwrap();
        assert!(kept.console);
        let words = kept.panic.unwrap();
        assert!(
            words.ends_with("[ 1.0] hello\n[ 1.1] Kernel panic - not syncing: gone"),
            "{words}"
        );
        assert_eq!(fs::read_dir(&from).unwrap().count(), 0);
        assert_eq!(fs::read_dir(&to).unwrap().count(), 1);
        assert_eq!(save_pstore(&from, &to).unwrap(), Kept::default());
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn the_count_of_panics_is_no_log_and_stays_until_it_is_taken_away() {
        let dir = std::env::temp_dir().join(format!("holdfast-count-{}", std::process::id()));
        let (from, to) = (dir.join("from"), dir.join("to"));
        fs::create_dir_all(&from).unwrap();
        fs::write(from.join("dmesg-ramoops-2"), "panics 4").unwrap();
        assert_eq!(save_pstore(&from, &to).unwrap(), Kept::default());
        assert!(!to.exists(), "it is not kept as a log");
        let count = |from: &Path| counts(from).first().map(|(_, panics)| panics.count());
        assert_eq!(count(&from), Some(4));
        fs::write(from.join("dmesg-ramoops-0"), "Panic#1 Part1\n").unwrap();
        remove_counts(&from).unwrap();
        assert_eq!(count(&from), None);
        assert!(from.join("dmesg-ramoops-0").exists(), "a log is not taken for a count");
        remove_counts(&dir.join("none")).unwrap();
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn the_last_fifty_boots_are_kept_and_a_torn_line_costs_only_itself() {
        let path =
            std::env::temp_dir().join(format!("holdfast-boots-{}.jsonl", std::process::id()));
        let mut log = BootLog::open(&path);
        for number in 0..60 {
            let record = BootRecord {
                boot_id: number.to_string(),
                time: number,
                slot: SlotName::A,
                version: "1".into(),
                kind: BootKind::Confirmed,
                reason: BootReason::Cold,
                outcome: String::new(),
                trial_left: None,
            };
            log.add(record).unwrap();
        }
        log.outcome("healthy").unwrap();
        let mut text = fs::read(&path).unwrap();
        text.extend_from_slice(b"{\"boot_id\":");
        fs::write(&path, text).unwrap();
        let read = BootLog::open(&path);
        assert_eq!(read.records().len(), 50);
        assert_eq!(read.records()[0].boot_id, "10");
        assert_eq!(read.records()[49].outcome, "healthy");
        fs::remove_file(&path).unwrap();
    }
}
