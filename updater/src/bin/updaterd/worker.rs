//! The thread that owns the updater: takes orders, does steps, pauses after failures.

use crate::agent::Out;
use crate::backoff::Backoff;
use crate::fetch::{NoWeb, Web};
use crate::figures::{Figures, Measured};
use crate::files::Disk;
use crate::identity::{Identity, Site};
use crate::init::Init;
use crate::pace::Limit;
use crate::policy::DevicePolicy;
use crate::slots::Slots;
use protocol::control::Failure;
use protocol::fleet::{UpdatePhase, UpdateStatus, UpdaterStatus};
use protocol::policy::PolicyState;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use updater::machine::{World, idle};
use updater::notes::Notes;
use updater::policy::Parties;
use updater::ports::Transport;
use updater::{Next, Updater};

/// Pauses after a step that failed.
const FAILURE_PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(900));
/// Between two looks at something that init decides or the fleet makes; at least half of it, so
/// that a fleet does not ask all at once.
const WAIT: Duration = Duration::from_secs(2);
/// How often an update that waits for a hold or a window is looked at again, at least: the clock
/// may be set meanwhile.
const HELD: Duration = Duration::from_secs(15);
/// Time for the report "staged" to leave before the reboot.
const FAREWELL: Duration = Duration::from_secs(2);
/// How often an idle updater looks again at what failed before it could begin.
const LOOK_AGAIN: Duration = Duration::from_secs(120);

/// What the worker is told.
pub enum Order {
    /// A body of `desired` arrived.
    Desired(Vec<u8>),
    /// A chain of key sets arrived.
    Keys(Vec<u8>),
    /// Failed releases may be tried again.
    Retry,
    /// A rollback follows; answered when it is noted.
    RollBack(SyncSender<Result<(), Failure>>),
    /// A person at the device has set when to update.
    Policy,
}

/// Where the status is shown to everybody.
#[derive(Clone)]
pub struct Board {
    status: Arc<Mutex<UpdaterStatus>>,
    out: UnboundedSender<Out>,
}

impl Board {
    /// Shows "idle".
    pub fn new(out: UnboundedSender<Out>) -> Self {
        let (update, slots, policy) = (idle(), Default::default(), Default::default());
        Self { status: Arc::new(Mutex::new(UpdaterStatus { update, slots, policy })), out }
    }

    /// What is shown.
    pub fn status(&self) -> UpdaterStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shows a status; `true` when it is another, which is then reported.
    fn show(&self, status: UpdaterStatus) -> bool {
        let mut shown = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if *shown == status {
            return false;
        }
        let mut before = shown.clone();
        *shown = status.clone();
        drop(shown);
        let update = status.update.clone();
        before.update.chunks_done = update.chunks_done;
        before.update.bytes_fetched = update.bytes_fetched;
        let chunks_only = before == status;
        if before.update != update {
            let version = update.version.as_deref().unwrap_or("-");
            match (&update.failure, &update.waiting) {
                (Some(failure), _) => println!("update {version}: {:?}: {failure}", update.phase),
                (None, Some(waiting)) => println!("update {version}: {waiting}"),
                (None, None) => println!("update {version}: {:?}", update.phase),
            }
        }
        let _ = self.out.send(if chunks_only { Out::Progress } else { Out::Changed });
        true
    }

    /// Something beside the update's status is to be reported.
    fn changed(&self) {
        let _ = self.out.send(Out::Changed);
    }

    fn show_failure(&self, error: &updater::Error) {
        let failure = Some(Failure::from(error));
        let mut status = self.status();
        let failed = UpdatePhase::Failed;
        status.update = UpdateStatus { phase: failed, failure, waiting: None, ..status.update };
        self.show(status);
    }
}

/// The thread's matter.
pub struct Worker {
    site: Site,
    identity: Option<Identity>,
    board: Board,
    /// The last body of `desired`, to be looked at again with other keys.
    offered: Option<Vec<u8>>,
    figures: Figures,
    policy: Arc<DevicePolicy>,
    limit: Limit,
}

impl Worker {
    /// Nothing is opened yet.
    pub fn new(
        site: Site,
        identity: Option<Identity>,
        board: Board,
        policy: Arc<DevicePolicy>,
    ) -> Self {
        let (figures, limit) = (Figures::default(), Limit::default());
        Self { site, identity, board, offered: None, figures, policy, limit }
    }

