//! The data partition while the machine runs: keeps the spare copy up to date, and notices when the
//! kernel has made `/data` read-only because of errors (`errors=remount-ro`). Kernel 6.12 does not
//! say so in the mount's flags, so the file system's count of errors is looked at, for more than
//! there were when it was mounted: a check that was cut or found no way leaves the old ones. Then:
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

use crate::{clock, data::Data, files, kmsg, machine::Machine, spare::Spare};
use protocol::control::BootReason;
use std::path::{Path, PathBuf};

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
    /// The kernel's count of errors in the file system; `None` when `/data` is not the partition.
    errors: Option<PathBuf>,
    /// That count when it was mounted: what a check did not clear is no new error.
    known: u64,
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
    pub fn new(data: Data) -> Self {
        let Data { mounted, checked, spare, partition, .. } = data;
        let errors = partition.map(|name| {
            let name = name.file_name().unwrap_or_default().to_os_string();
            Path::new("/sys/fs/ext4").join(name).join("errors_count")
        });
        let known = count(errors.as_deref());
        Self { mounted, checked, spare, errors, known, next_look: 0, settled: false }
    }

    fn has_errors(&self) -> bool {
        count(self.errors.as_deref()) > self.known
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

/// Zero where it cannot be read: a look that fails is no error of the file system.
fn count(errors: Option<&Path>) -> u64 {
    errors.and_then(files::read_line).and_then(|count| count.parse().ok()).unwrap_or(0)
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
        let read_only = self.guard.has_errors();
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
}
