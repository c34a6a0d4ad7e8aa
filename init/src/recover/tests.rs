//! Real file systems in files, damaged, brought up with the host's e2fsck and mounted.

use super::*;
use std::{path::PathBuf, process::Command};

/// Blocks of the file systems: two groups and a bit, so that there is a backup superblock.
const BLOCKS: u32 = 40_000;
const BLOCK: u64 = 4096;
const DIRECTORY_OF_ROOT: &str = "lost+found";

/// A volume file, a place to mount it, and a template beside it.
struct Bench {
    folder: PathBuf,
}

impl Bench {
    fn new(name: &str) -> Self {
        let folder = format!("holdfast-recover-{name}-{}", std::process::id());
        let bench = Self { folder: std::env::temp_dir().join(folder) };
        let _ = fs::remove_dir_all(&bench.folder);
        fs::create_dir_all(bench.folder.join("mnt")).unwrap();
        bench.make(&bench.volume(), BLOCKS, "data");
        let small = bench.folder.join("small");
        bench.make(&small, 1024, "data");
        let template = template::encode(&fs::read(&small).unwrap(), std::iter::once(0..1024));
        fs::write(bench.folder.join("template"), template).unwrap();
        bench.while_mounted(|at| fs::write(at.join("kept"), "kept").unwrap());
        bench
    }

    fn volume(&self) -> PathBuf {
        self.folder.join("volume")
    }

    fn make(&self, path: &Path, blocks: u32, label: &str) {
        File::create(path).unwrap().set_len(u64::from(blocks) * BLOCK).unwrap();
        tool("mke2fs", &["-q", "-F", "-t", "ext4", "-b", "4096", "-L", label], path);
    }

    fn mount(&self) -> io::Result<()> {
        let at = self.folder.join("mnt");
        let done = Command::new("mount")
            .args(["-o", "loop,errors=remount-ro"])
            .arg(self.volume())
            .arg(at)
            .output()?;
        match done.status.success() {
            true => Ok(()),
            false => Err(io::Error::from_raw_os_error(libc::EUCLEAN)),
        }
    }

    fn unmount(&self) {
        let at = self.folder.join("mnt");
        assert!(Command::new("umount").arg(at).status().unwrap().success());
    }

    fn while_mounted<T>(&self, look: impl FnOnce(&Path) -> T) -> T {
        self.mount().expect("these tests need root and loop devices");
        let seen = look(&self.folder.join("mnt"));
        self.unmount();
        seen
    }

    fn damage(&self, first_block: u64, blocks: u64, byte: u8) {
        let disk = OpenOptions::new().write(true).open(self.volume()).unwrap();
        let rubbish = vec![byte; (blocks * BLOCK) as usize];
        disk.write_all_at(&rubbish, first_block * BLOCK).unwrap();
    }

    fn debugfs(&self, command: &str) {
        tool("debugfs", &["-w", "-R", command], &self.volume());
    }

    /// Brings it up with a checker of the caller's choice; the story, and whether the file is
    /// there.
    fn bring_up_with(&self, checker: &str, why: Option<&str>) -> (Story, bool) {
        let tools = Tools {
            checker: Path::new(checker),
            template: &self.folder.join("template"),
            label: "data",
            limit: CHECK_LIMIT,
            turn: &mut || {},
        };
        let story = bring_up(&self.volume(), why, tools, &mut || self.mount());
        let kept = self.folder.join("mnt/kept").exists();
        if story.mounted {
            assert!(self.folder.join("mnt").join(DIRECTORY_OF_ROOT).is_dir());
            self.unmount();
            tool("e2fsck", &["-f", "-n"], &self.volume());
        }
        (story, kept)
    }

