//! PID 1's one loop. It waits in one `poll` for signals, control clients, output of services and
//! the nearest deadline, then looks at everything once; each look does only what is possible now.
//! Nothing here may wait for a process, and nothing may panic on what it reads: the end of PID 1 is
//! the end of the machine.

use crate::{
    boots::{self, BootLog},
    clock, control, data,
    disk::Disk,
    early,
    facts::{self, Facts},
    floor,
    guard::Guard,
    health::{Gate, Verdict},
    kmsg, launch,
    logs::Log,
    manifest::{self, Condition, StopSignal},
    probe::Probe,
    provision, shutdown,
    slots::{self, SlotStore},
    supervisor::{Action, Supervisor},
    sys_signal::Signals,
    watchdog::Keeper,
};
use board_support::{Board, board::BOARD_FILE, button::Press};
use bootloader_config::{
    panics::{Panics, TURN},
    slots::Reading,
};
use protocol::{
    control::{BootKind, BootReason, BootRecord, INIT_SOCKET, SlotName},
    device::DeviceConfig,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal, WaitOptions, kill_process, wait},
};
use std::{collections::BTreeMap, fs, fs::File, io::Read, path::Path};

/// Time that the boot disk may take to appear.
const DISK_WAIT_MS: u64 = 5_000;
/// Longest sleep of the loop: the warnings about temperature and data are looked at this often.
const IDLE_MS: u64 = 30_000;
/// Between two attempts to store that the running slot is confirmed.
const CONFIRM_AGAIN_MS: u64 = 30_000;
/// Bytes of one service's output that are taken in one turn, so that a flood does not starve the
/// others.
const OUTPUT_TURN: usize = 16 << 10;
/// Warnings that are kept.
const WARNING_LIMIT: usize = 20;

/// Everything that PID 1 knows.
pub struct Machine {
    pub(crate) facts: Facts,
    pub(crate) config: DeviceConfig,
    pub(crate) hostname: String,
    pub(crate) reason: BootReason,
    /// Panics in a row before this boot.
    panics: Panics,
    pub(crate) warnings: Vec<String>,
    pub(crate) supervisor: Supervisor,
    pub(crate) logs: Vec<Log>,
    outputs: Vec<Option<File>>,
    pub(crate) gate: Gate,
    /// When a confirmation that could not be stored is tried again.
    confirm_at: Option<u64>,
    pub(crate) checks: BTreeMap<String, (bool, String)>,
    /// When the fleet was first reached.
    pub(crate) fleet_at: Option<u64>,
    pub(crate) probe: Probe,
    /// What the device runs from.
    disk: Option<Disk>,
    pub(crate) store: Option<SlotStore>,
    /// The floor that this trial is below.
    pub(crate) below_floor: Option<u64>,
    pub(crate) boots: BootLog,
    signals: Option<Signals>,
    server: Option<control::Server>,
    pub(crate) watchdog: Keeper,
    pub(crate) shutdown: Option<shutdown::Shutdown>,
    pub(crate) panel: crate::panel::Panel,
    pub(crate) guard: Guard,
}

