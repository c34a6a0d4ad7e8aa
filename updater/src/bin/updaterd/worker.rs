//! The thread that owns the updater: takes orders, does steps, pauses after failures.

use crate::agent::Out;
use crate::backoff::Backoff;
use crate::fetch::{NoWeb, Web};
use crate::figures::{Figures, Measured};
use crate::files::Disk;
use crate::identity::{Identity, Site};
use crate::init::Init;
use crate::slots::Slots;
use protocol::control::Failure;
use protocol::fleet::{UpdatePhase, UpdateStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use updater::machine::{World, idle};
use updater::notes::Notes;
use updater::ports::Transport;
use updater::{Next, Updater};

/// Pauses after a step that failed.
const FAILURE_PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(900));
/// Between two looks at something that init decides or the fleet makes; at least half of it, so
/// that a fleet does not ask all at once.
const WAIT: Duration = Duration::from_secs(2);
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
}

/// Where the status is shown to everybody.
#[derive(Clone)]
pub struct Board {
    status: Arc<Mutex<UpdateStatus>>,
    out: UnboundedSender<Out>,
}

impl Board {
    /// Shows "idle".
    pub fn new(out: UnboundedSender<Out>) -> Self {
        Self { status: Arc::new(Mutex::new(idle())), out }
    }

    /// What is shown.
    pub fn status(&self) -> UpdateStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shows a status; `true` when it is another, which is then reported.
    fn show(&self, status: &UpdateStatus) -> bool {
        let mut shown = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if *shown == *status {
            return false;
        }
        let chunks_only = UpdateStatus {
            chunks_done: status.chunks_done,
            bytes_fetched: status.bytes_fetched,
            ..shown.clone()
        } == *status;
        *shown = status.clone();
        drop(shown);
        if !chunks_only {
            let version = status.version.as_deref().unwrap_or("-");
            match &status.failure {
                Some(failure) => println!("update {version}: {:?}: {failure}", status.phase),
                None => println!("update {version}: {:?}", status.phase),
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
        self.show(&UpdateStatus { phase: UpdatePhase::Failed, failure, ..self.status() });
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
}

impl Worker {
    /// Nothing is opened yet.
    pub fn new(site: Site, identity: Option<Identity>, board: Board) -> Self {
        Self { site, identity, board, offered: None, figures: Figures::default() }
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
            let next = updater.step(self.site.clock.trusted());
            self.board.show(updater.status());
            let staged = updater.status().phase == UpdatePhase::Staged;
            if staged && was != UpdatePhase::Staged {
                println!("holdfast: installed: {}", self.figures.take());
            }
            let pause = match next {
                Ok(Next::Again) if staged && was != UpdatePhase::Staged => FAREWELL,
                Ok(Next::Again) => Duration::ZERO,
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
            if !self.board.show(updater.status()) && asked {
                self.board.changed();
            }
        }
    }

    fn start(&self) -> Result<Updater, updater::Error> {
        let paths = &self.site.paths;
        let fleet = self.site.config.fleet.as_ref();
        let transport: Box<dyn Transport> = match (fleet, &self.identity) {
            (Some(fleet), Some(identity)) => {
                let web = Web::new(&fleet.url, &identity.ca, Some(identity));
                Box::new(Measured(web.map_err(updater::Error::Boot)?, self.figures.clone()))
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