    fn bring_up(&self) -> (Story, bool) {
        self.bring_up_with("/sbin/e2fsck", None)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.folder.join("mnt")).output();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn tool(program: &str, arguments: &[&str], path: &Path) {
    let program = Path::new("/sbin").join(program);
    let done = Command::new(&program).args(arguments).arg(path).output().unwrap();
    assert!(done.status.success(), "{} {arguments:?}: {done:?}", program.display());
}

fn says(story: &Story, text: &str) -> bool {
    story.warnings.iter().any(|warning| warning.contains(text))
}

#[test]
fn a_clean_partition_is_mounted_and_nothing_is_said() {
    let (story, kept) = Bench::new("clean").bring_up();
    assert_eq!((story, kept), (Story { mounted: true, ..Story::default() }, true));
}

#[test]
fn after_a_power_cut_the_journal_is_replayed_and_nothing_is_said() {
    let bench = Bench::new("cut");
    // what the card holds while it is mounted is what a power cut leaves
    bench.while_mounted(|at| {
        fs::write(at.join("more"), "more").unwrap();
        rustix::fs::sync();
        fs::copy(bench.volume(), bench.folder.join("cut")).unwrap();
    });
    fs::rename(bench.folder.join("cut"), bench.volume()).unwrap();
    assert_eq!(look(&bench.volume(), "data"), Found::Unclean);
    let (story, kept) = bench.bring_up();
    assert_eq!((story, kept), (Story { mounted: true, ..Story::default() }, true));
    assert!(bench.while_mounted(|at| at.join("more").exists()));
}

#[test]
fn recorded_errors_are_repaired_and_told() {
    let bench = Bench::new("flagged");
    bench.debugfs("freeb 200 300");
    bench.debugfs("set_super_value state 3");
    let (story, kept) = bench.bring_up();
    assert!(story.mounted && story.checked && kept, "{story:?}");
    assert!(says(&story, "the kernel recorded errors"), "{story:?}");
    assert!(says(&story, "checked and repaired"), "{story:?}");
}

#[test]
fn a_check_that_was_asked_for_is_made_though_nothing_shows() {
    let bench = Bench::new("asked");
    let (story, _) = bench.bring_up_with("/sbin/e2fsck", Some("read-only"));
    assert!(story.mounted && story.checked && says(&story, "read-only"), "{story:?}");
    assert!(says(&story, "nothing wrong was found"), "{story:?}");
}

#[test]
fn a_destroyed_superblock_comes_back_from_its_backup() {
    for byte in [0, 0xff] {
        let bench = Bench::new("backup");
        bench.damage(0, 1, byte);
        let (story, kept) = bench.bring_up();
        assert!(story.mounted && story.checked && kept, "{story:?}");
        assert!(says(&story, "its superblock is damaged"), "{story:?}");
        assert!(!says(&story, "new file system"), "{story:?}");
    }
}

#[test]
fn a_flipped_bit_in_the_superblock_is_damage_too() {
    let bench = Bench::new("flip");
    let disk = OpenOptions::new().read(true).write(true).open(bench.volume()).unwrap();
    disk.write_all_at(&[0x77], ext4::OFFSET + 0x0d).unwrap();
    let (story, kept) = bench.bring_up();
    assert!(story.mounted && kept && says(&story, "superblock is damaged"), "{story:?}");
}

#[test]
fn only_without_any_superblock_a_new_file_system_is_made() {
    let bench = Bench::new("renew");
    bench.damage(0, u64::from(BLOCKS), 0xa5);
    let (story, kept) = bench.bring_up();
    assert!(story.mounted && !kept && says(&story, "a new file system was made"), "{story:?}");
    // and it is an ordinary one afterwards
    assert_eq!(bench.bring_up().0, Story { mounted: true, ..Story::default() });
}

#[test]
fn damage_that_shows_only_when_mounting_is_checked_then() {
    let bench = Bench::new("descriptors");
    bench.damage(1, 1, 0xff);
    assert_eq!(look(&bench.volume(), "data"), Found::Clean);
    let (story, kept) = bench.bring_up();
    assert!(story.mounted && story.checked && kept, "{story:?}");
    assert!(says(&story, "checked and repaired"), "{story:?}");
}

#[test]
fn a_foreign_file_system_is_left_alone() {
    let bench = Bench::new("foreign");
    bench.make(&bench.volume(), BLOCKS, "photos");
    let before = fs::read(bench.volume()).unwrap();
    let (story, _) = bench.bring_up();
    assert!(!story.mounted && says(&story, "not ours"), "{story:?}");
    assert!(fs::read(bench.volume()).unwrap() == before, "it was written to");
}

#[test]
fn without_a_checker_a_partition_that_does_not_mount_is_kept_as_it_is() {
    let bench = Bench::new("unchecked");
    bench.damage(1, 1, 0xff);
    let before = fs::read(bench.volume()).unwrap();
    let (story, _) = bench.bring_up_with("/sbin/no-such-checker", None);
    assert!(!story.mounted && says(&story, "could not be checked"), "{story:?}");
    assert!(fs::read(bench.volume()).unwrap() == before, "it was written to");
}

#[test]
fn a_template_that_is_none_makes_no_file_system() {
    let bench = Bench::new("template");
    bench.damage(0, u64::from(BLOCKS), 0);
    fs::write(bench.folder.join("template"), "rubbish").unwrap();
    let (story, _) = bench.bring_up();
    assert!(!story.mounted && says(&story, "no template"), "{story:?}");
}

#[test]
fn a_destroyed_superblock_with_a_journal_to_replay_is_mended_in_two_checks() {
    let bench = Bench::new("journal");
    bench.while_mounted(|at| {
        fs::write(at.join("more"), "more").unwrap();
        rustix::fs::sync();
        fs::copy(bench.volume(), bench.folder.join("cut")).unwrap();
    });
    fs::rename(bench.folder.join("cut"), bench.volume()).unwrap();
    bench.damage(0, 1, 0);
    let (story, kept) = bench.bring_up();
    assert!(story.mounted && kept && says(&story, "checked and repaired"), "{story:?}");
    assert!(bench.while_mounted(|at| at.join("more").exists()));
}
