//! What requests on the control socket mean.

use crate::{Error, Result, clock, control, facts, kmsg, machine::Machine, memory, slots};
use board_support::thermal;
use bootloader_config::{rollback::Marks, slots::SlotState};
use protocol::control::{
    BootKind, BootReason, Failure, InitRequest, InitResponse, RollbackMarks, SystemStatus,
};

/// Most lines of a log in one answer.
const LOG_LINES: usize = 1000;
/// Longest reason or detail in bytes that is kept.
const TEXT_LIMIT: usize = 500;

impl Machine {
    /// Answers one request of process `pid`.
    pub(crate) fn handle(&mut self, pid: i32, request: InitRequest) -> InitResponse {
        let result = match request {
            InitRequest::Status => return InitResponse::Status(Box::new(self.status())),
            InitRequest::Boots => return InitResponse::Boots(self.boots.records().to_vec()),
            InitRequest::Ready => return self.service_ready(pid),
            InitRequest::Log { service, lines } => return self.log(&service, lines),
            InitRequest::Check { name, ok, detail } => {
                self.check(shortened(name), ok, shortened(detail));
                Ok(())
            }
            InitRequest::StageTrial { slot, attempts } => {
                if self.gate.on_trial() {
                    return failed("on-trial", "the running slot is not confirmed yet");
                }
                if !self.guard.mounted {
                    // A trial that fails would be forgotten at the reboot, and tried without end.
                    return failed("no-memory", "the data partition is not mounted");
                }
                self.change(|state| state.stage_trial(slots::slot(slot), attempts))
            }
            InitRequest::DropTrial => self.change(|state| Ok(state.drop_trial())),
            InitRequest::Rollback => {
                if self.gate.on_trial() {
                    return failed("on-trial", "the running slot is not confirmed; reboot instead");
                }
                self.change(SlotState::rollback)
            }
            InitRequest::Reboot { reason } => {
                self.begin_shutdown(false, BootReason::Reboot(shortened(reason)));
                Ok(())
            }
            InitRequest::PowerOff => {
                self.begin_shutdown(true, BootReason::Reboot("power-off".into()));
                Ok(())
            }
            InitRequest::RestoreMarks { sequence, floor } => {
                self.change_marks(|marks| marks.restored(sequence, floor))
            }
            InitRequest::Updating(updating) => {
                self.panel.updating(updating);
                Ok(())
            }
            InitRequest::Warn(warning) => {
                self.warn(shortened(warning));
                Ok(())
            }
        };
        match result {
            Ok(()) => InitResponse::Ok,
            Err(error) => failed("slot-control", &error.to_string()),
        }
    }

    /// The stored state of the slots; `None` when it cannot be read.
    pub(crate) fn slot_state(&self) -> Option<SlotState> {
        self.store.as_ref()?.state().ok()
    }

    /// Changes the stored state of the slots.
    pub(crate) fn change(
        &self,
        transition: impl FnOnce(&SlotState) -> slots::Transition,
    ) -> Result<()> {
        self.slot_store()?.change(|state, marks| Ok((transition(state)?, *marks)))
    }

    /// Changes the stored marks against rollbacks.
    pub(crate) fn change_marks(&self, change: impl FnOnce(&Marks) -> Marks) -> Result<()> {
        self.slot_store()?.change(|state, marks| Ok((*state, change(marks))))
    }

    pub(crate) fn slot_store(&self) -> Result<&slots::SlotStore> {
        let none = || Error::invalid("boot disk", "not found, so slots cannot be changed");
        self.store.as_ref().ok_or_else(none)
    }

    fn stored_marks(&self) -> RollbackMarks {
        self.store.as_ref().and_then(|store| store.marks().ok()).map_or_else(
            || RollbackMarks { unreadable: true, ..RollbackMarks::default() },
            |marks| slots::marks(&marks),
        )
    }

    fn service_ready(&mut self, pid: i32) -> InitResponse {
        let service =
            control::ancestry(pid).into_iter().find_map(|pid| self.supervisor.index_of_pid(pid));
        let Some(index) = service else {
            return failed("not-a-service", &format!("process {pid} belongs to no service"));
        };
        if self.supervisor.ready(index) {
            kmsg::notice(&format!("service {} ready", self.supervisor.name(index)));
        }
        InitResponse::Ok
    }

    fn log(&self, service: &str, lines: u32) -> InitResponse {
        match self.supervisor.index_of(service).and_then(|index| self.logs.get(index)) {
            Some(log) => InitResponse::Log(log.tail((lines as usize).min(LOG_LINES))),
            None => failed("no-such-service", &format!("there is no service {service}")),
        }
    }

    fn status(&self) -> SystemStatus {
        let (confirmed, trial) = self.slot_names();
        let marks = self.stored_marks();
        SystemStatus {
            hostname: self.hostname.clone(),
            board: self.facts.release.board.clone(),
            version: self.facts.release.version.clone(),
            sequence: self.facts.release.sequence,
            floor: self.facts.release.floor,
            slot: self.facts.slot,
            confirmed,
            trial,
            boot_kind: self.facts.kind,
            boot_reason: self.reason.clone(),
            boot_id: self.facts.boot_id.clone(),
            uptime_s: clock::now_ms() / 1000,
            health: self.gate.health().clone(),
            services: memory::of_services(self.supervisor.status()),
            init_memory_kib: memory::of_process(std::process::id()),
            temperature_mc: thermal::temperature_mc(),
            warnings: self.status_warnings(&marks),
            rollback_marks: marks,
        }
    }

    fn status_warnings(&self, marks: &RollbackMarks) -> Vec<String> {
        let mut warnings = self.warnings.clone();
        if self.facts.kind == BootKind::Fallback {
            let slot = facts::letter(self.facts.slot);
            warnings.push(format!("running slot {slot} as fallback"));
        }
        if marks.unreadable {
            warnings.push("the environment's marks against rollbacks cannot be read".into());
        }
        warnings.extend(data_warning());
        warnings
    }
}

/// Says when /data is nearly full.
fn data_warning() -> Option<String> {
    const FULL_PERCENT: u64 = 95;
    let stat = rustix::fs::statvfs("/data").ok()?;
    let used = stat.f_blocks.saturating_sub(stat.f_bavail) * 100 / stat.f_blocks.max(1);
    (used >= FULL_PERCENT).then(|| format!("data partition is {used} % full"))
}

fn failed(code: &str, message: &str) -> InitResponse {
    InitResponse::Failed(Failure { code: code.into(), message: message.into() })
}

fn shortened(mut text: String) -> String {
    if text.len() > TEXT_LIMIT {
        let end = (0..=TEXT_LIMIT).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}
