//! Sockets that start a service: appd listens, and gives the listening sockets to the service when
//! somebody connects. They stay open while the service is stopped or crashed by itself, so that no
//! client is refused meanwhile.

use crate::{
    beneath,
    confine::Place,
    error::{Context, Error, Result},
    layouts,
    meta::{App, Snap, socket::Listen},
    paths::Paths,
    pidfd::Watched,
};
use rustix::{
    fs::{AtFlags, Mode, OFlags},
    io::Errno,
};
use std::{
    fs,
    net::TcpListener,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        linux::net::SocketAddrExt,
        unix::{
            fs::{FileTypeExt, PermissionsExt},
            net::{SocketAddr, UnixListener},
        },
    },
};

/// Listening sockets with their names.
pub(super) struct Sockets(Vec<(String, OwnedFd)>);

impl Sockets {
    /// Listens on all sockets of a service.
    pub(super) fn open(paths: &Paths, snap: &Snap, app: &App, place: &Place) -> Result<Self> {
        let mut open = Vec::new();
        for (name, socket) in &app.sockets {
            let text = &socket.listen_stream;
            let fd = match socket.listen("sockets", &snap.name)? {
                Listen::Tcp(address) => {
                    OwnedFd::from(TcpListener::bind(address).context("listen on", text)?)
                }
                Listen::Abstract(name) => {
                    let address =
                        SocketAddr::from_abstract_name(&name).context("listen on", text)?;
                    OwnedFd::from(UnixListener::bind_addr(&address).context("listen on", text)?)
                }
                Listen::Path(path) => {
                    let base = layouts::base(paths, &snap.name, place, path.base);
                    let (parent, name) = path.rest.rsplit_once('/').unwrap_or(("", &path.rest));
                    let directory = beneath::directory(&base, parent, 0o755, place.uid)?;
                    listen_in(&directory, name, socket.socket_mode, place.uid)?
                }
            };
            open.push((name.clone(), fd));
        }
        Ok(Self(open))
    }

    /// The sockets, as a service gets them.
    pub(super) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.0.iter().map(|(_, fd)| fd.as_fd()).collect()
    }

    /// Their names, in the same order.
    pub(super) fn names(&self) -> String {
        self.0.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(":")
    }

    /// How many.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Waits until somebody connects to any of them.
    pub(super) async fn connected(&self) {
        let mut waits = Vec::new();
        for (_, fd) in &self.0 {
            // A registration of its own tells what is there now.
            if let Some(watched) = fd.try_clone().ok().and_then(|fd| Watched::new(fd).ok()) {
                waits.push(watched);
            }
        }
        if waits.is_empty() {
            return std::future::pending().await;
        }
        std::future::poll_fn(|context| {
            let any = waits.iter().any(|watched| watched.poll_readable(context));
            if any { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    }
}

/// A socket in a directory that the app can write in, and so can put anything in at any moment.
fn listen_in(directory: &OwnedFd, name: &str, mode: u32, uid: u32) -> Result<OwnedFd> {
    let path = beneath::path(directory).join(name);
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        // What an earlier run left.
        Ok(found) if rustix::fs::FileType::from_raw_mode(found.st_mode).is_socket() => {
            rustix::fs::unlinkat(directory, name, AtFlags::empty()).context("remove", name)?;
        }
        Ok(_) => {
            let why = format!("{name}: there is something that is no socket");
            return Err(Error::refused("socket", why));
        }
        Err(Errno::NOENT) => {}
        Err(e) => return Err(e).context("look at", name),
    }
    let listener = UnixListener::bind(&path).context("listen on", name)?;
    // The name may mean something else by now: what is changed is what was opened and looked at.
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = rustix::fs::openat(directory, name, flags, Mode::empty()).context("open", name)?;
    let at = beneath::path(&made);
    if fs::metadata(&at).context("look at", name)?.file_type().is_socket() {
        fs::set_permissions(&at, fs::Permissions::from_mode(mode)).context("set mode of", name)?;
        std::os::unix::fs::chown(&at, Some(uid), Some(uid)).context("set owner of", name)?;
    }
    Ok(listener.into())
}
