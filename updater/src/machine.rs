//! Follows the desired release, one bounded step at a time.
//!
//! | state of work | step | then |
//! |---|---|---|
//! | idle | nothing | idle |
//! | install | one chunk scanned, filled or read back | install; stage when all is read back |
//! | install, stage | what [`crate::policy`] does not permit now: nothing | the same, later |
//! | stage | note "staged", have init set the trial | reboot |
//! | reboot | ask init to reboot | reboot (asked again until it happens) |
//! | trial | ask init whether the running slot is confirmed | trial; idle when it is |
//!
//! The notes and the environment are written in this order, so that after a cut anywhere
//! [`crate::verdict`] knows what happened: note "staged", set trial, reboot.

use crate::accept::{self, Assigned, Decision, Device, Release};
use crate::error::Error;
use crate::install::{Install, Step, Tools};
use crate::mutant::{self, Mutant};
use crate::policy::{Moment, Parties, Permit};
use crate::ports::{BootControl, StateStore, Storage, Transport};
use crate::state::{ReleaseName, Staged, State};
use crate::verdict::{Verdict, judge};
use protocol::control::{BootKind, BootRecord, Failure, SlotName, SystemStatus};
use protocol::fleet::{Desired, UpdatePhase, UpdateStatus};
use protocol::keys::KeySet;
use protocol::policy::{UpdatePolicy, Waiting, Zone};

/// What the machine works on and with.
pub struct World {
    /// Slots.
    pub storage: Box<dyn Storage>,
    /// Sources of payloads.
    pub transport: Box<dyn Transport>,
    /// init.
    pub boot: Box<dyn BootControl>,
    /// Durable notes.
    pub store: Box<dyn StateStore>,
}

/// When to call [`Updater::step`] again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// At once.
    Again,
    /// In a moment: something outside is waited for.
    Wait,
    /// When something new is desired.
    Idle,
}

enum Work {
    Idle,
    Install(Box<Install>),
    Stage(Box<Release>, SlotName),
    Reboot(ReleaseName),
    Trial,
}

/// The updater.
pub struct Updater {
    world: World,
    keys: KeySet,
    device: Device,
    state: State,
    status: UpdateStatus,
    work: Work,
    /// What the assignment in force says of when to update.
    fleet_policy: UpdatePolicy,
    permit: Permit,
}

/// Nothing to report.
pub fn idle() -> UpdateStatus {
    UpdateStatus {
        phase: UpdatePhase::Idle,
        version: None,
        sequence: None,
        chunks_done: 0,
        chunks_total: 0,
        bytes_fetched: 0,
        failure: None,
        waiting: None,
    }
}

impl Updater {
    /// Takes up after a boot or restart: judges a staged release, then goes on with what was
    /// desired last.
    pub fn start(mut world: World, keys: KeySet, device: Device, now: u64) -> Result<Self, Error> {
        let noted = world.store.load()?;
        let lost = noted.is_none();
        let mut state = noted.unwrap_or_default();
        let status = state.last.clone().unwrap_or_else(idle);
        let system = world.boot.status()?;
        state.holds(system.slot, &device.build.version, device.build.sequence, true);
        let (fleet_policy, permit) = (UpdatePolicy::default(), Permit::default());
        let work = Work::Idle;
        let mut updater = Self { world, keys, device, state, status, work, fleet_policy, permit };
        updater.compare_marks(&system, lost)?;
        updater.take_up(&system)?;
        if matches!(updater.work, Work::Idle) {
            updater.follow_saved(now)?;
        }
        Ok(updater)
    }

    /// What is going on.
    pub fn status(&self) -> &UpdateStatus {
        &self.status
    }

    /// The durable notes, for people.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What the assignment in force says of when to update.
    pub fn fleet_policy(&self) -> &UpdatePolicy {
        &self.fleet_policy
    }

    /// Decides what the next steps may do, by what device and fleet say. Until this is called
    /// everything is permitted.
    pub fn govern(&mut self, device: &UpdatePolicy, zone: Option<&Zone>, moment: Moment) {
        self.permit = Parties { device, fleet: &self.fleet_policy, zone }.permit(moment);
    }

