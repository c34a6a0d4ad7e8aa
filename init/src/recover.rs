//! Brings the data partition up: looks at it, and does step by step what [`repair`] decides, until
//! it is mounted or given up for this boot. Everything that was done beyond the replay of a journal
//! becomes a line for the status.

use crate::{
    Error, check,
    disk::read_superblock,
    error::{At, Result},
    ext4, kmsg,
    repair::{self, Found, Outcome, Step},
};
use protocol::template::{self, Piece};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom},
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant},
};

/// Most time that all checks of one boot may take together: some minutes are usual for a large,
/// slow, full card that is damaged all over. Services start later by as much, no longer.
pub const CHECK_LIMIT: Duration = Duration::from_secs(20 * 60);
/// Largest template in bytes.
const TEMPLATE_LIMIT: u64 = 1 << 20;
/// Findings that the console shows, and that the status quotes.
const SHOWN_FINDINGS: usize = 10;

/// What is needed besides the partition.
pub struct Tools<'a> {
    /// e2fsck.
    pub checker: &'a Path,
    /// A new file system, [`protocol::template`].
    pub template: &'a Path,
    /// The label that a data partition has.
    pub label: &'a str,
    /// [`CHECK_LIMIT`].
    pub limit: Duration,
    /// Called every few seconds while a check runs.
    pub turn: &'a mut dyn FnMut(),
}

/// What was done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Story {
    /// It is mounted.
    pub mounted: bool,
    /// Errors were looked for in all of it, or it was made anew: another check would find no more.
    pub checked: bool,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// Does it. `why` is the reason of a check that was asked for; `mount` mounts.
pub fn bring_up(
    device: &Path,
    why: Option<&str>,
    mut tools: Tools<'_>,
    mount: &mut dyn FnMut() -> io::Result<()>,
) -> Story {
    let mut story = Story::default();
    let mut found = match look(device, tools.label) {
        Found::Clean | Found::Unclean if why.is_some() => Found::Flagged,
        found => found,
    };
    // Looked for where one is needed: a worn card may take long over each of these reads.
    let mut backup = None;
    if matches!(found, Found::Damaged | Found::Unreadable) {
        match find_backup(device, &mut tools) {
            Ok(place) => backup = place,
            // "Could not read" is never a reason to make a file system anew.
            Err(_) => found = Found::Unreadable,
        }
    }
    describe(found, why, &mut story);
    let deadline = Instant::now() + tools.limit;
    let mut checked = None;
    let mut step = repair::first(found, backup.is_some());
    loop {
        let outcome = match step {
            Step::Done => {
                story.mounted = true;
                return story;
            }
            Step::Memory => return story,
            Step::Mount => mount_step(mount, &mut story),
            Step::Renew => renew_step(device, tools.template, &mut story),
            Step::Preen | Step::FullCheck | Step::BackupCheck => {
                let arguments = arguments(step, backup);
                let mut say = |text: &str| kmsg::notice(&format!("data partition: check: {text}"));
                let seen = &mut check::Seen { say: &mut say, turn: &mut tools.turn };
                let report = check::run(tools.checker, &arguments, device, deadline, seen);
                tell(step, &report, &mut story);
                report.outcome
            }
        };
        if (step, outcome) == (Step::Mount, Outcome::Refused) && backup.is_none() {
            backup = find_backup(device, &mut tools).unwrap_or_default();
        }
        let next = repair::after(step, outcome, checked, backup.is_some());
        if step != Step::Mount {
            checked = Some((step, outcome));
            story.checked |= step != Step::Preen;
        }
        step = next;
    }
}

fn look(device: &Path, label: &str) -> Found {
    match read_superblock(device, ext4::OFFSET) {
        Err(_) => Found::Unreadable,
        Ok(None) => Found::Damaged,
        Ok(Some(found)) if !found.is_whole => Found::Damaged,
        Ok(Some(found)) if found.label != label => Found::Foreign,
        Ok(Some(found)) if found.has_errors => Found::Flagged,
        Ok(Some(found)) if found.is_unclean => Found::Unclean,
        Ok(Some(_)) => Found::Clean,
    }
}

/// A block that holds a whole copy of the superblock; `None` when there certainly is none.
fn find_backup(device: &Path, tools: &mut Tools<'_>) -> Result<Option<u64>> {
    const BLOCK: u64 = 4096;
    let size = File::open(device).and_then(|mut file| file.seek(SeekFrom::End(0)));
    let blocks = size.at("size of", device)? / BLOCK;
    let mut unread = None;
    for block in ext4::backup_blocks().filter(|block| *block < blocks) {
        (tools.turn)();
        match read_superblock(device, block * BLOCK) {
            Ok(Some(copy))
                if copy.is_whole
                    && copy.group != 0
                    && copy.block_size == BLOCK
                    && copy.label == tools.label =>
            {
                return Ok(Some(block));
            }
            Ok(_) => {}
            Err(error) => unread = Some(error),
        }
    }
    unread.map_or(Ok(None), Err)
}

