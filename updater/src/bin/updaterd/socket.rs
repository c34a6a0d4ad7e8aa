//! The control socket: status, retry, policy; one connection after the other.

use crate::clock::Clock;
use crate::failure;
use crate::files;
use crate::paths::Paths;
use crate::policy::DevicePolicy;
use crate::worker::{Board, Order};
use protocol::control::{
    Failure, UPDATER_SOCKET, UpdaterRequest, UpdaterResponse, read_frame, write_frame,
};
use protocol::policy::PolicyChange;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

/// A caller that is silent for longer is cut off, so that others get their turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// Binds the socket, mode 0600.
pub fn bind(paths: &Paths) -> Result<UnixListener, Failure> {
    let path = paths.at(UPDATER_SOCKET);
    if let Some(directory) = path.parent() {
        files::make_directory(directory)?;
    }
    let _ = fs::remove_file(&path);
    let bound = UnixListener::bind(&path).and_then(|listener| {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    });
    bound.map_err(|e| failure("socket", format!("{}: {e}", path.display())))
}

/// Who answers.
pub struct Socket {
    /// What is asked for.
    pub board: Board,
    /// Who is told.
    pub worker: Sender<Order>,
    /// What a person sets.
    pub policy: Arc<DevicePolicy>,
    /// By which time.
    pub clock: Clock,
}

impl Socket {
    /// Serves for ever.
    pub fn serve(&self, listener: &UnixListener) {
        for stream in listener.incoming() {
            let served = stream.and_then(|stream| self.converse(stream));
            if let Err(error) = served
                && error.kind() != io::ErrorKind::UnexpectedEof
            {
                eprintln!("control socket: {error}");
            }
        }
    }

    fn converse(&self, mut stream: UnixStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        loop {
            let request: UpdaterRequest = read_frame(&mut stream)?;
            write_frame(&mut stream, &self.answer(&request))?;
        }
    }

    /// Done when it is stored; the worker's next step is taken by it.
    fn set_policy(&self, change: PolicyChange) -> Result<(), Failure> {
        self.policy.change(change, self.clock.moment())?;
        self.worker.send(Order::Policy).map_err(|e| failure("worker", e))
    }

    fn answer(&self, request: &UpdaterRequest) -> UpdaterResponse {
        match request {
            UpdaterRequest::Status => UpdaterResponse::Status(Box::new(self.board.status())),
            UpdaterRequest::Retry => match self.worker.send(Order::Retry) {
                Ok(()) => UpdaterResponse::Ok,
                Err(error) => UpdaterResponse::Failed(failure("worker", error)),
            },
            UpdaterRequest::SetPolicy(change) => match self.set_policy(change.clone()) {
                Ok(()) => UpdaterResponse::Ok,
                Err(failure) => UpdaterResponse::Failed(failure),
            },
        }
    }
}
