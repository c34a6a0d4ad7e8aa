//! The boot script, and `autoboot.txt` for the Pi firmware's own A/B flow.
//!
//! The script is U-Boot's built-in default environment. U-Boot is built so that the *stored*
//! environment can override [`WRITABLE_VARIABLES`] and nothing else: a damaged or hostile card can
//! choose between slots, but not change what choosing means.
//!
//! What always holds:
//! - The script decides as [`crate::slots::decide`] does; `hil-tests` runs the real U-Boot against
//!   every row of that table.
//! - It cannot be interrupted and never ends at a prompt: when nothing boots it waits
//!   [`RETRY_PAUSE_S`] seconds and resets. A gateway has nobody at its console, and noise on an
//!   open serial line must not stop it. A developer's U-Boot is a build with another fragment.
//! - A script line that fails leads to the next choice, never to a half-set-up boot: `bootargs` is
//!   cleared before each try, and `bootm` checks the SHA-256 of what it loads.
//! - A kernel is entered with the watchdog running, where the board has one that U-Boot knows,
//!   unless the firmware's tree names another for init. It is started once everything is loaded, so
//!   that a slow card is no reason for a reset. One that does not start is no reason not to boot.
//! - Memory is written only where the kernel left a log that was not counted yet, or where a count
//!   lies already: see [`crate::panics`].

use core::fmt::{self, Write};

use crate::Error;
use crate::layout::{
    FIT_CMDLINE_IMAGE, FIT_FILE, FIT_VIRT_CONFIGURATION, LOAD_RPI, LOAD_VIRT, LoadAddresses,
    SLOT_A, SLOT_B, slot_partition,
};
use crate::panics::{
    COUNT_ZONE, LOG_ZONE, Panics, RECORD_LENGTH, TURN, ZONE_LENGTH, ZONE_MAGIC, ZONE_START,
    ZONE_TEXT,
};
use crate::rollback::{VAR_FLOOR, VAR_SEQUENCE};
use crate::slots::{Mode, SlotState, TRIAL_ATTEMPTS_MAX, VAR_CONFIRMED, VAR_TRIAL, VAR_TRIAL_LEFT};

/// What the stored environment may override. The script reads the first three only; the marks
/// against rollbacks are listed because U-Boot's own `saveenv` drops what is not.
pub const WRITABLE_VARIABLES: [&str; 5] =
    [VAR_CONFIRMED, VAR_TRIAL, VAR_TRIAL_LEFT, VAR_SEQUENCE, VAR_FLOOR];

/// Seconds between "nothing boots" and the reset: long enough to read it, and to keep a broken card
/// from being read without pause.
pub const RETRY_PAUSE_S: u32 = 10;

/// Milliseconds from `bootm` until the kernel must have taken the watchdog over; the hardware can
/// do just below 16 s. U-Boot checks and copies the kernel in about one, the kernel needs as long
/// to its driver.
pub const WATCHDOG_MS: u32 = 15_000;
/// The Raspberry Pi's watchdog, as the mainline trees and so U-Boot name it (not on Pi 5: there no
/// watchdog runs before init opens one).
const WATCHDOG_DEVICE: &str = "watchdog@7e100000";

/// The machines that a U-Boot is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Platform {
    /// All Raspberry Pi boards, and QEMU's models of them.
    RaspberryPi,
    /// QEMU's `virt` machine.
    Virt,
}

impl Platform {
    /// Where FIT and kernel go in memory.
    pub const fn load_addresses(self) -> LoadAddresses {
        match self {
            Platform::RaspberryPi => LOAD_RPI,
            Platform::Virt => LOAD_VIRT,
        }
    }
}

/// `CFG_ENV_FLAGS_LIST_STATIC` for U-Boot: each of [`WRITABLE_VARIABLES`] is a writable string.
///
/// Strings, not `d` for decimal: what a value means is the script's decision, and U-Boot's own type
/// check would turn "unreadable" into "absent" with a message in between.
pub fn write_flags_list(out: &mut impl Write) -> fmt::Result {
    for (index, name) in WRITABLE_VARIABLES.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(out, "{comma}{name}:sw")?;
    }
    Ok(())
}

