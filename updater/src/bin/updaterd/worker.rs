//! The thread that owns the updater: takes orders, does steps, pauses after failures.

use crate::agent::Out;
use crate::backoff::Backoff;
use crate::clock::now;
use crate::fetch::{NoWeb, Web};
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
/// Between two looks at something that init decides.
const WAIT: Duration = Duration::from_secs(2);
/// Time for the report "staged" to leave before the reboot.
const FAREWELL: Duration = Duration::from_secs(2);
/// How often an idle updater looks again at what failed before it could begin.
const LOOK_AGAIN: Duration = Duration::from_secs(120);

/// What the worker is told.
pub enum Order {
    /// A body of `desired` arrived.
    Desired(Vec<u8>),
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

    fn show(&self, status: &UpdateStatus) {
        let mut shown = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if *shown == *status {
            return;
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
}

impl Worker {
    /// Nothing is opened yet.
    pub fn new(site: Site, identity: Option<Identity>, board: Board) -> Self {
        Self { site, identity, board }
    }

    /// Works until all senders of orders are gone.
    pub fn run(self, inbox: &Receiver<Order>) {
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
        loop {
            let was = updater.status().phase;
            let next = updater.step(now());
            self.board.show(updater.status());
            let staged = updater.status().phase == UpdatePhase::Staged;
            let pause = match next {
                Ok(Next::Again) if staged && was != UpdatePhase::Staged => FAREWELL,
                Ok(Next::Again) => Duration::ZERO,
                Ok(Next::Wait) => WAIT,
                Ok(Next::Idle) => LOOK_AGAIN,
                Err(_) => backoff.next(),
            };
            if matches!(next, Ok(Next::Again)) {
                backoff.reset();
            }
            match inbox.recv_timeout(pause) {
                Ok(order) => self.obey(&mut updater, order),
                Err(RecvTimeoutError::Timeout) if next == Ok(Next::Idle) => {
                    self.note(updater.look_again(now()));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.board.show(updater.status());
        }
    }

    fn start(&self) -> Result<Updater, updater::Error> {
        let paths = &self.site.paths;
        let fleet = self.site.config.fleet.as_ref();
        let transport: Box<dyn Transport> = match (fleet, &self.identity) {
            (Some(fleet), Some(identity)) => {
                let web = Web::new(&fleet.url, &identity.ca, Some(identity));
                Box::new(web.map_err(updater::Error::Boot)?)
            }
            _ => Box::new(NoWeb),
        };
        let world = World {
            storage: Box::new(Slots::open(paths)?),
            transport,
            boot: Box::new(Init(paths.clone())),
            store: Box::new(Notes(Disk(paths.notes()))),
        };
        let device = self.site.device(self.identity.as_ref());
        Updater::start(world, (*self.site.keys).clone(), device, now())
    }

    fn obey(&self, updater: &mut Updater, order: Order) {
        match order {
            Order::Desired(body) => self.note(updater.desired(&body, now())),
            Order::Retry => self.note(updater.retry(now())),
            Order::RollBack(answer) => {
                let done = updater.roll_back().map_err(|error| Failure::from(&error));
                let _ = answer.send(done);
            }
        }
    }

    /// A fault of the device itself; the next step or look comes later.
    fn note(&self, result: Result<(), updater::Error>) {
        if let Err(error) = result {
            eprintln!("updater: {error}");
            self.board.show_failure(&error);
        }
    }
}
