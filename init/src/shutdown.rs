//! The orderly end: services stopped, dependents first; the rest killed; the reason recorded; /data
//! and /boot unmounted; then reboot or power-off. A service that does not stop costs its time-out,
//! never the reboot; a card or a kernel that hangs costs the watchdog's.

use crate::{boots, clock, data, early, kmsg, machine::Machine};
use protocol::control::{APPS_CGROUP, BootReason};
use rustix::{
    process::{WaitOptions, wait},
    system::{RebootCommand, reboot},
};
use std::{fs, thread, time::Duration};

/// Whatever hangs, after this the machine goes down.
const SHUTDOWN_LIMIT_MS: u64 = 30_000;
/// Time that killed processes may take to be gone, so that /data can be unmounted.
const KILLED_WAIT_MS: u64 = 2_000;

/// A begun end.
#[derive(Debug)]
pub struct Shutdown {
    power_off: bool,
    reason: BootReason,
    pub(crate) deadline: u64,
}

impl Machine {
    /// Begins the end; a second call changes nothing.
    pub(crate) fn begin_shutdown(&mut self, power_off: bool, reason: BootReason) {
        if self.shutdown.is_some() {
            return;
        }
        let what = if power_off { "powering off" } else { "rebooting" };
        let why = match &reason {
            BootReason::Reboot(why) | BootReason::Unhealthy(why) => why.as_str(),
            _ => "",
        };
        kmsg::notice(&format!("{what}: {why}"));
        let deadline = clock::now_ms() + SHUTDOWN_LIMIT_MS;
        self.shutdown = Some(Shutdown { power_off, reason, deadline });
        self.supervisor.stop_all();
    }

    /// Ends the machine once all services have stopped or the time is up.
    pub(crate) fn step_shutdown(&mut self, now: u64) {
        let Some(shutdown) = &self.shutdown else { return };
        if !self.supervisor.all_stopped() && now < shutdown.deadline {
            return;
        }
        for service in self.supervisor.status().iter().filter(|service| service.pid.is_some()) {
            kmsg::warning(&format!("service {} did not stop", service.name));
        }
        let (power_off, reason) = (shutdown.power_off, shutdown.reason.clone());
        // From here on each step may wait for the card.
        if let Err(error) = self.watchdog.begin_end() {
            kmsg::warning(&format!("watchdog: {error}"));
        }
        for log in &mut self.logs {
            log.close();
        }
        if let Err(error) = boots::record_reason(&reason) {
            kmsg::warning(&error.to_string());
        }
        kill_the_rest();
        if let Some(warning) = self.guard.save() {
            kmsg::warning(&warning);
        }
        data::unmount_all();
        kmsg::notice(if power_off { "power off" } else { "reboot" });
        let command = if power_off { RebootCommand::PowerOff } else { RebootCommand::Restart };
        let _ = reboot(command);
        // not reached where the board can do it; a halted machine must not look alive
        let _ = reboot(RebootCommand::Restart);
    }
}

fn kill_the_rest() {
    for group in [early::SYSTEM_CGROUP, APPS_CGROUP] {
        let _ = fs::write(format!("{group}/cgroup.kill"), "1");
    }
    crate::sys_signal::kill_all();
    let deadline = clock::now_ms() + KILLED_WAIT_MS;
    while clock::now_ms() < deadline {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Ok(None) => thread::sleep(Duration::from_millis(10)),
            Err(_) => return, // no children left
        }
    }
}
