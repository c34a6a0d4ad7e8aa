//! `snapctl` as apps and hooks see it: each snap has a socket of its own, so that who asks is known
//! by where the question comes from.
//!
//! | module | what |
//! |---|---|
//! | `words` | the words of its command line, as snapd's |
//! | `answer` | what is done, what is printed |
//!
//! What always holds: an app asks about its own snap and changes nothing else; a flood of questions
//! keeps only its own snap waiting, and is answered by a bounded number at a time; what is sent is
//! bounded, and so is how often a service has the configuration written to the card.

mod answer;
mod words;

use crate::{
    error::{Context, Result},
    manager::Manager,
    paths::Paths,
};
use protocol::control::{InsideRequest, InsideResponse, read_frame, write_frame};
use sandbox::Mount;
use std::{fs, io, os::unix::fs::PermissionsExt, path::Path, rc::Rc, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::{Mutex, Semaphore},
    time::{sleep, timeout},
};

/// Where apps find the socket, as with snapd.
const SOCKET: &str = "/run/snapd-snap.socket";
/// Where apps find the program.
const PROGRAM: &str = "/usr/bin/snapctl";
/// Largest question in bytes.
const MAX_QUESTION: usize = 128 * 1024;
/// A client must ask within this.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two questions of one snap, at least.
const PACE: Duration = Duration::from_millis(2);
/// Questions of one snap that are answered at a time; more wait.
const PLACES: usize = 8;
/// Between two changes of its configuration by services, at least.
const WRITING: Duration = Duration::from_millis(200);

/// Who writes for the services of a snap.
type Pen = Rc<Mutex<()>>;

/// What an app sees of it.
pub fn mounts(paths: &Paths, snap: &str) -> Vec<Mount> {
    let bind = |source, target: &str, executable: bool| Mount::Bind {
        source,
        target: target.into(),
        writable: !executable,
        executable,
    };
    let (socket, program) = (paths.inside(snap), paths.snapctl());
    let mut mounts = Vec::new();
    if socket.exists() {
        mounts.push(bind(socket, SOCKET, false));
    }
    if program.exists() {
        mounts.push(bind(program, PROGRAM, true));
    }
    mounts
}

/// Makes a socket of a snap, for its user alone.
pub fn listen(path: &Path, uid: u32) -> Result<UnixListener> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).at("make directory", folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).at("set mode of", folder)?;
    crate::data::remove(path)?;
    let listener = UnixListener::bind(path).at("bind", path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).at("set mode of", path)?;
    std::os::unix::fs::chown(path, Some(uid), Some(uid)).at("set owner of", path)?;
    Ok(listener)
}

/// Answers the questions of a snap, for ever.
pub async fn serve(listener: UnixListener, manager: Rc<Manager>, snap: String) {
    let (places, pen) = (Arc::new(Semaphore::new(PLACES)), Pen::default());
    loop {
        let Ok(one) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                // One that waits for its services to stop must not keep a second one from asking.
                let (manager, snap, pen) = (manager.clone(), snap.clone(), pen.clone());
                tokio::task::spawn_local(async move {
                    if let Err(error) = converse(stream, &manager, &snap, &pen).await {
                        eprintln!("{snap}: snapctl: {error}");
                    }
                    drop(one);
                });
            }
            Err(error) => {
                eprintln!("{snap}: snapctl: {error}");
                sleep(PATIENCE).await;
            }
        }
        sleep(PACE).await;
    }
}

async fn converse(
    mut stream: UnixStream,
    manager: &Rc<Manager>,
    snap: &str,
    pen: &Pen,
) -> io::Result<()> {
    let mut frame = vec![0; 4];
    timeout(PATIENCE, stream.read_exact(&mut frame)).await??;
    let length = u32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize;
    if length > MAX_QUESTION {
        return Err(io::Error::other(format!("a question of {length} bytes")));
    }
    frame.resize(4 + length, 0);
    timeout(PATIENCE, stream.read_exact(&mut frame[4..])).await??;
    let request: InsideRequest = read_frame(&mut frame.as_slice())?;
    let response = match words::parse(&request.words) {
        Ok(asked) => answer::answer(manager, snap, &request.cookie, pen, asked).await,
        Err(why) => InsideResponse { code: 1, out: String::new(), err: format!("error: {why}\n") },
    };
    let mut frame = Vec::new();
    write_frame(&mut frame, &response)?;
    timeout(PATIENCE, stream.write_all(&frame)).await?
}