    /// A body of `desired` arrived. Refusals are in the status; an error is a fault of the device.
    pub fn desired(&mut self, body: &[u8], now: u64) -> Result<(), Error> {
        let assigned = accept::assigned(body, &self.keys, &self.device, &self.state);
        let (desired, assigned) = match assigned {
            Ok(both) => both,
            Err(error) => {
                // Nobody's word: what is under way goes on, and is not hidden by it.
                if matches!(self.work, Work::Idle) {
                    self.refuse(&error, None)?;
                }
                return Ok(());
            }
        };
        self.fleet_policy = assigned.assignment.policy.clone();
        if assigned.id != self.state.assignment {
            self.world.store.save_desired(body)?;
            self.state.counter = assigned.assignment.counter;
            self.state.assignment = assigned.id.clone();
            self.save()?;
        }
        self.follow(&desired, &assigned, now)
    }

    /// Another key set is in force: what is under way is stopped unless its keys still hold, and
    /// what was offered before is looked at again.
    pub fn rotate(&mut self, keys: KeySet, offered: Option<&[u8]>, now: u64) -> Result<(), Error> {
        self.keys = keys;
        if let Some(body) = self.world.store.load_desired()? {
            let judged = accept::assigned(&body, &self.keys, &self.device, &self.state)
                .and_then(|(desired, assigned)| accept::manifest(&desired, &assigned, &self.keys));
            if let Err(error) = judged {
                self.stop(&error)?;
            }
        }
        match offered {
            Some(body) => self.desired(body, now),
            None => Ok(()),
        }
    }

    /// Failed releases may be tried again; marks that were lost are taken from what runs.
    pub fn retry(&mut self, now: u64) -> Result<(), Error> {
        self.state.failed.clear();
        self.state.interrupted = None;
        if std::mem::take(&mut self.state.marks_lost) {
            self.state.raise(self.device.build.sequence, self.device.build.floor);
            self.restore_marks();
        }
        self.save()?;
        if matches!(self.work, Work::Idle) { self.follow_saved(now) } else { Ok(()) }
    }

    /// What failed before it could begin (init did not answer, say) is looked at again.
    pub fn look_again(&mut self, now: u64) -> Result<(), Error> {
        let failed = self.status.phase == UpdatePhase::Failed;
        if failed && matches!(self.work, Work::Idle) { self.follow_saved(now) } else { Ok(()) }
    }

    /// A person asked for the previous slot: what runs now is not installed again until told.
    pub fn roll_back(&mut self) -> Result<(), Error> {
        if let Some(confirmed) = self.state.confirmed.take() {
            self.state.fail(confirmed, rolled_back());
            self.save()?;
        }
        Ok(())
    }

    /// One bounded piece of work. After an error the same piece is taken up by the next call,
    /// which should come after a pause; the error is in the status too.
    pub fn step(&mut self, now: u64) -> Result<Next, Error> {
        let next = match std::mem::replace(&mut self.work, Work::Idle) {
            Work::Idle => Ok(Next::Idle),
            Work::Install(install) => match self.permit.download {
                Some(waiting) => Ok(self.wait(waiting, Work::Install(install))),
                None => self.install(install),
            },
            Work::Stage(release, slot) => match self.permit.reboot {
                Some(waiting) if now <= release.expires => {
                    Ok(self.wait(waiting, Work::Stage(release, slot)))
                }
                _ => self.stage(release, slot, now),
            },
            Work::Reboot(release) => self.reboot(release),
            Work::Trial => self.trial(now),
        };
        if let Err(error) = &next {
            self.report_failure(error);
        }
        next
    }

    fn save(&mut self) -> Result<(), Error> {
        self.state.last = Some(self.status.clone());
        self.world.store.save(&self.state)
    }

    /// What was confirmed is kept in two places, here and in the boot environment: the higher of
    /// both wins, and the lower one is raised to it. `lost`: there are no notes.
    fn compare_marks(&mut self, system: &SystemStatus, lost: bool) -> Result<(), Error> {
        let marks = &system.rollback_marks;
        let (sequence, floor) = (marks.sequence.unwrap_or(0), marks.floor.unwrap_or(0));
        let before = self.state.clone();
        self.state.raise(sequence, floor);
        self.state.marks_lost |= lost && marks.unreadable;
        if self.state != before {
            self.save()?;
        }
        let behind = sequence < self.state.highest || floor < self.state.floor;
        if (behind || marks.unreadable) && !self.state.marks_lost {
            self.restore_marks();
        }
        Ok(())
    }