/// The default environment, as U-Boot's `CONFIG_DEFAULT_ENV_FILE` reads it: `name=value` lines, `#`
/// for comments, a backslash at the end of a line to go on.
pub fn write_default_environment(out: &mut impl Write, platform: Platform) -> fmt::Result {
    let fit = platform.load_addresses().fit;
    writeln!(out, "# Holdfast boot script; rendered by bootloader_config::script. Do not edit.")?;
    // -2: boot at once and do not look for a key
    writeln!(out, "bootdelay=-2")?;
    writeln!(out, "baudrate=115200")?;
    for stream in ["stdin", "stdout", "stderr"] {
        writeln!(out, "{stream}=serial")?;
    }
    writeln!(out, "hf_fit={fit:#x}")?;
    writeln!(out, "hf_pause={RETRY_PAUSE_S}")?;
    variable(
        out,
        "bootcmd",
        &[
            "run hf_tree",
            "run hf_read",
            "run hf_count",
            "run hf_panics",
            "run hf_trial",
            "run hf_rest",
            "echo holdfast: nothing boots",
            "sleep ${hf_pause}",
            "reset",
        ],
    )?;
    write_tree(out, platform)?;
    write_read(out)?;
    write_count(out)?;
    write_panics(out, platform)?;
    write_trial(out)?;
    write_rest(out)?;
    write_watchdog(out, platform)?;
    write_try(out)
}

/// `hf_tree`: which device tree, console and watchdog (`hf_dog`: whether to start it), out of the
/// tree that the firmware passed.
///
/// The console rule: the header's UART as the mainline trees number it. On Pi 3, Zero 2 W and 4
/// that is the mini UART, `ttyS1`; on Pi 5 the debug UART, `ttyAMA10`. A tree that is used as the
/// firmware passed it says so by `stdout-path`: `serial0` there is the PL011, `ttyAMA0`.
fn write_tree(out: &mut impl Write, platform: Platform) -> fmt::Result {
    if platform == Platform::Virt {
        writeln!(out, "hf_conf={FIT_VIRT_CONFIGURATION}")?;
        return variable(
            out,
            "hf_tree",
            &["setenv hf_console ttyAMA0,115200", "setenv hf_fdt ${fdtcontroladdr}"],
        );
    }
    variable(
        out,
        "hf_tree",
        &[
            "setenv hf_console ttyS1,115200",
            "setenv hf_fdt",
            "setenv hf_dog 1",
            "setenv hf_conf ${fdtfile}",
            "setexpr hf_conf sub broadcom/ \"\"",
            "if test \"${hf_conf}\" = bcm2712-rpi-5-b.dtb; then \
             setenv hf_console ttyAMA10,115200; fi",
            "if test -n \"${fdt_addr}\"; then if fdt addr ${fdt_addr}; then \
         if fdt get value hf_want /chosen holdfast,watchdog; then \
         if test \"${hf_want}\" != bcm2835; then setenv hf_dog; fi; fi; \
         if fdt get value hf_use /chosen holdfast,use-firmware-tree; then \
         setenv hf_fdt ${fdt_addr}; \
         fdt get value hf_stdout /chosen stdout-path; \
         if test \"${hf_stdout}\" = serial0:115200n8; then \
         setenv hf_console ttyAMA0,115200; fi; fi; fi; fi",
        ],
    )
}

/// `hf_read`: `hf_first` and `hf_second` are the slots without a trial, `hf_calm` how to
/// boot the first. `hf_known` is set when the confirmed slot was read.
fn write_read(out: &mut impl Write) -> fmt::Result {
    variable(
        out,
        "hf_read",
        &[
            "setenv hf_known",
            "setenv hf_first a",
            "setenv hf_second b",
            "setenv hf_calm fallback",
            "if test \"${slot_confirmed}\" = a; then setenv hf_known 1; fi",
            "if test \"${slot_confirmed}\" = b; then setenv hf_known 1; \
         setenv hf_first b; setenv hf_second a; fi",
            "if test -n \"${hf_known}\"; then \
         if test -z \"${slot_trial}\"; then setenv hf_calm confirmed; fi; \
         if test \"${slot_trial}\" = \"${slot_confirmed}\"; then setenv hf_calm confirmed; fi; \
         else if test \"${slot_trial}\" = a; then setenv hf_first b; setenv hf_second a; fi; fi",
        ],
    )
}

