//! How a base service says that it is ready. A device without a reachable init (a test) is no
//! reason to end.

use crate::root::Root;
use protocol::control::{INIT_SOCKET, InitRequest, InitResponse, call};
use std::{os::unix::net::UnixStream, time::Duration};

/// init answers in one turn of its loop.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Tells init; the error is for the log.
pub fn ready(root: &Root) -> std::io::Result<()> {
    let mut stream = UnixStream::connect(root.at(INIT_SOCKET))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    match call::<_, InitResponse>(&mut stream, &InitRequest::Ready)? {
        InitResponse::Ok => Ok(()),
        other => Err(std::io::Error::other(format!("init answered {other:?}"))),
    }
}
