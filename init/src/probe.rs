//! Whether appd answers: a `Ping` on its socket, asked without ever waiting for the answer. Where a
//! release on trial declares checks of apps, their services are asked for in its place.

use protocol::control::{APP_SOCKET, AppRequest, AppResponse, AppServiceStatus, write_frame};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::{
    io::{Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
};

/// Pause between questions while there is no answer.
const RETRY_MS: u64 = 500;
/// Pause between questions afterwards.
const REPEAT_MS: u64 = 30_000;
/// An answer that takes longer is none.
const ANSWER_MS: u64 = 10_000;
/// Longest answer in bytes: several hundred services.
const ANSWER_LIMIT: usize = 64 << 10;

/// The state of the asking.
#[derive(Debug, Default)]
pub struct Probe {
    stream: Option<UnixStream>,
    input: Vec<u8>,
    next: u64,
    answering: bool,
    apps: Option<Vec<AppServiceStatus>>,
}

impl Probe {
    /// Whether the last question was answered.
    pub fn answering(&self) -> bool {
        self.answering
    }

    /// The services of all apps as of the last answer that told them.
    pub fn apps(&self) -> Option<&[AppServiceStatus]> {
        self.apps.as_deref()
    }

    /// Descriptor to wait for.
    pub fn waiting(&self) -> Option<BorrowedFd<'_>> {
        self.stream.as_ref().map(|s| s.as_fd())
    }

    /// When [`Probe::tick`] is next to be called although nothing happened.
    pub fn next_deadline(&self) -> u64 {
        self.next
    }

    /// Asks, or reads the answer. `apps`: the services of apps are wanted, and as they are now.
    pub fn tick(&mut self, now: u64, apps: bool) {
        if self.stream.is_some() {
            self.receive(now, apps);
        }
        if self.next > now {
            return;
        }
        if self.stream.take().is_some() {
            self.answering = false; // no answer in time
        }
        match ask(apps) {
            Some(stream) => {
                self.stream = Some(stream);
                self.input.clear();
                self.next = now + ANSWER_MS;
            }
            None => {
                self.answering = false;
                self.next = now + RETRY_MS;
            }
        }
    }

    fn receive(&mut self, now: u64, apps: bool) {
        let Some(stream) = &mut self.stream else { return };
        let mut bytes = [0; 4096];
        match stream.read(&mut bytes) {
            Ok(count) if count > 0 && self.input.len() < ANSWER_LIMIT => {
                self.input.extend_from_slice(&bytes[..count]);
                if let Some(answer) = whole_answer(&self.input) {
                    self.answering = answer.is_some();
                    if let Some(AppResponse::Services(services)) = answer {
                        self.apps = Some(services);
                    }
                    self.stream = None;
                    self.next = now + if self.answering && !apps { REPEAT_MS } else { RETRY_MS };
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            _ => {
                self.stream = None;
                self.answering = false;
                self.next = now + RETRY_MS;
            }
        }
    }
}

fn ask(apps: bool) -> Option<UnixStream> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).ok()?;
    connect(&socket, &SocketAddrUnix::new(APP_SOCKET).ok()?).ok()?;
    let mut question = Vec::new();
    let request = if apps { AppRequest::Services(None) } else { AppRequest::Ping };
    write_frame(&mut question, &request).ok()?;
    let mut stream = UnixStream::from(socket);
    stream.write_all(&question).ok()?;
    Some(stream)
}

/// What a whole frame says, `Some(None)` when it is no good answer; `None` while more is to come.
fn whole_answer(input: &[u8]) -> Option<Option<AppResponse>> {
    let length = u32::from_le_bytes(input.get(..4)?.try_into().ok()?) as usize;
    if length > ANSWER_LIMIT {
        return Some(None);
    }
    let answer = postcard::from_bytes(input.get(4..4 + length)?).ok();
    Some(answer.filter(|answer| matches!(answer, AppResponse::Ok(_) | AppResponse::Services(_))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::control::Failure;

    #[test]
    fn answers_as_they_come_in_parts() {
        let mut frame = Vec::new();
        write_frame(&mut frame, &AppResponse::Ok("pong".into())).unwrap();
        assert_eq!(whole_answer(&frame[..frame.len() - 1]), None);
        assert_eq!(whole_answer(&frame), Some(Some(AppResponse::Ok("pong".into()))));
        frame.clear();
        let failed = Failure { code: "x".into(), message: String::new() };
        write_frame(&mut frame, &AppResponse::Failed(failed)).unwrap();
        assert_eq!(whole_answer(&frame), Some(None));
        assert_eq!(whole_answer(&[0xff; 8]), Some(None));
    }

    #[test]
    fn without_appd_it_asks_again_later() {
        let mut probe = Probe::default();
        probe.tick(1000, false);
        assert!(!probe.answering() && probe.waiting().is_none());
        assert_eq!(probe.next_deadline(), 1000 + RETRY_MS);
    }
}