    /// Works until all senders of orders are gone.
    pub fn run(mut self, inbox: &Receiver<Order>) {
        let mut backoff = Backoff::new(FAILURE_PAUSE.0, FAILURE_PAUSE.1);
        let mut updater = loop {
            match self.start() {
                Ok(updater) => break updater,
                Err(error) => {
                    self.board.show_failure(&error);
                    std::thread::sleep(backoff.next());
                }
            }
        };
        backoff.reset();
        let mut best = (None, 0);
        loop {
            let was = updater.status().phase;
            self.govern(&mut updater);
            let next = updater.step(self.site.clock.trusted());
            self.board.show(self.status(&updater));
            let staged = updater.status().phase == UpdatePhase::Staged;
            if staged && was != UpdatePhase::Staged {
                println!("holdfast: installed: {}", self.figures.take());
            }
            let pause = match next {
                Ok(Next::Again) if staged && was != UpdatePhase::Staged => FAREWELL,
                Ok(Next::Again) => Duration::ZERO,
                Ok(Next::Wait) if updater.status().waiting.is_some() => self.held(&updater),
                Ok(Next::Wait) => Backoff::new(WAIT, WAIT).next(),
                Ok(Next::Idle) => LOOK_AGAIN,
                Err(_) => backoff.next(),
            };
            // A slot that never reads back as it was written gets as far each time and no further.
            let done = (updater.status().sequence, updater.status().chunks_done);
            if matches!(next, Ok(Next::Again)) && (staged || done.0 != best.0 || done.1 > best.1) {
                best = done;
                backoff.reset();
            }
            let mut asked = false;
            match inbox.recv_timeout(pause) {
                Ok(order) => {
                    asked = matches!(order, Order::Desired(_));
                    self.obey(&mut updater, order);
                }
                Err(RecvTimeoutError::Timeout) if next == Ok(Next::Idle) => {
                    self.note(updater.look_again(self.site.clock.trusted()));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            // What is desired is answered by a report, also when it changed nothing.
            if !self.board.show(self.status(&updater)) && asked {
                self.board.changed();
            }
        }
    }

    /// What device and fleet say is in force from the next step on.
    fn govern(&self, updater: &mut Updater) {
        let device = self.policy.says();
        let zone = self.policy.zone.as_ref();
        updater.govern(&device, zone, self.site.clock.moment());
        let parties = Parties { device: &device, fleet: updater.fleet_policy(), zone };
        self.limit.set(parties.bandwidth());
    }

    /// Until what is waited for comes, but never for long.
    fn held(&self, updater: &Updater) -> Duration {
        let until = updater.status().waiting.and_then(|waiting| waiting.until);
        let left = until.map(|until| until.saturating_sub(self.site.clock.trusted()).max(1));
        left.map_or(HELD, Duration::from_secs).min(HELD)
    }

    fn status(&self, updater: &Updater) -> UpdaterStatus {
        let (device, fleet) = (self.policy.says(), updater.fleet_policy().clone());
        UpdaterStatus {
            update: updater.status().clone(),
            slots: updater.state().slots.clone(),
            policy: PolicyState { device, fleet, zone: self.policy.zone.clone() },
        }
    }

    fn start(&self) -> Result<Updater, updater::Error> {
        let paths = &self.site.paths;
        let fleet = self.site.config.fleet.as_ref();
        let transport: Box<dyn Transport> = match (fleet, &self.identity) {
            (Some(fleet), Some(identity)) => {
                let web = Web::new(&fleet.url, &identity.ca, Some(identity));
                let web = web.map_err(updater::Error::Boot)?.limited(self.limit.clone());
                Box::new(Measured(web, self.figures.clone()))
            }
            _ => Box::new(NoWeb),
        };
        let world = World {
            storage: Box::new(Measured(Slots::open(paths)?, self.figures.clone())),
            transport,
            boot: Box::new(Init(paths.clone())),
            store: Box::new(Notes(Disk(paths.notes()))),
        };
        let device = self.site.device(self.identity.as_ref());
        Updater::start(
            world,
            (*self.site.keys.in_force()).clone(),
            device,
            self.site.clock.trusted(),
        )
    }

    fn obey(&mut self, updater: &mut Updater, order: Order) {
        match order {
            Order::Desired(body) => {
                self.note(updater.desired(&body, self.site.clock.trusted()));
                self.offered = Some(body);
            }
            Order::Keys(body) => self.rotate(updater, &body),
            Order::Retry => self.note(updater.retry(self.site.clock.trusted())),
            // The next step is taken by it.
            Order::Policy => {}
            Order::RollBack(answer) => {
                let done = updater.roll_back().map_err(|error| Failure::from(&error));
                let _ = answer.send(done);
            }
        }
    }

    fn rotate(&self, updater: &mut Updater, body: &[u8]) {
        match self.site.keys.adopt(body) {
            Ok(None) => {}
            Ok(Some(set)) => {
                println!("holdfast: key set {} is in force", set.version);
                let offered = self.offered.as_deref();
                self.note(updater.rotate((*set).clone(), offered, self.site.clock.trusted()));
            }
            Err(failure) => eprintln!("key sets refused: {failure}"),
        }
        self.board.changed();
    }

    /// A fault of the device itself; the next step or look comes later.
    fn note(&self, result: Result<(), updater::Error>) {
        if let Err(error) = result {
            eprintln!("updater: {error}");
            self.board.show_failure(&error);
        }
    }
}