    /// A bar to installing that could not be stored twice still holds once.
    fn restore_marks(&mut self) {
        let State { highest, floor, .. } = self.state;
        if let Err(error) = self.world.boot.restore_marks(highest, floor) {
            eprintln!("updater: marks against rollbacks are not in the environment: {error}");
        }
    }

    fn take_up(&mut self, system: &SystemStatus) -> Result<(), Error> {
        let Some(staged) = self.state.staged.clone() else { return self.take_up_plain(system) };
        let boots = self.world.boot.boots()?;
        self.report(UpdatePhase::Trial, &staged.release);
        match judge(&staged, system, &boots) {
            Verdict::Confirmed => self.confirmed()?,
            Verdict::OnTrial => self.work = Work::Trial,
            Verdict::NotTried => {
                self.state.staged = None;
                self.status = idle();
                self.save()?;
            }
            Verdict::Interrupted => self.interrupted(&staged.release)?,
            Verdict::FellBack(failure) => {
                if system.trial == Some(staged.slot) {
                    self.world.boot.drop_trial()?;
                }
                self.state.fall_back(failure.clone());
                if mutant::is(Mutant::ForgetsFailures) {
                    self.state.failed.clear();
                }
                self.report(UpdatePhase::FellBack, &staged.release);
                self.status.failure = Some(failure);
                self.save()?;
            }
        }
        Ok(())
    }

    /// No release was under way.
    fn take_up_plain(&mut self, system: &SystemStatus) -> Result<(), Error> {
        if system.confirmed != Some(system.slot) {
            // Nothing may be concluded from a slot that is not confirmed. A trial that this updater
            // did not stage is a person's rollback: its end is waited for.
            if system.boot_kind == BootKind::Trial {
                self.work = Work::Trial;
            }
            return Ok(());
        }
        let before = self.state.clone();
        self.state.raise(self.device.build.sequence, self.device.build.floor);
        let undone = |name: &ReleaseName| name.sequence > self.device.build.sequence;
        if self.state.confirmed.as_ref().is_some_and(undone) {
            match came_by(system.slot, &self.world.boot.boots()?) {
                Some(BootKind::Trial) => self.roll_back()?,
                // The newer release does not boot any more. Nobody said that it is not wanted.
                _ => self.state.confirmed = None,
            }
        }
        if self.state != before { self.save() } else { Ok(()) }
    }

    /// The power ended each attempt of a trial.
    fn interrupted(&mut self, release: &ReleaseName) -> Result<(), Error> {
        match self.state.interrupt(trial_interrupted()) {
            None => self.status = idle(),
            Some(failed) => {
                self.report(UpdatePhase::FellBack, release);
                self.status.failure = Some(failed.failure);
            }
        }
        self.save()
    }

    fn confirmed(&mut self) -> Result<(), Error> {
        self.state.confirm();
        self.status.phase = UpdatePhase::Confirmed;
        self.status.failure = None;
        self.save()
    }

    fn follow_saved(&mut self, now: u64) -> Result<(), Error> {
        match self.world.store.load_desired()? {
            Some(body) => self.desired(&body, now),
            None => Ok(()),
        }
    }

    fn follow(&mut self, desired: &Desired, assigned: &Assigned, now: u64) -> Result<(), Error> {
        if matches!(self.work, Work::Trial | Work::Reboot(_)) {
            // Decided when the trial has ended; the body is saved.
            return Ok(());
        }
        let release = match accept::manifest(desired, assigned, &self.keys) {
            Ok(release) => release,
            Err(error) => return self.refuse(&error, None),
        };
        let name = release.name();
        match accept::decide(release, assigned, &self.device, &self.state, now) {
            Err(error) => self.refuse(&error, Some(&name)),
            Ok(Decision::Running(release)) => self.running(&release),
            Ok(Decision::FailedBefore(failed)) => {
                self.abandon();
                self.report(UpdatePhase::FellBack, &failed.release);
                self.status.failure = Some(failed.failure);
                self.save()
            }
            Ok(Decision::Install(release)) => match &mut self.work {
                Work::Install(install) if install.release.id == release.id => {
                    install.release.sources = release.sources;
                    install.release.expires = release.expires;
                    Ok(())
                }
                Work::Stage(staged, _) if staged.id == release.id => {
                    **staged = release;
                    Ok(())
                }
                _ => self.begin(release),
            },
        }
    }