fn arguments(step: Step, backup: Option<u64>) -> Vec<String> {
    let words = match (step, backup) {
        (Step::Preen, _) => "-p".to_string(),
        (Step::BackupCheck, Some(block)) => format!("-f -y -b {block} -B 4096"),
        _ => "-f -y".to_string(),
    };
    words.split(' ').map(String::from).collect()
}

fn describe(found: Found, why: Option<&str>, story: &mut Story) {
    let text = match (found, why) {
        (Found::Clean, _) => return,
        (Found::Unclean, _) => {
            kmsg::notice("data partition: not unmounted; its journal is replayed");
            return;
        }
        (Found::Flagged, Some(why)) => format!("a check was asked for: {why}"),
        (Found::Flagged, None) => "the kernel recorded errors".into(),
        (Found::Damaged, _) => "its superblock is damaged".into(),
        (Found::Unreadable, _) => "its superblock cannot be read".into(),
        (Found::Foreign, _) => "it holds a file system that is not ours".into(),
    };
    story.warnings.push(format!("data partition: {text}"));
}

fn tell(step: Step, report: &check::Report, story: &mut Story) {
    for finding in report.findings.iter().take(SHOWN_FINDINGS) {
        kmsg::notice(&format!("e2fsck: {finding}"));
    }
    let what = match (report.outcome, report.mended) {
        (Outcome::Sound, false) if step == Step::Preen => return,
        (Outcome::Sound, false) => "checked, nothing wrong was found",
        (Outcome::Sound, true) => "checked and repaired",
        (Outcome::Cut, _) => "the check was cut short",
        (Outcome::NotRun, _) => "could not be checked",
        _ => "checked, and not all could be repaired",
    };
    let more = match report.findings.first() {
        Some(first) => format!(", {} messages: {first}", report.count),
        None => String::new(),
    };
    story.warnings.push(format!("data partition: {what} ({}{more})", report.ending));
}

fn mount_step(mount: &mut dyn FnMut() -> io::Result<()>, story: &mut Story) -> Outcome {
    let Err(error) = mount() else { return Outcome::Mounted };
    story.warnings.push(format!("data partition: mount: {error}"));
    match error.raw_os_error() {
        Some(libc::EUCLEAN | libc::EBADMSG | libc::EINVAL) => Outcome::Refused,
        _ => Outcome::Failed,
    }
}

fn renew_step(device: &Path, template: &Path, story: &mut Story) -> Outcome {
    match renew(device, template) {
        Ok(()) => {
            let text = "a new file system was made, snaps and logs are lost";
            story.warnings.push(format!("data partition: could not be saved: {text}"));
            Outcome::Renewed
        }
        Err(error) => {
            story.warnings.push(format!("data partition: make a new file system: {error}"));
            Outcome::Failed
        }
    }
}

/// Writes the template's file system. The superblock comes last, so that a power cut leaves none,
/// and the next boot does it again.
fn renew(device: &Path, template: &Path) -> Result<()> {
    let invalid = || Error::invalid(template.display().to_string(), "no template");
    let length = fs::metadata(template).at("look at", template)?.len();
    if length > TEMPLATE_LIMIT {
        return Err(invalid());
    }
    let bytes = fs::read(template).at("read", template)?;
    let pieces = template::decode(&bytes).ok_or_else(invalid)?;
    let with_superblock = |piece: &Piece<'_>| piece.first == 0 && piece.bytes.is_some();
    let (first, others): (Vec<_>, Vec<_>) = pieces.into_iter().partition(with_superblock);
    let [first] = first[..] else { return Err(invalid()) };
    let disk = OpenOptions::new().write(true).open(device).at("open", device)?;
    let sync = || disk.sync_all().at("sync", device);
    let none = Piece { first: 0, count: 1, bytes: None };
    for piece in std::iter::once(none).chain(others) {
        write_piece(&disk, piece).at("write", device)?;
    }
    sync()?;
    write_piece(&disk, first).at("write", device)?;
    sync()
}

fn write_piece(disk: &File, piece: Piece<'_>) -> io::Result<()> {
    const ZEROS: &[u8] = &[0; template::BLOCK];
    let at = |block: u32| u64::from(block) * template::BLOCK as u64;
    match piece.bytes {
        Some(bytes) => disk.write_all_at(bytes, at(piece.first)),
        None => (piece.first..piece.first + piece.count)
            .try_for_each(|block| disk.write_all_at(ZEROS, at(block))),
    }
}

#[cfg(test)]
mod tests;
