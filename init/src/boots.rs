//! Why the machine started, and the record of the last boots. Before an orderly end the reason is
//! written to [`REASON`]; it is read and removed at the next start, so an end that nobody ordered
//! leaves none.

use crate::{Result, error::At, files};
use protocol::control::{BootReason, BootRecord};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The recorded boots, one JSON object a line, newest last.
pub const RECORD: &str = "/data/system/boots.jsonl";
/// The reason of an ordered reboot, written before it.
pub const REASON: &str = "/data/system/boot-reason.json";
/// Where the kernel keeps what it said before it died.
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
/// The watchdog bit (`WDIOF_CARDRESET`).
const WATCHDOG_RESET: u32 = 0x20;

/// What of the last end could be found.
#[derive(Debug, Default)]
pub struct Evidence {
    /// The kernel's last words.
    pub panic: Option<String>,
    /// What an orderly end recorded.
    pub recorded: Option<BootReason>,
    /// The watchdog says that it reset the machine.
    pub watchdog: bool,
    /// Whether /data could be looked at.
    pub data: bool,
    /// The boot loader fell back.
    pub fallback: bool,
}

/// The reason, from what was found. A panic is surest; what was recorded comes before the watchdog,
/// as its bit survives a reboot on some boards, but not on a fallback: what was recorded then was
/// the reboot into the trial that came between. Nothing at all with a readable /data is a loss of
/// power.
pub fn reason(evidence: Evidence) -> BootReason {
    match evidence {
        Evidence { panic: Some(text), .. } => BootReason::Panic(text),
        Evidence { watchdog: true, fallback: true, .. } => BootReason::Watchdog,
        Evidence { recorded: Some(reason), .. } => reason,
        Evidence { watchdog: true, .. } => BootReason::Watchdog,
        Evidence { data: true, .. } => BootReason::Cold,
        _ => BootReason::Unknown,
    }
}

/// Collects the evidence; what pstore holds is saved to /data and removed.
pub fn investigate(data: bool, fallback: bool, warnings: &mut Vec<String>) -> Evidence {
    let recorded = files::read_bounded(REASON, 64 << 10)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let _ = fs::remove_file(REASON);
    let panic = match save_pstore(Path::new(PSTORE), Path::new(PSTORE_SAVED)) {
        Ok(panic) => panic,
        Err(error) => {
            warnings.push(error.to_string());
            None
        }
    };
    Evidence { panic, recorded, watchdog: watchdog_bit(), data, fallback }
}

fn watchdog_bit() -> bool {
    let Ok(entries) = fs::read_dir("/sys/class/watchdog") else { return false };
    entries.flatten().any(|entry| {
        files::read_line(entry.path().join("bootstatus"))
            .and_then(|text| text.parse::<u32>().ok())
            .is_some_and(|bits| bits & WATCHDOG_RESET != 0)
    })
}

fn save_pstore(from: &Path, to: &Path) -> Result<Option<String>> {
    let Ok(entries) = fs::read_dir(from) else { return Ok(None) };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut panic = None;
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = fs::read(&path).unwrap_or_default();
        if name.starts_with("dmesg-") {
            panic.get_or_insert_with(|| last_words(&String::from_utf8_lossy(&bytes)));
            fs::create_dir_all(to).at("create", to)?;
            let kept = bytes.len().min(SAVED_SIZE_LIMIT as usize);
            // the clock alone may stand at its floor at each boot of a row of panics
            let boot = files::read_line("/proc/sys/kernel/random/boot_id").unwrap_or_default();
            let boot = boot.get(..8).unwrap_or_default();
            let saved = to.join(format!("{:010}-{boot}-{name}", crate::clock::now_s()));
            files::replace(saved, &bytes[bytes.len() - kept..], 0o600)?;
        }
        fs::remove_file(&path).at("remove", &path)?;
    }
    forget_old(to);
    Ok(panic)
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
        for (panic, recorded, watchdog, data, fallback, expected) in [
            (true, true, true, true, true, BootReason::Panic("oops".into())),
            (false, true, true, true, true, BootReason::Watchdog),
            (false, true, true, true, false, asked.clone()),
            (false, false, true, true, false, BootReason::Watchdog),
            (false, false, false, true, false, BootReason::Cold),
            (false, false, false, false, false, BootReason::Unknown),
        ] {
            let evidence = Evidence {
                panic: panic.then(|| "oops".into()),
                recorded: recorded.then(|| asked.clone()),
                watchdog,
                data,
                fallback,
            };
            assert_eq!(reason(evidence), expected);
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
        let words = save_pstore(&from, &to).unwrap().unwrap();
        assert!(
            words.ends_with("[ 1.0] hello\n[ 1.1] Kernel panic - not syncing: gone"),
            "{words}"
        );
        assert_eq!(fs::read_dir(&from).unwrap().count(), 0);
        assert_eq!(fs::read_dir(&to).unwrap().count(), 1);
        assert_eq!(save_pstore(&from, &to).unwrap(), None);
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