    fn running(&mut self, release: &Release) -> Result<(), Error> {
        self.abandon();
        let name = release.name();
        self.report(UpdatePhase::Confirmed, &name);
        let system = self.world.boot.status()?;
        if system.confirmed == Some(system.slot) {
            self.state.raise(release.manifest.sequence, release.manifest.floor);
            self.state.confirmed = Some(name);
        }
        self.save()
    }

    fn begin(&mut self, release: Release) -> Result<(), Error> {
        let name = release.name();
        self.report(UpdatePhase::Downloading, &name);
        self.status.chunks_total = release.manifest.chunks();
        let slot = match self.free_slot(&release) {
            Ok(slot) => slot,
            Err(error) => {
                self.abandon();
                self.report_failure(&error);
                return self.save();
            }
        };
        self.world.boot.updating(true);
        self.state.holds(slot, &name.version, name.sequence, false);
        let noted = self.state.progress.as_ref();
        let install = Install::new(release, slot, noted, &self.device.build);
        self.status.chunks_done = install.progress.count();
        self.work = Work::Install(Box::new(install));
        Ok(())
    }

    /// The slot that may be written. A trial that points to it is dropped first.
    fn free_slot(&mut self, release: &Release) -> Result<SlotName, Error> {
        let (image, slot) = (release.manifest.chunks(), self.world.storage.chunks());
        if image > slot {
            return Err(Error::ImageTooLarge { image, slot });
        }
        let system = self.world.boot.status()?;
        let target = writable(&system)?;
        if system.trial.is_some() && !mutant::is(Mutant::KeepsTrialWhileWriting) {
            self.world.boot.drop_trial()?;
        }
        Ok(target)
    }

    /// Hold or window do not let it go on.
    fn wait(&mut self, waiting: Waiting, work: Work) -> Next {
        let name = match &work {
            Work::Install(install) => Some(install.release.name()),
            Work::Stage(release, _) => Some(release.name()),
            Work::Idle | Work::Reboot(_) | Work::Trial => None,
        };
        if self.status.phase != UpdatePhase::Waiting {
            self.world.boot.updating(false);
        }
        if let Some(name) = name {
            self.report(UpdatePhase::Waiting, &name);
        }
        self.status.waiting = Some(waiting);
        self.work = work;
        Next::Wait
    }

    fn install(&mut self, mut install: Box<Install>) -> Result<Next, Error> {
        if self.status.phase == UpdatePhase::Waiting {
            self.world.boot.updating(true);
        }
        let mut tools = Tools {
            storage: &mut *self.world.storage,
            transport: &mut *self.world.transport,
            store: &mut *self.world.store,
            state: &mut self.state,
        };
        let done = install.step(&mut tools);
        let done_phase = matches!(done, Ok(Step::Done)).then_some(UpdatePhase::Verifying);
        self.report(done_phase.unwrap_or(install.phase()), &install.release.name());
        self.status.chunks_done = install.progress.count();
        self.status.chunks_total = install.release.manifest.chunks();
        self.status.bytes_fetched = install.progress.fetched;
        self.work = match done {
            Ok(Step::Done) => Work::Stage(Box::new(install.release), install.slot),
            Ok(Step::More | Step::Wait) | Err(_) => Work::Install(install),
        };
        done.map(|step| if step == Step::Wait { Next::Wait } else { Next::Again })
    }

    fn stage(&mut self, release: Box<Release>, slot: SlotName, now: u64) -> Result<Next, Error> {
        if now > release.expires {
            let error = Error::Expired { expires: release.expires, now };
            self.refuse(&error, Some(&release.name()))?;
            return Ok(Next::Idle);
        }
        let staged = self.set_trial(&release, slot);
        if let Err(error) = staged {
            self.work = Work::Stage(release, slot);
            return Err(error);
        }
        self.world.boot.updating(false);
        self.status.phase = UpdatePhase::Staged;
        self.work = Work::Reboot(release.name());
        Ok(Next::Again)
    }

