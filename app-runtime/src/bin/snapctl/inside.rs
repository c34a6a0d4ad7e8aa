//! `snapctl` inside a snap: the words go to appd as they are, which prints and decides.

use crate::run::{FAILED, UNREACHABLE};
use protocol::control::{InsideRequest, InsideResponse, call};
use std::{io, io::Write, os::unix::net::UnixStream};

/// What apps and hooks are started with.
const COOKIE: &str = "SNAP_COOKIE";
/// Where the socket is in their view.
const SOCKET: &str = "/run/snapd-snap.socket";

/// The cookie of the app or hook that this runs in.
pub fn cookie() -> Option<String> {
    std::env::var(COOKIE).ok()
}

/// Asks, prints, returns the exit code.
pub fn ask(cookie: String, words: &[String]) -> u8 {
    let request = InsideRequest { cookie, words: words.to_vec() };
    let talk =
        || -> io::Result<InsideResponse> { call(&mut UnixStream::connect(SOCKET)?, &request) };
    match talk() {
        Ok(InsideResponse { code, out, err }) => {
            let printed = io::stdout().write_all(out.as_bytes());
            eprint!("{err}");
            if printed.is_err() { FAILED } else { code }
        }
        Err(error) => {
            eprintln!("error: appd does not answer on {SOCKET}: {error}");
            UNREACHABLE
        }
    }
}
