//! Tells init that appd serves, and what a person should know.

use protocol::control::{InitRequest, InitResponse, call};
use std::{io, os::unix::net::UnixStream, path::Path, time::Duration};

/// init answers at once or is in trouble of its own.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Sends [`InitRequest::Ready`].
pub fn ready(socket: &Path) -> io::Result<()> {
    tell(socket, &InitRequest::Ready)
}

/// Sends [`InitRequest::Warn`].
pub fn warn(socket: &Path, warning: &str) -> io::Result<()> {
    tell(socket, &InitRequest::Warn(warning.into()))
}

/// Without init (tests, a bench) there is nobody to tell.
fn tell(socket: &Path, request: &InitRequest) -> io::Result<()> {
    let mut stream = match UnixStream::connect(socket) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    match call(&mut stream, request)? {
        InitResponse::Failed(failure) => Err(io::Error::other(failure)),
        _ => Ok(()),
    }
}