    fn set_trial(&mut self, release: &Release, slot: SlotName) -> Result<(), Error> {
        let system = self.world.boot.status()?;
        if writable(&system)? != slot {
            return Err(Error::SlotInUse("it was free when the installation began"));
        }
        let attempts = release.manifest.trial_attempts;
        self.state.holds(slot, &release.manifest.version, release.manifest.sequence, true);
        self.state.stage(Staged {
            release: release.name(),
            floor: release.manifest.floor,
            slot,
            attempts,
            boot_id: system.boot_id,
        });
        if mutant::is(Mutant::StagesBeforeNoting) {
            self.world.boot.stage(slot, attempts)?;
            return self.save();
        }
        self.save()?;
        self.world.boot.stage(slot, attempts)
    }

    fn reboot(&mut self, release: ReleaseName) -> Result<Next, Error> {
        let asked = self.world.boot.reboot(&format!("update to {}", release.version));
        self.work = Work::Reboot(release);
        asked.map(|()| Next::Wait)
    }

    fn trial(&mut self, now: u64) -> Result<Next, Error> {
        let system = self.world.boot.status();
        self.work = Work::Trial;
        let system = system?;
        if system.confirmed != Some(system.slot) {
            return Ok(Next::Wait);
        }
        self.work = Work::Idle;
        match self.state.staged {
            Some(_) => self.confirmed()?,
            None => self.take_up_plain(&system)?,
        }
        self.follow_saved(now)?;
        Ok(Next::Again)
    }

    /// A release whose signatures no longer hold is neither written further nor booted into.
    fn stop(&mut self, error: &Error) -> Result<(), Error> {
        match self.work {
            Work::Idle | Work::Trial => return Ok(()),
            Work::Install(_) | Work::Stage(..) => {}
            Work::Reboot(_) => {
                self.world.boot.drop_trial()?;
                self.state.staged = None;
            }
        }
        self.refuse(error, None)
    }

    /// What was under way is not wanted any more.
    fn abandon(&mut self) {
        if matches!(self.work, Work::Install(_) | Work::Stage(..)) {
            self.world.boot.updating(false);
        }
        self.work = Work::Idle;
    }

    fn refuse(&mut self, error: &Error, release: Option<&ReleaseName>) -> Result<(), Error> {
        self.abandon();
        self.status = idle();
        if let Some(release) = release {
            self.report(UpdatePhase::Refused, release);
        }
        self.report_failure(error);
        self.save()
    }

    fn report(&mut self, phase: UpdatePhase, release: &ReleaseName) {
        if self.status.sequence != Some(release.sequence)
            || self.status.version.as_ref() != Some(&release.version)
        {
            self.status = idle();
        }
        self.status.phase = phase;
        self.status.version = Some(release.version.clone());
        self.status.sequence = Some(release.sequence);
        self.status.failure = None;
        self.status.waiting = None;
    }

    fn report_failure(&mut self, error: &Error) {
        let refused = error.is_refusal();
        self.status.phase = if refused { UpdatePhase::Refused } else { UpdatePhase::Failed };
        self.status.failure = Some(Failure::from(error));
        self.status.waiting = None;
    }
}

/// How a slot came to be the confirmed one, as far as it is recorded.
fn came_by(slot: SlotName, boots: &[BootRecord]) -> Option<BootKind> {
    let is_change = |boot: &&BootRecord| boot.slot == slot && boot.kind != BootKind::Confirmed;
    boots.iter().rev().find(is_change).map(|boot| boot.kind)
}

fn trial_interrupted() -> Failure {
    let message = "the power went during every attempt, again and again".into();
    Failure { code: "trial-interrupted".into(), message }
}

fn rolled_back() -> Failure {
    Failure { code: "rolled-back".into(), message: "rolled back by a person".into() }
}

/// The slot that neither runs nor is confirmed. That the environment could not be read is no leave
/// to write.
fn writable(system: &SystemStatus) -> Result<SlotName, Error> {
    let target = match system.slot {
        SlotName::A => SlotName::B,
        SlotName::B => SlotName::A,
    };
    match system.confirmed {
        None => Err(Error::SlotInUse("the boot environment cannot be read")),
        Some(confirmed) if confirmed == target => {
            Err(Error::SlotInUse("the slot that does not run is the confirmed one"))
        }
        Some(_) => Ok(target),
    }
}
