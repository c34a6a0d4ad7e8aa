//! The boot script decides as `bootloader_config::slots::decide` does: the real U-Boot binary, with
//! the script in it, runs in QEMU's raspi3b against a card for every row of the decision table.
//!
//! The slots of these cards hold a small FIT: its `cmdline` script prints what was chosen. In most
//! cards its kernel has a wrong digest, so that U-Boot goes on to the next choice and the whole
//! list is seen.

use bootloader_config::environment::{Environment, EnvironmentCopy, RawCopy};
use bootloader_config::layout::{self, ENV_OFFSETS, ENV_SIZE};
use bootloader_config::panics::{COUNT_ZONE, LOG_ZONE, Panics, ZONE_MAGIC, ZONE_START};
use bootloader_config::rollback::{VAR_FLOOR, VAR_SEQUENCE};
use bootloader_config::slots::{
    Mode, Reading, Slot, SlotState, VAR_CONFIRMED, VAR_TRIAL, VAR_TRIAL_LEFT, decide,
};
use hil::board::Board;
use hil::error::{Error, ensure};
use hil::fake_slot::{CHOICE, KERNEL_SAYS, TREE, dies, panics, runs, volume};
use hil::qemu::{MachineSpec, Network, Qemu};
use hil::{Result, child, device_tree, paths};
use image_builder::board::UBoot;
use image_builder::sources::Cache;
use image_builder::spec::Fault;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// U-Boot needs about a second; the rest is for a machine that is busy.
const LIMIT: Duration = Duration::from_secs(120);
/// Size of the card: a power of two that holds both slots.
const CARD_SIZE: u64 = 512 << 20;
/// How the boot loader's first line begins.
const BOOT_LOADER: &str = "U-Boot 20";
/// What the boot script prints when no choice is left.
const NOTHING: &str = "holdfast: nothing boots";

/// What a slot of a card holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    /// Its kernel has a wrong digest.
    WrongDigest,
    /// Its kernel runs.
    Good,
    /// Its kernel leaves a log as a panic does, and resets.
    Panics,
    /// Its kernel resets, and leaves nothing.
    Resets,
    /// Zeroes.
    Nothing,
}

/// U-Boot, the tree that QEMU passes, and the slots' volumes.
struct Bench {
    u_boot: PathBuf,
    tree: PathBuf,
    good: Vec<u8>,
    wrong: Vec<u8>,
    panics: Vec<u8>,
    resets: Vec<u8>,
    folder: PathBuf,
}

impl Bench {
    fn new(name: &str) -> Result<Self> {
        let cache = Cache::open().map_err(unbuilt)?;
        let u_boot = cache.uboot(UBoot::Rpi).map_err(unbuilt)?;
        let folder = paths::hil()?.join(format!("boot-table-{name}"));
        fs::create_dir_all(&folder).expect("a folder below the target folder");
        let dtbs = cache.kernel().map_err(unbuilt)?.dtbs;
        let tree = folder.join("qemu.dtb");
        device_tree::for_qemu(Board::Rpi3, &dtbs.join(TREE), &tree)?;
        let tree_bytes = fs::read(&tree).expect("just written");
        let good = volume(&tree_bytes, &runs(), None)?;
        let wrong = volume(&tree_bytes, &runs(), Some(Fault::KernelHash))?;
        let panics = volume(&tree_bytes, &panics(), None)?;
        let resets = volume(&tree_bytes, &dies(), None)?;
        Ok(Self { u_boot, tree, good, wrong, panics, resets, folder })
    }

    /// A card with these environment copies and slots.
    fn card(&self, copies: &[RawCopy; 2], slots: [Content; 2]) -> PathBuf {
        let path = self.folder.join("card.img");
        let card = File::create(&path).expect("a file below the target folder");
        card.set_len(CARD_SIZE).expect("a sparse file");
        let put = |offset: u64, bytes: &[u8]| card.write_all_at(bytes, offset).expect("card");
        put(0, &partition_table());
        for (offset, copy) in ENV_OFFSETS.into_iter().zip(copies) {
            put(offset, copy);
        }
        for (partition, content) in [layout::SLOT_A, layout::SLOT_B].into_iter().zip(slots) {
            match content {
                Content::Good => put(partition.offset, &self.good),
                Content::WrongDigest => put(partition.offset, &self.wrong),
                Content::Panics => put(partition.offset, &self.panics),
                Content::Resets => put(partition.offset, &self.resets),
                Content::Nothing => {}
            }
        }
        path
    }

