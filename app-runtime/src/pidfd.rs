//! pidfd_open(2)'s descriptors, which become readable when their process has ended, and other
//! descriptors of which nothing but that is of interest.

use rustix::process::{WaitId, WaitIdOptions};
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    task::Context,
};
use tokio::io::{Interest, unix::AsyncFd};

/// A process of ours, watched by the runtime.
#[derive(Debug)]
pub struct Watched(AsyncFd<OwnedFd>);

impl Watched {
    /// Watches a process by its pidfd.
    pub fn new(pidfd: OwnedFd) -> io::Result<Self> {
        // SAFETY: the descriptor is owned by the value that watches it, and is open until that is
        // dropped.
        let watched = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) };
        watched.map(Self).map_err(Into::into)
    }

    /// Waits until it is readable, and does what then does not wait.
    pub async fn when_readable<T>(
        &self,
        read: impl FnMut(&OwnedFd) -> io::Result<T>,
    ) -> io::Result<T> {
        self.0.async_io(Interest::READABLE, read).await
    }

    /// Waits until the process has ended; it still has to be reaped.
    pub async fn ended(&self) {
        let _ = self.0.readable().await;
    }

    /// Whether the descriptor is readable; if not, the task of `context` is woken when it is.
    pub fn poll_readable(&self, context: &mut Context<'_>) -> bool {
        self.0.poll_read_ready(context).is_ready()
    }

    /// Exit code of the ended process, 128 + N after signal N; `None` when it cannot be told.
    pub fn reap(&self) -> Option<i32> {
        let id = WaitId::PidFd(self.as_fd());
        let status = rustix::process::waitid(id, WaitIdOptions::EXITED).ok()??;
        status.exit_status().or(status.terminating_signal().map(|signal| 128 + signal))
    }
}

impl AsFd for Watched {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}
