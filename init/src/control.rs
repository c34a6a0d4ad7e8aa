//! The server's side of init's control socket: frames in, frames out, never blocking, never more
//! than [`CLIENT_LIMIT`] clients. What a request means is the machine's business.

use crate::{Result, error::At};
use protocol::control::{self, InitRequest, InitResponse};
use std::{
    fs::{self, Permissions},
    io::{Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::{
            fs::PermissionsExt,
            net::{UnixListener, UnixStream},
        },
    },
};

/// Clients at once: each service has one, snapctl and people the rest. One more makes the oldest
/// go.
pub const CLIENT_LIMIT: usize = 24;
/// Longest request in bytes; ours are below 1 KiB.
const REQUEST_LIMIT: usize = 16 << 10;

/// The listening socket and its clients.
pub struct Server {
    listener: UnixListener,
    clients: Vec<Client>,
}

/// One connection.
pub struct Client {
    stream: UnixStream,
    /// Process that connected.
    pub pid: i32,
    input: Vec<u8>,
    output: Vec<u8>,
    gone: bool,
}

impl Server {
    /// Listens at `path`, mode 0600.
    pub fn listen(path: &str) -> Result<Self> {
        let _ = fs::remove_file(path);
        let listener = UnixListener::bind(path).at("listen on", path)?;
        fs::set_permissions(path, Permissions::from_mode(0o600)).at("set mode of", path)?;
        listener.set_nonblocking(true).at("set non-blocking", path)?;
        Ok(Self { listener, clients: Vec::new() })
    }

    /// Descriptors to wait for: the listener, then each client with whether it has output waiting.
    pub fn waiting(&self) -> impl Iterator<Item = (BorrowedFd<'_>, bool)> {
        let clients = self.clients.iter().map(|c| (c.stream.as_fd(), !c.output.is_empty()));
        std::iter::once((self.listener.as_fd(), false)).chain(clients)
    }

    /// Accepts, reads and writes whatever is possible now, and answers requests by `handle(pid,
    /// request)`.
    pub fn serve(&mut self, mut handle: impl FnMut(i32, InitRequest) -> InitResponse) {
        while let Ok((stream, _)) = self.listener.accept() {
            self.accept(stream);
        }
        for client in &mut self.clients {
            client.receive();
            while let Some(request) = client.next_request() {
                let response = handle(client.pid, request);
                client.answer(&response);
            }
            client.send();
        }
        self.clients.retain(|client| !client.gone);
    }

    fn accept(&mut self, stream: UnixStream) {
        let Ok(peer) = rustix::net::sockopt::socket_peercred(&stream) else { return };
        if !peer.uid.is_root() || stream.set_nonblocking(true).is_err() {
            return;
        }
        if self.clients.len() >= CLIENT_LIMIT {
            self.clients.remove(0);
        }
        self.clients.push(Client {
            stream,
            pid: peer.pid.as_raw_nonzero().get(),
            input: Vec::new(),
            output: Vec::new(),
            gone: false,
        });
    }
}

impl Client {
    fn receive(&mut self) {
        let mut bytes = [0; 1024];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => self.gone = true,
                Ok(count) if self.input.len() + count <= REQUEST_LIMIT => {
                    self.input.extend_from_slice(&bytes[..count]);
                    continue;
                }
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Ok(_) | Err(_) => self.gone = true,
            }
            return;
        }
    }

    fn next_request(&mut self) -> Option<InitRequest> {
        let length = u32::from_le_bytes(self.input.get(..4)?.try_into().ok()?) as usize;
        if length > REQUEST_LIMIT {
            self.gone = true;
            self.input.clear();
            return None;
        }
        let request = postcard::from_bytes(self.input.get(4..4 + length)?);
        self.input.drain(..4 + length);
        if request.is_err() {
            self.gone = true;
            self.input.clear();
        }
        request.ok()
    }

    fn answer(&mut self, response: &InitResponse) {
        if control::write_frame(&mut self.output, response).is_err() {
            self.gone = true;
        }
    }

    fn send(&mut self) {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(count) if count > 0 => {
                    self.output.drain(..count);
                }
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                _ => {
                    self.gone = true;
                    return;
                }
            }
        }
    }
}

/// The process and its ancestors, nearest first, up to process 1: a service may be sandboxed behind
/// a reaper, or may have asked through a child.
pub fn ancestry(pid: i32) -> Vec<i32> {
    /// Deeper than any service nests.
    const DEPTH: usize = 8;
    let mut chain = vec![pid];
    while chain.len() < DEPTH {
        let last = chain[chain.len() - 1];
        let Some(stat) = crate::files::read_line(format!("/proc/{last}/stat")) else { break };
        // the name in parentheses may hold anything, so count from its end: state, parent
        let parent = stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.split(' ').nth(1))
            .and_then(|parent| parent.parse().ok());
        match parent {
            Some(parent) if parent > 1 => chain.push(parent),
            _ => break,
        }
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_answered_over_the_socket_and_rubbish_ends_the_connection() {
        let path = std::env::temp_dir().join(format!("holdfast-control-{}", std::process::id()));
        let mut server = Server::listen(path.to_str().unwrap()).unwrap();
        let mut client = UnixStream::connect(&path).unwrap();
        let mut frames = Vec::new();
        control::write_frame(&mut frames, &InitRequest::Ready).unwrap();
        control::write_frame(&mut frames, &InitRequest::Updating(true)).unwrap();
        let (first, rest) = frames.split_at(3);
        client.write_all(first).unwrap();
        let mut seen = Vec::new();
        server.serve(|_, request| {
            seen.push(request);
            InitResponse::Ok
        });
        client.write_all(rest).unwrap();
        server.serve(|pid, request| {
            assert_eq!(pid, std::process::id() as i32);
            seen.push(request);
            InitResponse::Ok
        });
        assert_eq!(seen, [InitRequest::Ready, InitRequest::Updating(true)]);
        for _ in 0..2 {
            let response: InitResponse = control::read_frame(&mut client).unwrap();
            assert_eq!(response, InitResponse::Ok);
        }
        client.write_all(&[0xff; 64]).unwrap();
        server.serve(|_, _| unreachable!("no request"));
        assert_eq!(server.waiting().count(), 1, "the client is gone");
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn clients_are_bounded() {
        let path = std::env::temp_dir().join(format!("holdfast-clients-{}", std::process::id()));
        let mut server = Server::listen(path.to_str().unwrap()).unwrap();
        let clients: Vec<_> =
            (0..CLIENT_LIMIT + 5).map(|_| UnixStream::connect(&path).unwrap()).collect();
        server.serve(|_, _| InitResponse::Ok);
        assert_eq!(server.waiting().count(), CLIENT_LIMIT + 1);
        drop(clients);
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_child_is_found_under_its_service() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let chain = ancestry(child.id() as i32);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(chain[1], std::process::id() as i32);
    }
}