impl Machine {
    /// Brings the system up to the point where services can start.
    pub fn boot() -> Self {
        let mut warnings = early::prepare();
        let board = Board::read(Path::new(BOARD_FILE)).unwrap_or_else(|error| {
            warnings.push(error.to_string());
            Board::unknown()
        });
        let mut watchdog = Keeper::open(board.device.watchdog.as_deref(), &mut warnings);
        let signals =
            Signals::open().map_err(|error| warnings.push(format!("signals: {error}"))).ok();
        let _ = rustix::system::reboot(rustix::system::RebootCommand::CadOff);
        let facts = Facts::read(&mut warnings);
        announce(&facts);
        // e2fsck and the file systems stamp times; the stored floor lies on what they work on
        raise_clock(facts.release.build_time, &mut warnings);
        let disk = find_disk();
        data::mount_boot(disk.as_ref(), &mut warnings);
        let mut pet = || drop(watchdog.turn(clock::now_ms()));
        let mut data = data::mount_data(disk.as_ref(), &mut pet, &mut warnings);
        let floor = floor::floor(Path::new(protocol::clock::STORED), facts.release.build_time);
        raise_clock(floor, &mut warnings);
        let config = provision::configuration(&mut warnings);
        let hostname = set_hostname(&config, &facts, &mut warnings);
        let reason = why_started(&facts, &watchdog, &mut data, &mut warnings);
        let (supervisor, logs) = load_services(&config, &mut warnings);
        let server = control::Server::listen(INIT_SOCKET)
            .map_err(|error| warnings.push(error.to_string()))
            .ok();
        let store = disk.as_ref().map(|disk| SlotStore::new(disk.device()));
        let below_floor = below_floor(store.as_ref(), &facts);
        let mut machine = Self {
            gate: gate(&facts, below_floor),
            outputs: logs.iter().map(|_| None).collect(),
            disk,
            store,
            below_floor,
            boots: BootLog::open(Path::new(boots::RECORD)),
            facts,
            config,
            hostname,
            reason,
            panics: boots::panics_in_a_row(),
            warnings: Vec::new(),
            supervisor,
            logs,
            checks: BTreeMap::new(),
            fleet_at: None,
            probe: Probe::default(),
            confirm_at: None,
            signals,
            server,
            watchdog,
            shutdown: None,
            panel: crate::panel::Panel::of(&board, &mut warnings),
            guard: Guard::new(data),
        };
        for warning in warnings {
            machine.warn(warning);
        }
        // In this order: a trial that is forgotten before it is recorded was never there.
        machine.record_boot();
        machine.settle_fallback();
        match machine.watchdog.begin_loop() {
            Ok(Some((name, seconds))) => kmsg::notice(&format!("watchdog {name}, {seconds} s")),
            Ok(None) => {}
            Err(error) => machine.warn(format!("watchdog: {error}")),
        }
        machine
    }

    /// One turn of the loop.
    pub fn turn(&mut self) {
        self.wait();
        self.read_signals();
        self.reap();
        self.read_outputs();
        self.serve();
        let now = clock::now_ms();
        self.step_services(now);
        if self.shutdown.is_none() {
            if self.supervisor.index_of("appd").is_some() {
                self.probe.tick(now, self.wants_apps());
            }
            self.look_at_health(now);
            self.look_at_data(now);
            if self.panel.tick(now) == Some(Press::Reboot) {
                self.begin_shutdown(false, BootReason::Reboot("reset button".into()));
            }
        }
        if let Err(error) = self.watchdog.turn(now) {
            self.warn(format!("watchdog: {error}"));
        }
        self.step_shutdown(now);
    }

    /// Adds a warning to the status and says it on the console, once.
    pub(crate) fn warn(&mut self, warning: String) {
        if self.warnings.contains(&warning) {
            return;
        }
        kmsg::warning(&warning);
        if self.warnings.len() >= WARNING_LIMIT {
            self.warnings.remove(0);
        }
        self.warnings.push(warning);
    }