/// `hf_count`: `hf_left` is what the trial has left after this attempt; empty: none is tried.
fn write_count(out: &mut impl Write) -> fmt::Result {
    writeln!(out, "hf_count=setenv hf_left; if test -n \"${{hf_known}}\"; then \\")?;
    writeln!(out, "if test \"${{slot_trial}}\" = \"${{hf_second}}\"; then \\")?;
    for left in 1..=TRIAL_ATTEMPTS_MAX {
        let next = left - 1;
        write!(out, "if test \"${{{VAR_TRIAL_LEFT}}}\" = {left}; then ")?;
        writeln!(out, "setenv hf_left {next}; fi; \\")?;
    }
    writeln!(out, "fi; fi")
}

/// `hf_panics`: counts a panic that the last kernel left a log of, and turns the slots round when
/// it is the other one's turn: [`Panics::counted`]. `hf_note` stores the count.
fn write_panics(out: &mut impl Write, platform: Platform) -> fmt::Result {
    if platform == Platform::Virt {
        // QEMU's own tree has no memory for logs; at these addresses it has none at all
        return writeln!(out, "hf_panics=true");
    }
    let (log, count) = (LOG_ZONE, COUNT_ZONE);
    writeln!(out, "hf_panics=setenv hf_row 0; setenv hf_new; \\")?;
    write!(out, "if itest.l *{count:#x} -eq {ZONE_MAGIC:#x}; then ")?;
    writeln!(out, "if itest.l *{:#x} -eq {RECORD_LENGTH:#x}; then \\", count + ZONE_LENGTH)?;
    let last = count + ZONE_TEXT + RECORD_LENGTH as u32 - 4;
    let [.., word, _] = words(Panics::NONE);
    write!(out, "if itest.l *{:#x} -eq {word:#x}; then ", last - 4)?;
    for panics in Panics::all().skip(1) {
        let [.., word] = words(panics);
        write!(out, "if itest.l *{last:#x} -eq {word:#x}; then ")?;
        writeln!(out, "setenv hf_row {}; fi; \\", panics.count())?;
    }
    writeln!(out, "fi; fi; fi; setenv hf_was ${{hf_row}}; \\")?;
    let start = log + ZONE_START;
    write!(out, "if itest.l *{log:#x} -eq {ZONE_MAGIC:#x}; then if itest.l *{start:#x} -ne 0; ")?;
    writeln!(out, "then setenv hf_new 1; mw.l {start:#x} 0; fi; fi; \\")?;
    writeln!(out, "if test ${{hf_was}} -ge {TURN}; then setenv hf_new 1; fi; \\")?;
    writeln!(out, "if test -n \"${{hf_new}}\"; then setexpr hf_row ${{hf_row}} + 1; fi; \\")?;
    writeln!(out, "if test ${{hf_row}} = {}; then setenv hf_row 0; fi; \\", 2 * TURN)?;
    writeln!(out, "if test -n \"${{hf_left}}\"; then setenv hf_row 0; fi; \\")?;
    writeln!(out, "if test ${{hf_row}} != ${{hf_was}}; then run hf_note; fi; \\")?;
    writeln!(out, "if test ${{hf_row}} -ge {TURN}; then \\")?;
    writeln!(out, "setenv hf_was ${{hf_first}}; setenv hf_first ${{hf_second}}; \\")?;
    writeln!(out, "setenv hf_second ${{hf_was}}; setenv hf_calm fallback; \\")?;
    writeln!(out, "echo holdfast: panics in a row, slot ${{hf_first}} comes first; fi")?;
    write_note(out)
}

/// `hf_note`: stores `hf_row` as the kernel stores a log; 0 as it empties a zone.
fn write_note(out: &mut impl Write) -> fmt::Result {
    let zone = COUNT_ZONE;
    let text = zone + ZONE_TEXT;
    writeln!(out, "hf_note=echo holdfast: panics in a row: ${{hf_row}}; \\")?;
    write!(out, "mw.l {:#x} 0; mw.l {:#x} 0; ", zone + ZONE_START, zone + ZONE_LENGTH)?;
    writeln!(out, "if test ${{hf_row}} != 0; then mw.l {zone:#x} {ZONE_MAGIC:#x}; \\")?;
    for (at, word) in (text..).step_by(4).zip(words(Panics::NONE)) {
        writeln!(out, "mw.l {at:#x} {word:#x}; \\")?;
    }
    // the last byte is the digit
    writeln!(out, "mw.b {:#x} 0x3${{hf_row}}; \\", text + RECORD_LENGTH as u32 - 1)?;
    writeln!(out, "mw.l {:#x} {RECORD_LENGTH:#x}; fi", zone + ZONE_LENGTH)
}

