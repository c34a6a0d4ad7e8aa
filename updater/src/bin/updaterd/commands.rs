//! Commands of the fleet, one after the other.
//!
//! Invariants: a command is signed by the role `fleet`, for this device, in time, and executed at
//! most once: its id is noted durably before it is begun, so that a cut loses it rather than
//! repeats it.

use crate::agent::Out;
use crate::desk::ask_appd;
use crate::failure;
use crate::fetch::{Web, empty_inbox};
use crate::files;
use crate::identity::{Identity, Site};
use crate::init;
use crate::worker::Order;
use protocol::control::{AppRequest, Failure, InitRequest, InitResponse};
use protocol::fleet::{Action, Command, CommandResult, is_id};
use serde_json::Value;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, sync_channel};
use std::thread;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

/// Ids that are remembered; a command that is older has expired.
const REMEMBERED: usize = 256;
/// Most log lines asked of init at once.
const MAX_LINES: u32 = 2000;
/// Time for a result to leave before a reboot.
const FAREWELL: Duration = Duration::from_secs(2);

/// A message on `cmd/{id}`.
pub struct Arrived {
    /// The topic's id.
    pub id: String,
    /// The envelope.
    pub body: Vec<u8>,
}

/// The thread's matter.
pub struct Commands {
    site: Site,
    identity: Identity,
    worker: Sender<Order>,
    out: UnboundedSender<Out>,
    seen: VecDeque<String>,
}

impl Commands {
    /// Reads which commands were begun before.
    pub fn new(
        site: Site,
        identity: Identity,
        worker: Sender<Order>,
        out: UnboundedSender<Out>,
    ) -> Self {
        let stored = files::read(&seen_path(&site)).ok().flatten();
        let seen = stored.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        empty_inbox(&site.paths.inbox());
        Self { site, identity, worker, out, seen: seen.unwrap_or_default() }
    }

    /// Executes until the sender is gone.
    pub fn run(mut self, inbox: &Receiver<Arrived>) {
        while let Ok(arrived) = inbox.recv() {
            if !is_id(&arrived.id) {
                continue;
            }
            match self.accept(&arrived) {
                Ok(Some(command)) => {
                    println!("command {}: {:?}", command.id, command.action);
                    let result = self.execute(&command.action);
                    let done = result.is_ok();
                    self.answer(&arrived.id, result);
                    if done {
                        self.afterwards(&command.action);
                    }
                }
                Ok(None) => {}
                Err(failure) => {
                    eprintln!("command {} refused: {failure}", arrived.id);
                    self.answer(&arrived.id, Err(failure));
                }
            }
        }
    }

    /// The command, when it is to be executed; `None` when it was before.
    fn accept(&mut self, arrived: &Arrived) -> Result<Option<Command>, Failure> {
        let command = Command::open(&arrived.body, &self.site.keys.in_force())?;
        if command.device != self.identity.device {
            return Err(failure("wrong-device", format!("command for {}", command.device)));
        }
        if command.id != arrived.id {
            return Err(failure("wrong-topic", format!("command {}", command.id)));
        }
        if self.seen.contains(&command.id) {
            return Ok(None);
        }
        let now = self.site.clock.trusted();
        if now > command.expires {
            let why = format!("expired at {}, it is {now}", command.expires);
            return Err(failure("command-expired", why));
        }
        self.seen.push_back(command.id.clone());
        if self.seen.len() > REMEMBERED {
            self.seen.pop_front();
        }
        let bytes = serde_json::to_vec(&self.seen).map_err(|e| failure("commands", e))?;
        files::write(&seen_path(&self.site), &bytes)?;
        Ok(Some(command))
    }

    fn execute(&self, action: &Action) -> Result<Value, Failure> {
        match action {
            Action::Reboot => Ok("rebooting".into()),
            Action::Rollback => {
                let (answer, noted) = sync_channel(1);
                let order = self.worker.send(Order::RollBack(answer));
                order.map_err(|e| failure("worker", e))?;
                noted.recv().map_err(|e| failure("worker", e))??;
                init::ask(&self.site.paths, &InitRequest::Rollback)?;
                Ok("rolled back, rebooting".into())
            }
            Action::RetryUpdate => {
                self.worker.send(Order::Retry).map_err(|e| failure("worker", e))?;
                Ok("the release will be tried again".into())
            }
            Action::App(request) => self.app(request),
            Action::Log { service, lines } => {
                let lines = (*lines).min(MAX_LINES);
                let request = InitRequest::Log { service: service.clone(), lines };
                match init::ask(&self.site.paths, &request)? {
                    InitResponse::Log(lines) => Ok(lines.into()),
                    other => Err(failure("init-answer", format!("{other:?}"))),
                }
            }
        }
    }

    /// What can only be done after the answer has left.
    fn afterwards(&self, action: &Action) {
        let reason = match action {
            Action::Reboot => "asked for by the fleet",
            Action::Rollback => "rolled back by the fleet",
            _ => return,
        };
        thread::sleep(FAREWELL);
        init::tell(&self.site.paths, &InitRequest::Reboot { reason: reason.into() });
    }

    fn app(&self, request: &AppRequest) -> Result<Value, Failure> {
        if request.is_for_the_prompt() {
            // Whoever has the fleet's key would run what nobody signed, or read and write files.
            let why = "a snap without a signature is installed at the device's own prompt only, \
                       and so are files of snapshots";
            return Err(failure("dangerous-refused", why));
        }
        if let AppRequest::InstallUrl { url, sha256, dangerous } = request
            && let Some(fleet) = &self.site.config.fleet
        {
            let web = Web::new(&fleet.url, &self.identity.ca, Some(&self.identity))?;
            if web.is_fleet(url) {
                return self.install(&web, url, *sha256, *dangerous);
            }
        }
        self.ask(request)
    }

    /// Fetches the snap here, where the fleet's authority is known, and hands appd a file.
    fn install(
        &self,
        web: &Web,
        url: &str,
        sha256: Option<[u8; 32]>,
        dangerous: bool,
    ) -> Result<Value, Failure> {
        let inbox = self.site.paths.inbox();
        files::make_directory(&inbox)?;
        let file = inbox.join("fetched.snap");
        let path = file.to_string_lossy().into_owned();
        let installed = web
            .fetch_snap(url, sha256, &file)
            .and_then(|()| self.ask(&AppRequest::Install { path, dangerous }));
        empty_inbox(&inbox);
        installed
    }

    fn ask(&self, request: &AppRequest) -> Result<Value, Failure> {
        let response = ask_appd(&self.site.paths, request)?;
        let _ = self.out.send(Out::AppsChanged);
        serde_json::to_value(response).map_err(|e| failure("appd-answer", e))
    }

    fn answer(&self, id: &str, result: Result<Value, Failure>) {
        let result = CommandResult {
            id: id.into(),
            ok: result.is_ok(),
            failure: result.as_ref().err().cloned(),
            output: result.unwrap_or_default(),
        };
        if let Ok(body) = serde_json::to_vec(&result) {
            let leaf = format!("cmd/{id}/result");
            let _ = self.out.send(Out::Publish { leaf, body, retain: false });
        }
    }
}

fn seen_path(site: &Site) -> PathBuf {
    site.paths.notes().join("commands.json")
}
