//! Asks init and appd on the agent's behalf, so that the network thread never waits for them.

use crate::agent::Out;
use crate::clock::now;
use crate::failure;
use crate::identity::{Identity, Site};
use crate::init;
use crate::paths::Paths;
use crate::worker::Board;
use protocol::control::{APP_SOCKET, AppRequest, AppResponse, Failure, call};
use protocol::fleet::{DeviceState, UpdaterStatus};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Receiver;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

/// A listing comes from appd's memory; an installation copies and checks a whole snap.
const APP_PATIENCE: Duration = Duration::from_secs(600);

/// What the desk is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Errand {
    /// Publish `state`, always or when it differs from the last one.
    State {
        /// Always.
        always: bool,
    },
    /// Publish `apps` when it differs from the last one, or always.
    Apps {
        /// Always.
        always: bool,
    },
    /// Tell init whether the broker is reached.
    Connected(bool, String),
}

/// The desk's matter.
pub struct Desk {
    site: Site,
    identity: Identity,
    board: Board,
    out: UnboundedSender<Out>,
    last_state: Option<DeviceState>,
    last_apps: Option<Vec<u8>>,
}

impl Desk {
    /// Nothing is asked yet.
    pub fn new(site: Site, identity: Identity, board: Board, out: UnboundedSender<Out>) -> Self {
        Self { site, identity, board, out, last_state: None, last_apps: None }
    }

    /// Runs errands until the sender is gone.
    pub fn run(mut self, inbox: &Receiver<Errand>) {
        while let Ok(errand) = inbox.recv() {
            match errand {
                Errand::State { always } => self.state(always),
                Errand::Apps { always } => self.apps(always),
                Errand::Connected(ok, detail) => init::tell_check(&self.site.paths, ok, &detail),
            }
        }
    }

    fn state(&mut self, always: bool) {
        let system = match init::status(&self.site.paths) {
            Ok(system) => system,
            Err(failure) => return eprintln!("state: {failure}"),
        };
        let device = self.identity.device.clone();
        let keys = self.site.keys.state();
        let UpdaterStatus { update, slots, policy } = self.board.status();
        let state = DeviceState { device, system, update, slots, policy, keys, time: now() };
        if !always && self.last_state.as_ref().is_some_and(|last| same(last, &state)) {
            return;
        }
        self.publish("state", serde_json::to_vec(&state));
        self.last_state = Some(state);
    }

    fn apps(&mut self, always: bool) {
        let snaps = match ask_appd(&self.site.paths, &AppRequest::List) {
            Ok(AppResponse::Snaps(snaps)) => snaps,
            Ok(other) => return eprintln!("apps: unexpected answer {other:?}"),
            Err(failure) => return eprintln!("apps: {failure}"),
        };
        let Ok(body) = serde_json::to_vec(&snaps) else { return };
        if always || self.last_apps.as_ref() != Some(&body) {
            self.publish("apps", Ok(body.clone()));
            self.last_apps = Some(body);
        }
    }

    fn publish(&self, leaf: &str, body: serde_json::Result<Vec<u8>>) {
        match body {
            Ok(body) => {
                let leaf = leaf.into();
                let _ = self.out.send(Out::Publish { leaf, body, retain: true });
            }
            Err(error) => eprintln!("{leaf}: {error}"),
        }
    }
}

/// Equal but for what changes all the time.
fn same(a: &DeviceState, b: &DeviceState) -> bool {
    let plain = |state: &DeviceState| {
        let mut state = state.clone();
        state.time = 0;
        state.system.uptime_s = 0;
        state.system.temperature_mc = None;
        state.update.chunks_done = 0;
        state.update.bytes_fetched = 0;
        state
    };
    plain(a) == plain(b)
}

/// Asks appd once.
pub fn ask_appd(paths: &Paths, request: &AppRequest) -> Result<AppResponse, Failure> {
    let attempt = || {
        let mut stream = UnixStream::connect(paths.at(APP_SOCKET))?;
        stream.set_read_timeout(Some(APP_PATIENCE))?;
        stream.set_write_timeout(Some(APP_PATIENCE))?;
        call(&mut stream, request)
    };
    match attempt() {
        Ok(AppResponse::Failed(failure)) => Err(failure),
        Ok(response) => Ok(response),
        Err(error) => Err(failure("appd-unreachable", error)),
    }
}