    fn wait(&self) {
        let now = clock::now_ms();
        let mut deadline = now + IDLE_MS;
        let mut earlier = |at: Option<u64>| deadline = deadline.min(at.unwrap_or(u64::MAX));
        earlier(self.supervisor.next_deadline());
        earlier(self.watchdog.next_deadline());
        match &self.shutdown {
            Some(shutdown) => earlier(Some(shutdown.deadline)),
            None => {
                earlier(self.gate.next_deadline());
                earlier(self.panel.next_deadline());
                earlier(self.guard.next_deadline());
                earlier(self.supervisor.index_of("appd").map(|_| self.probe.next_deadline()));
            }
        }
        let mut fds = Vec::new();
        fds.extend(self.signals.iter().map(|s| PollFd::new(s, PollFlags::IN)));
        if let Some(server) = &self.server {
            fds.extend(server.waiting().map(|(fd, output)| {
                let out = if output { PollFlags::OUT } else { PollFlags::empty() };
                PollFd::from_borrowed_fd(fd, PollFlags::IN | out)
            }));
        }
        fds.extend(self.probe.waiting().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        fds.extend(self.outputs.iter().flatten().map(|f| PollFd::new(f, PollFlags::IN)));
        let wait_ms = deadline.saturating_sub(now);
        let timeout = Timespec {
            tv_sec: (wait_ms / 1000) as i64,
            tv_nsec: (wait_ms % 1000 * 1_000_000) as i64,
        };
        let _ = poll(&mut fds, Some(&timeout));
    }

    fn read_signals(&mut self) {
        while let Some(signal) = self.signals.as_mut().and_then(Signals::next) {
            match signal {
                libc::SIGTERM => self.begin_shutdown(false, BootReason::Reboot("SIGTERM".into())),
                libc::SIGINT => {
                    self.begin_shutdown(false, BootReason::Reboot("ctrl-alt-del".into()));
                }
                libc::SIGUSR2 => self.begin_shutdown(true, BootReason::Reboot("SIGUSR2".into())),
                _ => {}
            }
        }
    }

    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let how = match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => format!("exit code {code}"),
                (None, Some(signal)) => format!("signal {signal}"),
                _ => continue,
            };
            let success = status.exit_status() == Some(0);
            let pid = pid.as_raw_nonzero().get();
            let Some(index) = self.supervisor.exited(pid, &how, success, clock::now_ms()) else {
                continue; // an orphan
            };
            self.drain(index);
            let name = self.supervisor.name(index).to_string();
            self.logs[index].write(&format!("[init: ended, {how}]"));
            if self.shutdown.is_none() && !success {
                kmsg::notice(&format!("service {name} ended: {how}"));
            }
            let group = Path::new(early::SYSTEM_CGROUP).join(&name).join("cgroup.kill");
            let _ = fs::write(group, "1"); // what it left behind
        }
    }

    fn read_outputs(&mut self) {
        for index in 0..self.outputs.len() {
            self.drain(index);
        }
    }

    fn drain(&mut self, index: usize) {
        let now = clock::now_ms();
        let mut bytes = [0; 4096];
        let mut taken = 0;
        while taken < OUTPUT_TURN {
            let Some(file) = self.outputs.get_mut(index).and_then(Option::as_mut) else { return };
            match file.read(&mut bytes) {
                Ok(0) => self.outputs[index] = None,
                Ok(count) => {
                    taken += count;
                    for line in self.logs[index].feed(&bytes[..count], now) {
                        if let Some(text) = line.strip_prefix("holdfast: ") {
                            kmsg::notice(text);
                        }
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    if error.kind() != std::io::ErrorKind::WouldBlock {
                        self.outputs[index] = None;
                    }
                    return;
                }
            }
        }
    }

    fn serve(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        server.serve(|pid, request| self.handle(pid, request));
        self.server = Some(server);
    }

    fn step_services(&mut self, now: u64) {
        for action in self.supervisor.tick(now) {
            match action {
                Action::Start(index) => self.start(index, now),
                Action::Signal(pid, signal) => send(pid, signal),
            }
        }
    }

    fn start(&mut self, index: usize, now: u64) {
        let Some(manifest) = self.supervisor.manifest(index) else { return };
        match launch::launch(manifest, self.disk.as_ref()) {
            Ok(launched) => {
                let ready = manifest.ready == manifest::Readiness::Started;
                self.outputs[index] = launched.output;
                self.supervisor.started(index, launched.pid, now);
                if ready {
                    kmsg::notice(&format!("service {} ready", self.supervisor.name(index)));
                }
            }
            Err(error) => {
                self.logs[index].write(&format!("[init: not started: {error}]"));
                kmsg::notice(&format!(
                    "service {} not started: {error}",
                    self.supervisor.name(index)
                ));
                self.supervisor.start_failed(index, error.to_string(), now);
            }
        }
    }

    fn look_at_health(&mut self, now: u64) {
        let (missing, for_good) = self.missing();
        if for_good {
            self.gate.decide_by(now);
        }
        match self.gate.look(missing, now) {
            Verdict::None if self.confirm_at.is_some_and(|at| now >= at) => self.confirm(now),
            Verdict::None => {}
            Verdict::Healthy => self.became_healthy(now),
            Verdict::Unhealthy(missing) => {
                let text = missing.join("; ");
                kmsg::notice(&format!("unhealthy: {text}"));
                self.outcome(&format!("unhealthy: {text}"));
            }
            Verdict::EndTrial(missing) => {
                let text = missing.join("; ");
                kmsg::notice(&format!("unhealthy: {text}; giving the trial up"));
                self.outcome(&format!("unhealthy: {text}"));
                if let Err(error) = self.change(|state| Ok(state.drop_trial())) {
                    self.warn(error.to_string());
                }
                self.begin_shutdown(false, BootReason::Unhealthy(text));
            }
        }
        self.panel.health(self.gate.health());
    }

    fn became_healthy(&mut self, now: u64) {
        kmsg::notice("healthy");
        if let Err(error) = boots::forget_panics() {
            self.warn(error.to_string());
        }
        let running = slots::slot(self.facts.slot);
        let (sequence, floor) = (self.facts.release.sequence, self.facts.release.floor);
        let confirmed = self.slot_state().map(|state| state.confirmed);
        if !self.gate.on_trial() && confirmed == Some(Reading::Is(running)) {
            // A new card has no marks yet; afterwards this writes nothing.
            if let Err(error) = self.change_marks(|marks| marks.raised(sequence, floor)) {
                self.warn(format!("marks against rollbacks: {error}"));
            }
            self.outcome("healthy");
            return;
        }
        self.confirm(now);
    }

    /// The running slot is the confirmed one from now on; what cannot be stored is tried again.
    fn confirm(&mut self, now: u64) {
        let running = slots::slot(self.facts.slot);
        let (sequence, floor) = (self.facts.release.sequence, self.facts.release.floor);
        self.confirm_at = None;
        let stored = self.slot_store().and_then(|store| {
            store.change(|state, marks| Ok((state.confirm(running), marks.raised(sequence, floor))))
        });
        match stored {
            Ok(()) => {
                self.gate.confirmed();
                kmsg::notice(&format!("confirmed slot {}", facts::letter(self.facts.slot)));
                self.outcome("healthy, confirmed");
            }
            Err(error) => {
                self.confirm_at = Some(now + CONFIRM_AGAIN_MS);
                self.warn(format!("confirm slot: {error}"));
                self.outcome(&format!("not confirmed: {error}"));
            }
        }
    }

    fn outcome(&mut self, outcome: &str) {
        if let Err(error) = self.boots.outcome(outcome) {
            self.warn(error.to_string());
        }
    }

    /// After a fallback: says why, and forgets a trial that has no attempts left.
    fn settle_fallback(&mut self) {
        if self.facts.kind != BootKind::Fallback {
            return;
        }
        let why = match &self.reason {
            BootReason::Panic(text) => {
                format!("panic: {}", text.lines().last().unwrap_or_default())
            }
            BootReason::Unhealthy(text) => format!("unhealthy: {text}"),
            BootReason::Watchdog => "watchdog".into(),
            _ => "it did not come up".into(),
        };
        let running = slots::slot(self.facts.slot);
        let Some(state) = self.slot_state() else { return };
        match state.trial {
            Reading::Is(trial) if trial != running => {
                self.warn(format!("fell back from slot {}: {why}", trial.name()));
                if let Err(error) = self.change(|state| Ok(state.drop_trial())) {
                    self.warn(error.to_string());
                }
            }
            _ if self.panics.turned() && state.confirmed != Reading::Is(running) => {
                let (running, other) = (running.name(), running.other().name());
                self.warn(format!(
                    "slot {other} panicked {TURN} times in a row, running slot {running}: {why}"
                ));
            }
            _ => self.warn(format!("booted slot {} as fallback: {why}", running.name())),
        }
    }

    /// Attempts that a trial had left which the boot loader passed over.
    fn passed_over(&self) -> Option<u8> {
        let state = self.slot_state().filter(|_| self.facts.kind == BootKind::Fallback)?;
        let trial = state.trial.value()?;
        (trial != slots::slot(self.facts.slot)).then(|| state.trial_left.value().unwrap_or(0))
    }

    fn record_boot(&mut self) {
        let record = BootRecord {
            boot_id: self.facts.boot_id.clone(),
            time: clock::now_s(),
            slot: self.facts.slot,
            version: self.facts.release.version.clone(),
            kind: self.facts.kind,
            reason: self.reason.clone(),
            outcome: String::new(),
            trial_left: self.passed_over(),
        };
        if let Err(error) = self.boots.add(record) {
            self.warn(error.to_string());
        }
    }

    /// Confirmed and trial slot for a status.
    pub(crate) fn slot_names(&self) -> (Option<SlotName>, Option<SlotName>) {
        self.slot_state()
            .map_or((None, None), |state| (slots::name(state.confirmed), slots::name(state.trial)))
    }
}

