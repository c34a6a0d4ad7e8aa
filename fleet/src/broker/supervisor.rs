//! Keeps mosquitto running: started again with back-off when it dies, ended with the server.
//!
//! What it never does: end a process that it did not start itself; start a second one while the
//! first runs; give up.

use super::config::BrokerConfig;
use super::prctl::end_with_parent;
use crate::error::Error;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// First pause before a restart; doubled each time, up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(15);
/// A broker that ran this long begins with the first pause again.
const STEADY: Duration = Duration::from_secs(30);
/// How often the child is looked at.
const POLL: Duration = Duration::from_millis(50);
/// How long mosquitto may take to write its database before it is killed.
const GRACE: Duration = Duration::from_secs(5);
/// Directories searched after those of PATH: an ordinary user's PATH lacks them.
const SYSTEM_DIRS: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

enum Order {
    /// End the child and start it anew: it reads revocations at start only.
    Restart,
    /// End the child and the thread.
    Stop,
}

/// Handle of the thread that owns the child.
pub struct Supervisor {
    orders: Sender<Order>,
    thread: Option<JoinHandle<()>>,
}

/// The broker's program, or an error that names the package to install.
pub fn find_mosquitto() -> Result<PathBuf, Error> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(SYSTEM_DIRS.iter().map(PathBuf::from))
        .map(|dir| dir.join("mosquitto"))
        .find(|candidate| candidate.is_file())
        .ok_or(Error::BrokerMissing)
}

impl Supervisor {
    /// Writes the configuration and starts the broker.
    pub fn start(config: &BrokerConfig) -> Result<Self, Error> {
        let program = find_mosquitto()?;
        let conf = config.write()?;
        let log_path = config.log_path();
        let log = File::create(&log_path).map_err(Error::file("create", &log_path))?;
        let (orders, inbox) = channel();
        let thread = std::thread::Builder::new()
            .name("mosquitto".into())
            .spawn(move || supervise(&program, &conf, &log, &inbox))
            .map_err(|e| Error::Broker(format!("start its thread: {e}")))?;
        Ok(Self { orders, thread: Some(thread) })
    }

    /// Starts the broker anew, with the revocation list as it is now.
    pub fn restart(&self) {
        // The thread ends only with the supervisor.
        let _ = self.orders.send(Order::Restart);
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The thread: one child at a time. It spawns the child itself, so the child ends with it.
fn supervise(program: &Path, conf: &Path, log: &File, inbox: &Receiver<Order>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let started = Instant::now();
        let ended = match spawn(program, conf, log) {
            Ok(mut child) => match watch(&mut child, inbox) {
                Some(order) => {
                    end(&mut child);
                    if matches!(order, Order::Stop) {
                        return;
                    }
                    pause = FIRST_PAUSE;
                    continue;
                }
                None => format!("{:?}", child.wait()),
            },
            Err(error) => error.to_string(),
        };
        if started.elapsed() > STEADY {
            pause = FIRST_PAUSE;
        }
        eprintln!("fleet: mosquitto ended ({ended}); starting it again in {pause:?}");
        match inbox.recv_timeout(pause) {
            Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            Ok(Order::Restart) | Err(RecvTimeoutError::Timeout) => {}
        }
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

fn spawn(program: &Path, conf: &Path, log: &File) -> std::io::Result<Child> {
    let (out, err) = (log.try_clone()?, log.try_clone()?);
    let mut command = Command::new(program);
    command.arg("-c").arg(conf).stdin(Stdio::null()).stdout(out).stderr(err);
    end_with_parent(&mut command).spawn()
}

/// Until the child ends (`None`) or an order comes.
fn watch(child: &mut Child, inbox: &Receiver<Order>) -> Option<Order> {
    loop {
        if !matches!(child.try_wait(), Ok(None)) {
            return None;
        }
        match inbox.recv_timeout(POLL) {
            Ok(order) => return Some(order),
            Err(RecvTimeoutError::Disconnected) => return Some(Order::Stop),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Asks the child to end, which has it write its database; then makes it.
fn end(child: &mut Child) {
    // Not waited for yet, so the id is still the child's.
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::TERM);
    }
    let deadline = Instant::now() + GRACE;
    while Instant::now() < deadline {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(POLL);
    }
    let _ = child.kill();
    let _ = child.wait();
}
