//! init, through its control socket: one connection for each request.

use crate::failure;
use crate::paths::Paths;
use protocol::control::{
    BootRecord, Failure, INIT_SOCKET, InitRequest, InitResponse, SlotName, SystemStatus, call,
};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use updater::Error;
use updater::ports::BootControl;

/// init answers from memory, or after one write of the environment.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks once.
pub fn ask(paths: &Paths, request: &InitRequest) -> Result<InitResponse, Failure> {
    let attempt = || {
        let mut stream = UnixStream::connect(paths.at(INIT_SOCKET))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        call(&mut stream, request)
    };
    match attempt() {
        Ok(InitResponse::Failed(failure)) => Err(failure),
        Ok(response) => Ok(response),
        Err(error) => Err(failure("init-unreachable", error)),
    }
}

/// Asks for what has no answer worth waiting for.
pub fn tell(paths: &Paths, request: &InitRequest) {
    if let Err(failure) = ask(paths, request) {
        eprintln!("{request:?}: {failure}");
    }
}

/// Whether the fleet is reached, for the health gate.
pub fn tell_check(paths: &Paths, ok: bool, detail: &str) {
    tell(paths, &InitRequest::Check { name: "fleet".into(), ok, detail: detail.into() });
}

/// What runs.
pub fn status(paths: &Paths) -> Result<SystemStatus, Failure> {
    match ask(paths, &InitRequest::Status)? {
        InitResponse::Status(status) => Ok(*status),
        other => Err(unexpected(&other)),
    }
}

fn unexpected(response: &InitResponse) -> Failure {
    failure("init-answer", format!("unexpected answer {response:?}"))
}

/// The updater's view of init.
pub struct Init(pub Paths);

impl Init {
    fn order(&self, request: &InitRequest) -> Result<(), Error> {
        ask(&self.0, request).map(|_| ()).map_err(Error::Boot)
    }
}

impl BootControl for Init {
    fn status(&mut self) -> Result<SystemStatus, Error> {
        status(&self.0).map_err(Error::Boot)
    }

    fn boots(&mut self) -> Result<Vec<BootRecord>, Error> {
        match ask(&self.0, &InitRequest::Boots).map_err(Error::Boot)? {
            InitResponse::Boots(boots) => Ok(boots),
            other => Err(Error::Boot(unexpected(&other))),
        }
    }

    fn stage(&mut self, slot: SlotName, attempts: u8) -> Result<(), Error> {
        self.order(&InitRequest::StageTrial { slot, attempts })
    }

    fn drop_trial(&mut self) -> Result<(), Error> {
        self.order(&InitRequest::DropTrial)
    }

    fn restore_marks(&mut self, sequence: u64, floor: u64) -> Result<(), Error> {
        self.order(&InitRequest::RestoreMarks { sequence, floor })
    }

    fn reboot(&mut self, reason: &str) -> Result<(), Error> {
        self.order(&InitRequest::Reboot { reason: reason.into() })
    }

    fn updating(&mut self, on: bool) {
        tell(&self.0, &InitRequest::Updating(on));
    }
}