fn send(pid: i32, signal: StopSignal) {
    let Some(pid) = Pid::from_raw(pid) else { return };
    let signal = match signal {
        StopSignal::Term => Signal::TERM,
        StopSignal::Int => Signal::INT,
        StopSignal::Hup => Signal::HUP,
        StopSignal::Kill => Signal::KILL,
    };
    let _ = kill_process(pid, signal);
}

fn announce(facts: &Facts) {
    let (slot, kind) = (facts::letter(facts.slot), facts::kind_name(facts.kind));
    kmsg::notice(&format!("{} slot {slot} {kind}, starting", facts.release.version));
}

fn raise_clock(floor: u64, warnings: &mut Vec<String>) {
    if let Err(error) = clock::raise_to(floor) {
        warnings.push(format!("set the clock to its floor: {error}"));
    }
}

/// A trial of a release that is below the floor, as after a rollback that somebody asked for, is
/// not confirmed. A slot that is confirmed already boots whatever the floor says.
fn below_floor(store: Option<&SlotStore>, facts: &Facts) -> Option<u64> {
    let marks = store.filter(|_| facts.kind == BootKind::Trial)?.marks().ok()?;
    marks.below_floor(facts.release.sequence)
}

fn gate(facts: &Facts, below_floor: Option<u64>) -> Gate {
    let nothing_to_wait_for = below_floor.is_some() || facts.release_unknown.is_some();
    let trial = facts.kind == BootKind::Trial;
    let wait_ms = match trial && nothing_to_wait_for {
        true => 0,
        false => u64::from(facts.release.health_timeout_s) * 1000,
    };
    Gate::new(facts.kind == BootKind::Trial, clock::now_ms() + wait_ms)
}

