//! What a service tells of itself: datagrams to `NOTIFY_SOCKET`, as `sd_notify(3)` sends them.
//!
//! | line | heard as |
//! |---|---|
//! | `READY=1` | it has started |
//! | `STOPPING=1` | it ends by itself |
//! | `WATCHDOG=1`, `WATCHDOG=trigger` | a sign of life, a call for the watchdog |
//! | `STATUS=…` | what it does, for people |
//!
//! All else is for a service manager that keeps descriptors or follows a changing main process, and
//! is not heard. Only processes of the service are listened to: by their user, and by the cgroup
//! that they are in.

use crate::{
    error::{Context, Result},
    paths::Paths,
};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg, sockopt::set_socket_passcred,
};
use sandbox::cgroup;
use std::{
    fs,
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{io::Interest, net::UnixDatagram, time::sleep};

/// Where a service finds the socket in its view.
pub const INSIDE: &str = "/run/notify";
/// Name of the socket in its directory.
pub const SOCKET: &str = "socket";
/// Longest datagram that is read.
const MAX_MESSAGE: usize = 4096;
/// Longest status that is kept, in characters.
const MAX_STATUS: usize = 200;
/// A service that floods the socket must not keep the others waiting.
const PACE: Duration = Duration::from_millis(1);

/// What a service said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) ready: bool,
    pub(super) stopping: bool,
    pub(super) alive: bool,
    pub(super) trouble: bool,
    pub(super) status: Option<String>,
}

/// The socket of one run.
pub(super) struct Ear {
    socket: UnixDatagram,
    directory: PathBuf,
    group: PathBuf,
    uid: u32,
}

impl Ear {
    /// Makes the socket, in a directory that only this service gets to see.
    pub(super) fn open(paths: &Paths, service: &str, uid: u32) -> Result<Self> {
        let directory = paths.notify(service);
        crate::data::remove(&directory)?;
        fs::create_dir_all(&directory).at("make directory", &directory)?;
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755))
            .at("set mode of", &directory)?;
        let path = directory.join(SOCKET);
        let socket = UnixDatagram::bind(&path).at("bind", &path)?;
        set_socket_passcred(&socket, true).at("listen on", &path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).at("set mode of", &path)?;
        std::os::unix::fs::chown(&path, Some(uid), Some(uid)).at("set owner of", &path)?;
        Ok(Self { socket, directory, group: paths.service_cgroup(service), uid })
    }

    /// The directory to show the service.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The next thing that the service says.
    pub(super) async fn hear(&self) -> Said {
        loop {
            let heard = self.socket.async_io(Interest::READABLE, || self.receive()).await;
            match heard {
                Ok(Some(text)) => return read(&text),
                Ok(None) => sleep(PACE).await,
                // There is nobody left to hear, or something is wrong that does not pass.
                Err(_) => std::future::pending().await,
            }
        }
    }

    /// One datagram; `None` when it is not the service's.
    fn receive(&self) -> io::Result<Option<String>> {
        let mut bytes = [0; MAX_MESSAGE];
        // Room for credentials alone: descriptors that come along are closed by the kernel.
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let got = recvmsg(&self.socket, &mut parts, &mut control, flags)?;
        let sender = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmCredentials(sender) => Some(sender),
            _ => None,
        });
        let ours = sender.is_some_and(|sender| {
            let pid = sender.pid.as_raw_nonzero().get();
            sender.uid.as_raw() == self.uid && cgroup::processes(&self.group).contains(&pid)
        });
        Ok(ours.then(|| String::from_utf8_lossy(&bytes[..got.bytes]).into_owned()))
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let _ = crate::data::remove(&self.directory);
    }
}

fn read(text: &str) -> Said {
    let mut said = Said::default();
    for line in text.lines() {
        match line.split_once('=') {
            Some(("READY", "1")) => said.ready = true,
            Some(("STOPPING", "1")) => said.stopping = true,
            Some(("WATCHDOG", "1")) => said.alive = true,
            Some(("WATCHDOG", "trigger")) => said.trouble = true,
            Some(("STATUS", status)) => {
                let plain = status.chars().filter(|c| !c.is_control());
                said.status = Some(plain.take(MAX_STATUS).collect());
            }
            _ => {}
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::{Said, read};

    #[test]
    fn lines_that_are_heard() {
        let rows = [
            ("READY=1", Said { ready: true, ..Said::default() }),
            ("READY=0\nready=1\nREADY=11", Said::default()),
            ("STOPPING=1\n", Said { stopping: true, ..Said::default() }),
            ("WATCHDOG=1\nREADY=1", Said { alive: true, ready: true, ..Said::default() }),
            ("WATCHDOG=trigger", Said { trouble: true, ..Said::default() }),
            ("FDSTORE=1\nMAINPID=1\n\n=\nX", Said::default()),
            ("STATUS=a=b\u{1b}[2J", Said { status: Some("a=b[2J".into()), ..Said::default() }),
        ];
        for (text, expected) in rows {
            assert_eq!(read(text), expected, "{text:?}");
        }
        let long = format!("STATUS={}", "x".repeat(5000));
        assert_eq!(read(&long).status.map(|status| status.len()), Some(200));
    }
}