    /// Boots a card until a kernel runs or no choice is left; what was on the console.
    fn boot(&self, card: &Path) -> Result<String> {
        let mut machine = self.start(card)?;
        machine.console.expect_any(&[NOTHING, KERNEL_SAYS], LIMIT)?;
        let text = machine.console.text();
        machine.kill();
        Ok(text)
    }

    fn start(&self, card: &Path) -> Result<Qemu> {
        self.start_with(card, Vec::new())
    }

    fn start_with(&self, card: &Path, arguments: Vec<String>) -> Result<Qemu> {
        Qemu::start(&MachineSpec {
            name: self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            boots: self.u_boot.clone(),
            device_tree: Some(self.tree.clone()),
            card: Some(card.to_path_buf()),
            network: Network::None,
            arguments,
            ..MachineSpec::default()
        })
    }

    /// What a kernel left in memory before the reset; it is there again after each further one.
    fn left_in_memory(&self, zones: &[(u32, Vec<u8>)]) -> Vec<String> {
        let mut arguments = Vec::new();
        for (address, bytes) in zones {
            let file = self.folder.join(format!("{address:x}.ram"));
            fs::write(&file, bytes).expect("a file below the target folder");
            let file = file.display();
            arguments.push("-device".into());
            arguments.push(format!("loader,addr={address:#x},force-raw=on,file={file}"));
        }
        arguments
    }
}

fn unbuilt(error: image_builder::Error) -> Error {
    Error::Story(error.to_string())
}