fn find_disk() -> Option<Disk> {
    let deadline = clock::now_ms() + DISK_WAIT_MS;
    loop {
        let disk = Disk::find(bootloader_config::layout::DISK_ID);
        if disk.is_some() || clock::now_ms() >= deadline {
            return disk;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn set_hostname(config: &DeviceConfig, facts: &Facts, warnings: &mut Vec<String>) -> String {
    let usable = |name: &&String| {
        !name.is_empty()
            && name.len() <= 63
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    if let Some(name) = config.name.as_ref().filter(|name| !usable(name)) {
        warnings.push(format!("device.toml: name: {name:?} is no host name"));
    }
    let name =
        config.name.as_ref().filter(usable).cloned().unwrap_or_else(|| facts.default_hostname());
    if let Err(error) = rustix::system::sethostname(name.as_bytes()) {
        warnings.push(format!("set host name {name}: {error}"));
    }
    name
}

fn why_started(
    facts: &Facts,
    watchdog: &Keeper,
    data: &mut data::Data,
    warnings: &mut Vec<String>,
) -> BootReason {
    let fallback = facts.kind == BootKind::Fallback;
    let last = watchdog.ended_last_run();
    let mut evidence = boots::investigate(data.mounted, fallback, last, warnings);
    // The note was made when /data took nothing any more: what is recorded there is older.
    let noted = data.note.take().map(BootReason::Reboot);
    evidence.recorded = noted.or(evidence.recorded);
    boots::reason(evidence)
}

fn load_services(config: &DeviceConfig, warnings: &mut Vec<String>) -> (Supervisor, Vec<Log>) {
    let mut loaded = manifest::load(Path::new(manifest::DIRECTORY));
    loaded.services.retain(|m| m.when == Condition::Always || config.console.enabled);
    let broken: Vec<(String, String)> =
        loaded.broken.into_iter().map(|(name, error)| (name, error.to_string())).collect();
    warnings.extend(broken.iter().map(|(_, error)| error.clone()));
    let directory = Path::new("/data/log");
    let names = loaded.services.iter().map(|m| m.name.clone());
    let names = names.chain(broken.iter().map(|(name, _)| name.clone()));
    let logs = names.map(|name| Log::new(directory, &name)).collect();
    (Supervisor::new(loaded.services, broken), logs)
}
