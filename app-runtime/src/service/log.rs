//! What a service prints.

use crate::ring::{LINE_SIZE, Ring};
use std::{path::PathBuf, time::Duration};
use tokio::{io::AsyncReadExt, net::unix::pipe, time::sleep};

/// Copies lines into the log until all writing ends are closed.
pub(super) async fn keep(mut output: pipe::Receiver, path: PathBuf) {
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