/// A count as the words that lie in memory.
fn words(panics: Panics) -> [u32; RECORD_LENGTH / 4] {
    let record = panics.record();
    core::array::from_fn(|word| {
        u32::from_le_bytes(core::array::from_fn(|byte| record[4 * word + byte]))
    })
}

/// `hf_trial`: stores what `hf_count` counted, and tries the slot on trial; does nothing without
/// one.
fn write_trial(out: &mut impl Write) -> fmt::Result {
    writeln!(out, "hf_trial=if test -n \"${{hf_left}}\"; then \\")?;
    writeln!(out, "setenv {VAR_TRIAL_LEFT} ${{hf_left}}; \\")?;
    writeln!(out, "if saveenv; then setenv hf_slot ${{hf_second}}; \\")?;
    writeln!(out, "setenv hf_mode {}; run hf_try; \\", Mode::Trial.name())?;
    writeln!(out, "else echo holdfast: cannot store the count, no trial; fi; fi")
}

/// `hf_rest`: the two choices that always follow.
fn write_rest(out: &mut impl Write) -> fmt::Result {
    variable(
        out,
        "hf_rest",
        &[
            "setenv hf_slot ${hf_first}",
            "setenv hf_mode ${hf_calm}",
            "run hf_try",
            "setenv hf_slot ${hf_second}",
            "setenv hf_mode fallback",
            "run hf_try",
        ],
    )
}

/// `hf_guard` starts the watchdog before a kernel is entered, `hf_unguard` stops it when none was.
fn write_watchdog(out: &mut impl Write, platform: Platform) -> fmt::Result {
    if platform == Platform::Virt {
        // U-Boot has no driver for the watchdog of QEMU's own board
        writeln!(out, "hf_guard=true")?;
        return writeln!(out, "hf_unguard=true");
    }
    write!(out, "hf_guard=if test -n \"${{hf_dog}}\"; then if wdt dev {WATCHDOG_DEVICE}; then ")?;
    writeln!(out, "wdt start {WATCHDOG_MS}; fi; fi")?;
    writeln!(out, "hf_unguard=if test -n \"${{hf_dog}}\"; then wdt stop; fi")
}

/// `hf_try`: boots `hf_slot` as `hf_mode`; comes back when that fails.
///
/// The slot's `cmdline` script sees the mode as `hf_boot`.
fn write_try(out: &mut impl Write) -> fmt::Result {
    let (a, b) = (SLOT_A.number, SLOT_B.number);
    writeln!(out, "hf_try=echo holdfast: slot ${{hf_slot}} as ${{hf_mode}}; \\")?;
    writeln!(out, "setenv hf_boot ${{hf_mode}}; setenv bootargs; setenv hf_part {a}; \\")?;
    writeln!(out, "if test \"${{hf_slot}}\" = b; then setenv hf_part {b}; fi; \\")?;
    writeln!(out, "if part uuid mmc 0:${{hf_part}} hf_uuid; then \\")?;
    writeln!(out, "setenv hf_dev PARTUUID=${{hf_uuid}}; \\")?;
    writeln!(out, "if load mmc 0:${{hf_part}} ${{hf_fit}} {FIT_FILE}; then \\")?;
    writeln!(out, "if source ${{hf_fit}}:{FIT_CMDLINE_IMAGE}; then \\")?;
    writeln!(out, "run hf_guard; if test -n \"${{hf_fdt}}\"; then \\")?;
    writeln!(out, "bootm ${{hf_fit}}#${{hf_conf}} - ${{hf_fdt}}; \\")?;
    // a carrier board of its own has a tree that the FIT does not know: its default configuration
    writeln!(out, "bootm ${{hf_fit}} - ${{hf_fdt}}; \\")?;
    writeln!(out, "else bootm ${{hf_fit}}#${{hf_conf}}; fi; run hf_unguard; fi; fi; fi; \\")?;
    writeln!(out, "echo holdfast: slot ${{hf_slot}} does not boot")
}