fn partition_table() -> [u8; 512] {
    let mut sector = [0; 512];
    sector[440..444].copy_from_slice(&layout::DISK_ID.to_le_bytes());
    for (index, partition) in layout::PARTITIONS.into_iter().enumerate() {
        let entry = &mut sector[446 + 16 * index..][..16];
        entry[4] = partition.kind;
        let sectors = |bytes: u64| ((bytes / layout::SECTOR_SIZE) as u32).to_le_bytes();
        entry[8..12].copy_from_slice(&sectors(partition.offset));
        entry[12..16].copy_from_slice(&sectors(partition.size));
    }
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

/// Both copies of an environment with these variables, the newer one second.
fn environment(variables: &[(&str, &str)]) -> [RawCopy; 2] {
    let (_, [first, second]) = Environment::fresh();
    let mut environment = Environment::read(Some(&first), Some(&second)).expect("fresh copies");
    environment.unset(VAR_CONFIRMED);
    for (name, value) in variables.iter().filter(|(_, value)| !value.is_empty()) {
        environment.set(name, value).expect("a short variable");
    }
    let encoded = environment.encode();
    assert_eq!(encoded.copy, EnvironmentCopy::Second);
    [first, encoded.bytes]
}

fn environment_on(card: &Path) -> Environment {
    let card = File::open(card).expect("card");
    let copies = ENV_OFFSETS.map(|offset| {
        let mut copy = [0; ENV_SIZE];
        card.read_exact_at(&mut copy, offset).expect("card");
        copy
    });
    Environment::read(Some(&copies[0]), Some(&copies[1])).expect("a valid copy")
}

/// The lines that the FITs' scripts printed, as slot, mode, `hf_dev`, `hf_console`, `trial_left`.
fn choices(console: &str) -> Vec<Vec<String>> {
    let lines = console.lines().filter_map(|line| Some(line.split_once(CHOICE)?.1));
    lines.map(|line| line.split_whitespace().map(String::from).collect()).collect()
}

/// The choices of [`decide`] as the script prints them.
fn expected(state: &SlotState) -> Vec<(Slot, Mode)> {
    expected_after(state, Panics::NONE)
}

fn expected_after(state: &SlotState, panics: Panics) -> Vec<(Slot, Mode)> {
    decide(state, panics).choices().map(|choice| (choice.slot, choice.mode)).collect()
}

fn chosen(console: &str) -> Vec<(Slot, Mode)> {
    let slot = |word: &str| Slot::from_name(word).expect("a or b");
    let mode = |word: &str| Mode::from_name(word).expect("a mode");
    choices(console).iter().map(|words| (slot(&words[0]), mode(&words[1]))).collect()
}

/// Every reading of every variable: each row of the decision table, several times over.
#[test]
fn the_script_chooses_as_the_decision_table_says() -> Result {
    let bench = Bench::new("rows")?;
    for confirmed in ["a", "b", "", "c"] {
        for trial in ["", "a", "b", "ab"] {
            for left in ["", "0", "1", "2", "9", "10", "-1"] {
                let variables =
                    [(VAR_CONFIRMED, confirmed), (VAR_TRIAL, trial), (VAR_TRIAL_LEFT, left)];
                // What is left cannot matter without a trial: one reading is enough.
                if trial.is_empty() && left != "2" {
                    continue;
                }
                row(&bench, &variables)?;
            }
        }
    }
    Ok(())
}

fn row(bench: &Bench, variables: &[(&str, &str)]) -> Result {
    let copies = environment(variables);
    let card = bench.card(&copies, [Content::WrongDigest; 2]);
    let before = environment_on(&card);
    let state = SlotState::read(&before);
    let console = bench.boot(&card)?;
    let (got, want) = (chosen(&console), expected(&state));
    ensure(got == want, || format!("{variables:?}: got {got:?}, not {want:?}\n{console}"))?;
    let after = environment_on(&card);
    let (got, want) = (SlotState::read(&after), state.counted_down());
    ensure(got == want, || format!("{variables:?}: stored {got:?}, not {want:?}"))?;
    // A boot without a trial writes nothing: the confirmed slot has no counter.
    if decide(&state, Panics::NONE).trial.is_none() {
        ensure(before == after, || format!("{variables:?}: the environment was written"))?;
    }
    Ok(())
}

#[test]
fn a_trial_is_counted_down_on_the_card_before_its_kernel_runs() -> Result {
    let bench = Bench::new("count")?;
    let variables = [(VAR_CONFIRMED, "b"), (VAR_TRIAL, "a"), (VAR_TRIAL_LEFT, "2"), ("other", "x")];
    let card = bench.card(&environment(&variables), [Content::Good; 2]);
    // Two attempts, then the confirmed slot, and from then on nothing changes any more.
    for (slot, mode, left) in [
        (Slot::A, Mode::Trial, 1),
        (Slot::A, Mode::Trial, 0),
        (Slot::B, Mode::Fallback, 0),
        (Slot::B, Mode::Fallback, 0),
    ] {
        let console = bench.boot(&card)?;
        ensure(console.contains(KERNEL_SAYS), || format!("no kernel: {console}"))?;
        let got = chosen(&console);
        ensure(got == [(slot, mode)], || format!("got {got:?}, not {slot:?} {mode:?}"))?;
        let stored = SlotState::read(&environment_on(&card));
        ensure(stored.trial_left == Reading::Is(left), || format!("stored {stored:?}"))?;
        ensure(stored.confirmed == Reading::Is(Slot::B), || format!("stored {stored:?}"))?;
    }
    Ok(())
}

#[test]
fn the_next_choice_follows_a_slot_that_is_empty_or_broken() -> Result {
    let bench = Bench::new("broken")?;
    let calm = environment(&[(VAR_CONFIRMED, "a")]);
    let trial = environment(&[(VAR_CONFIRMED, "a"), (VAR_TRIAL, "b"), (VAR_TRIAL_LEFT, "1")]);
    let fallback = (Slot::B, Mode::Fallback);
    for (copies, slots, want) in [
        (&calm, [Content::Nothing, Content::Good], vec![fallback]),
        (&calm, [Content::WrongDigest, Content::Good], vec![(Slot::A, Mode::Confirmed), fallback]),
        (&trial, [Content::Good, Content::Nothing], vec![(Slot::A, Mode::Fallback)]),
        (
            &trial,
            [Content::Good, Content::WrongDigest],
            vec![(Slot::B, Mode::Trial), (Slot::A, Mode::Fallback)],
        ),
    ] {
        let card = bench.card(copies, slots);
        let console = bench.boot(&card)?;
        let got = chosen(&console);
        ensure(got == want, || format!("got {got:?}, not {want:?}\n{console}"))?;
        ensure(console.contains(KERNEL_SAYS), || format!("no kernel: {console}"))?;
    }
    Ok(())
}

#[test]
fn torn_and_unreadable_environments_boot() -> Result {
    let bench = Bench::new("torn")?;
    let trial = [(VAR_CONFIRMED, "b"), (VAR_TRIAL, "a"), (VAR_TRIAL_LEFT, "3")];
    let [fresh, newer] = environment(&trial);
    let torn = |copy: &RawCopy| {
        let mut torn = *copy;
        torn[64] ^= 0xff;
        torn
    };
    for (copies, want) in [
        // the newer copy torn: the older one's state, slot a confirmed
        ([fresh, torn(&newer)], expected(&SlotState::FRESH)),
        (
            [torn(&fresh), newer],
            vec![(Slot::A, Mode::Trial), (Slot::B, Mode::Fallback), (Slot::A, Mode::Fallback)],
        ),
        ([torn(&fresh), torn(&newer)], expected(&SlotState::UNREADABLE)),
        ([[0; ENV_SIZE]; 2], expected(&SlotState::UNREADABLE)),
    ] {
        let card = bench.card(&copies, [Content::WrongDigest; 2]);
        let console = bench.boot(&card)?;
        let got = chosen(&console);
        ensure(got == want, || format!("got {got:?}, not {want:?}\n{console}"))?;
    }
    Ok(())
}

#[test]
fn serial_numbers_wrap_around_as_in_u_boot() -> Result {
    let bench = Bench::new("serial")?;
    for (first, second) in [(255, 0), (0, 255), (7, 7), (3, 4), (4, 3), (254, 255)] {
        let a = environment(&[(VAR_CONFIRMED, "a")])[1];
        let b = environment(&[(VAR_CONFIRMED, "b")])[1];
        let (mut one, mut two) = (a, b);
        one[4] = first;
        two[4] = second;
        let card = bench.card(&[one, two], [Content::WrongDigest; 2]);
        let want = expected(&SlotState::read(&environment_on(&card)));
        let console = bench.boot(&card)?;
        let got = chosen(&console);
        ensure(got == want, || format!("{first}, {second}: got {got:?}, not {want:?}"))?;
    }
    Ok(())
}

#[test]
fn the_stored_environment_cannot_change_what_choosing_means() -> Result {
    let bench = Bench::new("override")?;
    let hostile = environment(&[
        (VAR_CONFIRMED, "a"),
        (VAR_TRIAL, "b"),
        (VAR_TRIAL_LEFT, "1"),
        ("bootcmd", "echo overridden"),
        ("hf_try", "echo overridden"),
        ("hf_fit", "0x80000"),
        ("bootdelay", "30"),
        ("bootargs", "init=/bin/sh"),
        ("verify", "no"),
    ]);
    let card = bench.card(&hostile, [Content::Good, Content::WrongDigest]);
    let console = bench.boot(&card)?;
    ensure(!console.contains("overridden"), || format!("overridden: {console}"))?;
    // `verify=no` would have booted the kernel with the wrong digest.
    let got = chosen(&console);
    let want = [(Slot::B, Mode::Trial), (Slot::A, Mode::Fallback)];
    ensure(got == want, || format!("got {got:?}, not {want:?}\n{console}"))
}

#[test]
fn marks_against_rollbacks_decide_nothing_and_survive_u_boot_s_own_write() -> Result {
    let bench = Bench::new("marks")?;
    let long = "9".repeat(4000);
    for (sequence, floor) in [
        ("41", "17"),
        ("0", "0"),
        ("18446744073709551615", "18446744073709551615"),
        ("; reset", "${bootcmd}"),
        ("\"", "'"),
        (long.as_str(), "-1"),
    ] {
        let copies = environment(&[
            (VAR_CONFIRMED, "a"),
            (VAR_TRIAL, "b"),
            (VAR_TRIAL_LEFT, "1"),
            (VAR_SEQUENCE, sequence),
            (VAR_FLOOR, floor),
        ]);
        let card = bench.card(&copies, [Content::WrongDigest; 2]);
        let before = environment_on(&card);
        let console = bench.boot(&card)?;
        let (got, want) = (chosen(&console), expected(&SlotState::read(&before)));
        ensure(got == want, || format!("{sequence:?}: got {got:?}, not {want:?}\n{console}"))?;
        // U-Boot has counted the trial down: it wrote the whole environment itself.
        let after = environment_on(&card);
        let left = SlotState::read(&after).trial_left;
        ensure(left == Reading::Is(0), || format!("{sequence:?}: {left:?} attempts are left"))?;
        for name in [VAR_SEQUENCE, VAR_FLOOR] {
            let (old, new) = (before.get(name), after.get(name));
            ensure(old == new, || format!("{name} was {old:?} and is {new:?}"))?;
        }
    }
    Ok(())
}

#[test]
fn the_script_tells_the_slot_its_partition_and_console() -> Result {
    let bench = Bench::new("words")?;
    let card = bench.card(&environment(&[(VAR_CONFIRMED, "b")]), [Content::Good; 2]);
    let console = bench.boot(&card)?;
    let got = choices(&console);
    let device = format!("PARTUUID={:08x}-03", layout::DISK_ID);
    let want =
        vec![["b", "confirmed", device.as_str(), "ttyAMA0,115200"].map(String::from).to_vec()];
    ensure(got == want, || format!("got {got:?}, not {want:?}"))
}

/// QEMU's model of the Pi's watchdog resets the machine when it is started, so a script that starts
/// it is seen to come back to the boot loader, with the kernel loaded and not entered.
#[test]
fn the_watchdog_runs_before_the_kernel_does_unless_the_tree_names_another() -> Result {
    let bench = Bench::new("watchdog")?;
    let card = bench.card(&environment(&[(VAR_CONFIRMED, "a")]), [Content::Good; 2]);
    for (named, enters) in [("softdog", true), ("none", true), ("bcm2835", false)] {
        let mut name = Command::new("fdtput");
        name.args(["-t", "s"]).arg(&bench.tree).args(["/chosen", "holdfast,watchdog", named]);
        child::run(&mut name)?;
        let mut machine = bench.start(&card)?;
        machine.console.expect(CHOICE, LIMIT)?;
        let (index, _) = machine.console.expect_any(&[KERNEL_SAYS, BOOT_LOADER], LIMIT)?;
        ensure((index == 0) == enters, || format!("{named}: {}", machine.console.text()))?;
    }
    Ok(())
}

/// A zone of memory as the kernel lays it out.
fn zone(magic: u32, start: u32, content: &[u8]) -> Vec<u8> {
    let words = [magic, start, content.len() as u32].map(u32::to_le_bytes);
    [words.as_flattened(), content].concat()
}

/// The words of a zone in a running machine.
fn memory(machine: &mut Qemu, address: u32, words: usize) -> Result<Vec<u32>> {
    let text = machine.control()?.monitor(&format!("xp /{words}wx {address:#x}"))?;
    let words = text.split_whitespace().filter_map(|word| word.strip_prefix("0x"));
    Ok(words.filter_map(|word| u32::from_str_radix(word, 16).ok()).collect())
}

/// Each row of the table of counting, with the states that differ in it.
#[test]
fn panics_are_counted_and_turn_the_slots_round_as_the_table_says() -> Result {
    let bench = Bench::new("panics")?;
    for (confirmed, trial, left) in
        [("a", "", ""), ("b", "", ""), ("a", "b", "2"), ("a", "b", "0"), ("", "", "")]
    {
        let variables = [(VAR_CONFIRMED, confirmed), (VAR_TRIAL, trial), (VAR_TRIAL_LEFT, left)];
        let card = bench.card(&environment(&variables), [Content::WrongDigest; 2]);
        let state = SlotState::read(&environment_on(&card));
        for before in Panics::all() {
            for new_log in [false, true] {
                let card = bench.card(&environment(&variables), [Content::WrongDigest; 2]);
                let log = zone(ZONE_MAGIC, if new_log { 5 } else { 0 }, b"a log");
                let count = match before {
                    Panics::NONE => zone(ZONE_MAGIC, 0, b""),
                    before => zone(ZONE_MAGIC, 0, &before.record()),
                };
                let trying = decide(&state, Panics::NONE).trial.is_some();
                let after = before.counted(trying, new_log);
                let told = format!("{variables:?}, {before:?}, new log {new_log}");
                let zones = [(LOG_ZONE, log.clone()), (COUNT_ZONE, count)];
                counted(&bench, &card, &zones, (&state, after))
                    .map_err(|error| Error::Story(format!("{told}: {error}")))?;
            }
        }
    }
    Ok(())
}

/// Boots a card with this left in memory; what is tried, and what is in memory afterwards.
fn counted(
    bench: &Bench,
    card: &Path,
    zones: &[(u32, Vec<u8>)],
    (state, after): (&SlotState, Panics),
) -> Result {
    let mut machine = bench.start_with(card, bench.left_in_memory(zones))?;
    machine.console.expect(NOTHING, LIMIT)?;
    let console = machine.console.text();
    let (got, want) = (chosen(&console), expected_after(state, after));
    ensure(got == want, || format!("got {got:?}, not {want:?}\n{console}"))?;
    let stored = memory(&mut machine, COUNT_ZONE, 9)?;
    let bytes: Vec<u8> = stored.iter().flat_map(|word| word.to_le_bytes()).collect();
    let right = match after {
        Panics::NONE => stored[1..3] == [0, 0],
        after => bytes == zone(ZONE_MAGIC, 0, &after.record()),
    };
    ensure(right, || format!("{after:?} is stored as {stored:x?}"))?;
    let log = memory(&mut machine, LOG_ZONE + ZONE_START, 1)?;
    ensure(log == [0], || format!("the log is not marked as counted: {log:x?}"))
}

/// What is no count is none: neither a log in its place nor memory that nobody wrote.
#[test]
fn memory_that_holds_no_count_is_left_as_it_is() -> Result {
    let bench = Bench::new("no-count")?;
    let variables = [(VAR_CONFIRMED, "a")];
    let card = bench.card(&environment(&variables), [Content::WrongDigest; 2]);
    let state = SlotState::read(&environment_on(&card));
    let count = Panics::all().last().expect("there are some").record();
    let wrong = |at: usize, byte: u8| {
        let mut record = count;
        record[at] = byte;
        record.to_vec()
    };
    let last = count.len() - 1;
    for (what, zones) in [
        ("no magic", [zone(ZONE_MAGIC ^ 1, 5, b"a log"), zone(ZONE_MAGIC ^ 1, 0, &count)]),
        ("an unknown digit", [zone(ZONE_MAGIC, 0, b""), zone(ZONE_MAGIC, 0, &wrong(last, b'6'))]),
        ("another word", [zone(ZONE_MAGIC, 0, b""), zone(ZONE_MAGIC, 0, &wrong(last - 7, b'P'))]),
        (
            "a longer text",
            [zone(ZONE_MAGIC, 0, b""), zone(ZONE_MAGIC, 0, &[&count[..], b"0"].concat())],
        ),
    ] {
        let [log, old] = zones;
        let zones = [(LOG_ZONE, log.clone()), (COUNT_ZONE, old.clone())];
        let mut machine = bench.start_with(&card, bench.left_in_memory(&zones))?;
        machine.console.expect(NOTHING, LIMIT)?;
        let got = chosen(&machine.console.text());
        let want = expected(&state);
        ensure(got == want, || format!("{what}: got {got:?}, not {want:?}"))?;
        for (address, bytes) in [(LOG_ZONE, log), (COUNT_ZONE, old)] {
            let found = memory(&mut machine, address, bytes.len() / 4)?;
            let found: Vec<u8> = found.iter().flat_map(|word| word.to_le_bytes()).collect();
            ensure(bytes.starts_with(&found), || format!("{what}: {address:#x} was written"))?;
        }
    }
    Ok(())
}

/// The memory that counts is the machine's own: it outlives its resets, and not its power.
#[test]
fn three_panics_in_a_row_give_the_other_slot_three_boots_and_a_power_cut_none() -> Result {
    let bench = Bench::new("resets")?;
    let calm = environment(&[(VAR_CONFIRMED, "a")]);
    let (a, b) = ((Slot::A, Mode::Confirmed), (Slot::B, Mode::Fallback));
    for (slots, want) in [
        ([Content::Panics, Content::Panics], vec![a, a, a, b, b, b, a, a, a, b]),
        ([Content::Panics, Content::Resets], vec![a, a, a, b, b, b, a]),
        ([Content::Panics, Content::Good], vec![a, a, a, b]),
        ([Content::Resets, Content::Good], vec![a; 8]),
    ] {
        let card = bench.card(&calm, slots);
        let before = environment_on(&card);
        for _ in 0..2 {
            let mut machine = bench.start(&card)?;
            for _ in 0..want.len() {
                machine.console.expect(CHOICE, LIMIT)?;
            }
            let mut got = chosen(&machine.console.text());
            got.truncate(want.len());
            machine.kill();
            ensure(got == want, || format!("got {got:?}, not {want:?}"))?;
        }
        ensure(before == environment_on(&card), || "the environment was written".into())?;
    }
    // The power goes after two panics, each time.
    let card = bench.card(&calm, [Content::Panics, Content::Good]);
    for _ in 0..3 {
        let mut machine = bench.start(&card)?;
        for _ in 0..2 {
            machine.console.expect(CHOICE, LIMIT)?;
        }
        let got = chosen(&machine.console.text());
        ensure(got.iter().all(|choice| *choice == a), || format!("got {got:?}"))?;
        machine.kill();
    }
    Ok(())
}
