//! The data partition while the machine runs: keeps the spare copy up to date, and notices when the
//! kernel has made `/data` read-only because of errors (`errors=remount-ro`). Then:
//!
//! | read-only | trial | checked in this boot | up for [`CALM_MS`] | then |
//! |---|---|---|---|---|
//! | no | any | any | any | nothing |
//! | yes | yes | any | any | warn; the health gate decides about the trial |
//! | yes | no | no | any | warn, reboot to have it checked |
//! | yes | no | yes | no | warn: the check has not helped, another would not |
//! | yes | no | yes | yes | warn, reboot to have it checked |
//!
//! Before the reboot a note is written to the card, outside the data partition, and read back: the
//! next boot checks because of it. A card that does not take the note would not take a repair
//! either; there the machine stays up. So it never reboots in a circle: at most once in
//! [`CALM_MS`] and one more time.

use crate::{clock, kmsg, machine::Machine, spare::Spare};
use protocol::control::BootReason;

/// Time after which errors are new ones, in milliseconds.
pub const CALM_MS: u64 = 3_600_000;
/// Between two looks in milliseconds.
const LOOK_EVERY_MS: u64 = 30_000;

/// What is known about the data partition.
#[derive(Debug)]
pub struct Guard {
    /// `/data` is the partition.
    pub(crate) mounted: bool,
    /// It was checked in this boot.
    pub(crate) checked: bool,
    /// Where the spare copy is; `None` without a boot disk.
    pub(crate) spare: Option<Spare>,
    next_look: u64,
    /// The reboot was tried, or is not to be.
    settled: bool,
}

/// What follows from a look.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Nothing,
    Warn,
    Reboot,
}

fn judge(read_only: bool, trial: bool, checked: bool, calm: bool) -> Verdict {
    match (read_only, trial, checked, calm) {
        (false, _, _, _) => Verdict::Nothing,
        (true, true, _, _) => Verdict::Warn,
        (true, false, false, _) => Verdict::Reboot,
        (true, false, true, false) => Verdict::Warn,
        (true, false, true, true) => Verdict::Reboot,
    }
}

impl Guard {
    /// Begins to guard.
    pub fn new(mounted: bool, checked: bool, spare: Option<Spare>) -> Self {
        Self { mounted, checked, spare, next_look: 0, settled: false }
    }

    /// The time of the next look.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.mounted.then_some(self.next_look)
    }

    /// Keeps the spare copy of what is on the partition; the error is a warning.
    pub(crate) fn save(&mut self) -> Option<String> {
        if !self.mounted {
            return None;
        }
        match self.spare.as_mut()?.save() {
            Ok(false) => None,
            Ok(true) => {
                kmsg::notice("spare copy of the configuration and identity written");
                None
            }
            Err(error) => Some(format!("spare copy: {error}")),
        }
    }
}

impl Machine {
    /// Looks at the data partition when it is time.
    pub(crate) fn look_at_data(&mut self, now: u64) {
        if !self.guard.mounted || now < self.guard.next_look {
            return;
        }
        self.guard.next_look = now + LOOK_EVERY_MS;
        if let Some(warning) = self.guard.save() {
            self.warn(warning);
        }
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let read_only = says_read_only(&mounts);
        if read_only {
            self.warn("data partition: read-only because of errors".into());
        }
        let calm = clock::now_ms() >= CALM_MS;
        let verdict = judge(read_only, self.gate.on_trial(), self.guard.checked, calm);
        if verdict == Verdict::Reboot && !self.guard.settled {
            self.guard.settled = true;
            let why = "data partition read-only because of errors";
            match self.guard.spare.as_ref().map(|spare| spare.note_check(why)) {
                Some(Ok(())) => self.begin_shutdown(false, BootReason::Reboot(why.into())),
                Some(Err(error)) => self.warn(format!("the card takes no writes: {error}")),
                None => {}
            }
        }
    }
}

/// Whether a table of mounts says that the kernel made `/data` read-only; newer kernels have a word
/// of their own for it.
fn says_read_only(mounts: &str) -> bool {
    mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).any(|fields| {
        fields.get(1) == Some(&crate::data::DATA)
            && fields.get(3).is_some_and(|options| {
                options.split(',').any(|option| option == "ro" || option == "emergency_ro")
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        const ANY: &[bool] = &[false, true];
        type Row<'a> = (bool, &'a [bool], &'a [bool], &'a [bool], Verdict);
        let rows: &[Row<'_>] = &[
            (false, ANY, ANY, ANY, Verdict::Nothing),
            (true, &[true], ANY, ANY, Verdict::Warn),
            (true, &[false], &[false], ANY, Verdict::Reboot),
            (true, &[false], &[true], &[false], Verdict::Warn),
            (true, &[false], &[true], &[true], Verdict::Reboot),
        ];
        let mut seen = 0;
        for (read_only, trials, checks, calms, verdict) in rows {
            for trial in *trials {
                for checked in *checks {
                    for calm in *calms {
                        seen += 1;
                        let got = judge(*read_only, *trial, *checked, *calm);
                        assert_eq!(got, *verdict, "{read_only} {trial} {checked} {calm}");
                    }
                }
            }
        }
        assert_eq!(seen, 16, "every combination has its row");
    }
    #[test]
    fn what_a_table_of_mounts_says() {
        let rows = [
            ("/dev/p4 /data ext4 rw,nosuid,errors=remount-ro 0 0", false),
            ("/dev/p4 /data ext4 ro,nosuid 0 0", true),
            ("/dev/p4 /data ext4 rw,nosuid,emergency_ro 0 0", true),
            ("/dev/p1 /boot vfat ro,nosuid 0 0\n/dev/p4 /data ext4 rw 0 0", false),
            ("", false),
        ];
        for (mounts, read_only) in rows {
            assert_eq!(says_read_only(mounts), read_only, "{mounts}");
        }
    }
}
