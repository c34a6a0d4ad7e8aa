//! What a process of a snap prints, on its way into a log.

use crate::{
    error::{Context, Result},
    ring::{LINE_SIZE, Ring},
};
use std::{
    io::PipeWriter,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
    time::Duration,
};
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe,
    task::JoinHandle,
    time::{sleep, timeout},
};

/// Wait for the rest of the output of a process that has ended.
pub const DRAIN: Duration = Duration::from_secs(1);

/// A pipe into a log. What prints holds the writing end; the log ends with the last of them.
pub struct Output {
    writer: PipeWriter,
    log: JoinHandle<()>,
}

impl Output {
    /// Into the log at `path`.
    pub fn open(path: PathBuf) -> Result<Self> {
        let (reader, writer) = std::io::pipe().context("make", "output pipe")?;
        let reader =
            pipe::Receiver::from_owned_fd(OwnedFd::from(reader)).context("watch", "output pipe")?;
        Ok(Self { writer, log: tokio::task::spawn_local(keep(reader, path)) })
    }

    /// Where to print to.
    pub fn writer(&self) -> BorrowedFd<'_> {
        self.writer.as_fd()
    }

    /// Waits for what is still in the pipe.
    pub async fn close(self) {
        drop(self.writer);
        let _ = timeout(DRAIN, self.log).await;
    }
}

/// Copies lines into the log until all writing ends are closed.
async fn keep(mut output: pipe::Receiver, path: PathBuf) {
    let mut ring = match Ring::open(&path) {
        Ok(ring) => Some(ring),
        Err(error) => {
            eprintln!("{error}; the output is lost");
            None
        }
    };
    let mut pending = Vec::new();
    let mut block = [0; LINE_SIZE];
    loop {
        let count = match output.read(&mut block).await {
            Ok(0) | Err(_) => break,
            Ok(count) => count,
        };
        pending.extend_from_slice(&block[..count]);
        let mut rest = pending.as_slice();
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            if let Some(ring) = &mut ring {
                ring.write(&rest[..end]);
            }
            rest = &rest[end + 1..];
        }
        // A line without end is cut, so that what is kept stays bounded.
        pending = if rest.len() > LINE_SIZE { Vec::new() } else { rest.to_vec() };
        // A flood must not keep the other services waiting.
        tokio::task::yield_now().await;
    }
    if let (Some(ring), false) = (&mut ring, pending.is_empty()) {
        ring.write(&pending);
    }
    sleep(Duration::ZERO).await;
}