/// One variable out of commands, one line each.
fn variable(out: &mut impl Write, name: &str, commands: &[&str]) -> fmt::Result {
    write!(out, "{name}=")?;
    for (index, command) in commands.iter().enumerate() {
        let end = if index + 1 == commands.len() { "\n" } else { "; \\\n" };
        write!(out, "{command}{end}")?;
    }
    Ok(())
}

/// Renders `autoboot.txt` for the Pi firmware's own A/B flow (`reboot "0 tryboot"`): the same state
/// machine without U-Boot. The firmware keeps the one-shot `tryboot` flag, so a trial has exactly
/// one attempt there, whatever `trial_left` says; the confirmed slot has no counter either way.
///
/// # Errors
/// [`Error::ConfirmedUnreadable`]: then the file on the card stays as it is; it is never written
/// from a guess.
pub fn autoboot_txt(state: &SlotState) -> Result<AutobootTxt, Error> {
    let confirmed = state.confirmed.value().ok_or(Error::ConfirmedUnreadable)?;
    let trial = crate::slots::decide(state, Panics::NONE).trial.map_or(confirmed, |(slot, _)| slot);
    Ok(AutobootTxt {
        confirmed: slot_partition(confirmed).number,
        trial: slot_partition(trial).number,
    })
}

/// The content of `autoboot.txt`: [`fmt::Display`] renders it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AutobootTxt {
    /// Partition that boots normally.
    pub confirmed: u8,
    /// Partition that boots once after `reboot "0 tryboot"`.
    pub trial: u8,
}

impl fmt::Display for AutobootTxt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "[all]\ntryboot_a_b=1\nboot_partition={}", self.confirmed)?;
        writeln!(f, "[tryboot]\nboot_partition={}", self.trial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::Slot;

    fn rendered(state: &SlotState) -> String {
        autoboot_txt(state).expect("the confirmed slot is known").to_string()
    }

    #[test]
    fn autoboot_txt_follows_the_same_states() {
        let normal = |all: u8, once: u8| {
            format!(
                "[all]\ntryboot_a_b=1\nboot_partition={all}\n[tryboot]\nboot_partition={once}\n"
            )
        };
        let fresh = SlotState::FRESH;
        let trial = fresh.stage_trial(Slot::B, 1).expect("slot b is free");
        assert_eq!(rendered(&fresh), normal(2, 2));
        assert_eq!(rendered(&trial), normal(2, 3));
        assert_eq!(rendered(&trial.counted_down()), normal(2, 2));
        assert_eq!(rendered(&trial.drop_trial()), normal(2, 2));
        assert_eq!(rendered(&trial.confirm(Slot::B)), normal(3, 3));
        assert_eq!(autoboot_txt(&SlotState::UNREADABLE), Err(Error::ConfirmedUnreadable));
    }

    #[test]
    fn the_default_environment_is_one_that_u_boot_s_build_can_read() {
        for platform in [Platform::RaspberryPi, Platform::Virt] {
            let mut text = String::new();
            write_default_environment(&mut text, platform).expect("a String takes any text");
            let joined = text.replace("\\\n", "");
            for line in joined.lines().filter(|line| !line.starts_with('#')) {
                let (name, value) = line.split_once('=').expect(line);
                assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
                // a word that a continued line glued to the next one
                assert!(!value.contains(";fi") && !value.contains("thenif"), "{line}");
                let words =
                    |word: &str| value.split([' ', ';']).filter(|found| *found == word).count();
                assert_eq!(words("if"), words("fi"), "unbalanced: {line}");
            }
            for name in WRITABLE_VARIABLES {
                assert!(!joined.contains(&format!("\n{name}=")), "{name} must have no default");
            }
            for name in [VAR_SEQUENCE, VAR_FLOOR] {
                assert!(!joined.contains(name), "{name} decides nothing at boot");
            }
        }
    }

    #[test]
    fn the_flags_list_names_each_writable_variable() {
        let mut flags = String::new();
        write_flags_list(&mut flags).expect("a String takes any text");
        assert_eq!(
            flags,
            "slot_confirmed:sw,slot_trial:sw,trial_left:sw,rollback_sequence:sw,rollback_floor:sw"
        );
    }
}
