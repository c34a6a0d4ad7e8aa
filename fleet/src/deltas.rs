//! Deltas between releases: made on demand by one thread, kept in a bounded directory.
//!
//! Invariants:
//! - a file under its pair's name is complete: it was synced and renamed;
//! - the directory holds at most the limit, and the delta made last; what was fetched longest ago
//!   goes first;
//! - one delta is made at a time, and at most [`MAX_WAITING`] wait: who asks costs no more.
//!
//! Nothing here is trusted by a device, so no key is needed.

use crate::error::Error;
use crate::feed::{Feed, News};
use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::SystemTime;

/// Bytes of deltas kept.
pub const LIMIT: u64 = 1 << 30;
/// Pairs that may wait to be made.
pub const MAX_WAITING: usize = 64;
/// Failures that are remembered; a restart forgets them, too.
const MAX_FAILED: usize = 256;
/// Ending of a file that is being written.
const PARTIAL: &str = ".part";
/// Scheduling priority of the thread: requests come first.
const NICE: i32 = 10;

/// Digests of the manifests of the release that a device runs and of the one it shall run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    /// What runs.
    pub from: String,
    /// What shall run.
    pub to: String,
}

/// Where a delta stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It can be fetched.
    Ready {
        /// Where it lies.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
    /// It is being made, or waits for that.
    Making {
        /// Chunks done.
        done: u32,
        /// Chunks in all; 0 while it waits.
        total: u32,
    },
    /// It cannot be made, or too many wait.
    None,
}

/// What is to be made from what.
#[derive(Debug, Clone)]
struct Job {
    pair: Pair,
    old: PathBuf,
    new: PathBuf,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Job>,
    making: Option<(Pair, u32, u32)>,
    failed: BTreeMap<Pair, String>,
    stopped: bool,
}

struct Shared {
    dir: PathBuf,
    limit: u64,
    queue: Mutex<Queue>,
    changed: Condvar,
    feed: Feed,
}

/// The directory of deltas and the thread that fills it; dropping it ends the thread.
pub struct Deltas {
    shared: Arc<Shared>,
    maker: Option<JoinHandle<()>>,
}

impl Drop for Deltas {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
        if let Some(maker) = self.maker.take() {
            // It ends after the chunk it is at; a panic of it was printed.
            let _ = maker.join();
        }
    }
}

impl Deltas {
    /// Opens the directory and starts the thread. `limit`: bytes kept.
    pub fn open(dir: &Path, limit: u64, feed: Feed) -> Result<Self, Error> {
        fs::create_dir_all(dir).map_err(Error::file("make directory", dir))?;
        for entry in fs::read_dir(dir).map_err(Error::file("list", dir))?.flatten() {
            if entry.file_name().to_string_lossy().ends_with(PARTIAL) {
                let path = entry.path();
                fs::remove_file(&path).map_err(Error::file("remove", &path))?;
            }
        }
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            limit,
            queue: Mutex::default(),
            changed: Condvar::new(),
            feed,
        });
        let work = shared.clone();
        let maker = std::thread::Builder::new().name("deltas".into()).spawn(move || work.run());
        let maker = maker.map_err(|e| Error::Internal(format!("thread of deltas: {e}")))?;
        Ok(Self { shared, maker: Some(maker) })
    }

    /// The delta, which begins to be made when it is not there: from these two payload containers.
    pub fn ask(&self, pair: &Pair, old: &Path, new: &Path) -> Standing {
        let mut queue = self.shared.lock();
        let standing = self.shared.standing(&queue, pair);
        if standing != Standing::None {
            return standing;
        }
        if queue.failed.contains_key(pair) || queue.waiting.len() >= MAX_WAITING {
            return Standing::None;
        }
        let job = Job { pair: pair.clone(), old: old.to_owned(), new: new.to_owned() };
        queue.waiting.push_back(job);
        self.shared.changed.notify_all();
        Standing::Making { done: 0, total: 0 }
    }

    /// Where a delta stands; nothing is begun.
    pub fn standing(&self, pair: &Pair) -> Standing {
        self.shared.standing(&self.shared.lock(), pair)
    }

    /// A delta is about to be fetched: it is not the next to go.
    pub fn touch(&self, path: &Path) {
        // One that cannot be marked goes earlier; that is all.
        let _ = File::open(path).and_then(|file| file.set_modified(SystemTime::now()));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Each change of the queue is whole, also when a panic came after it.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, pair: &Pair) -> PathBuf {
        self.dir.join(format!("{}-{}", pair.from, pair.to))
    }

    /// The queue first: what left it is on the disk by then.
    fn standing(&self, queue: &Queue, pair: &Pair) -> Standing {
        match &queue.making {
            Some((making, done, total)) if making == pair => {
                return Standing::Making { done: *done, total: *total };
            }
            _ if queue.waiting.iter().any(|job| job.pair == *pair) => {
                return Standing::Making { done: 0, total: 0 };
            }
            _ => {}
        }
        let path = self.path(pair);
        match fs::metadata(&path) {
            Ok(meta) => Standing::Ready { path, size: meta.len() },
            Err(_) => Standing::None,
        }
    }

    fn run(&self) {
        // Only less polite without.
        let _ = rustix::process::setpriority_process(None, NICE);
        while let Some(job) = self.next() {
            let made = self.make(&job);
            let mut queue = self.lock();
            queue.making = None;
            if let Err(why) = made {
                eprintln!("fleet: delta {} to {}: {why}", job.pair.from, job.pair.to);
                if queue.failed.len() < MAX_FAILED {
                    queue.failed.insert(job.pair, why.to_string());
                }
            }
            drop(queue);
            self.feed.tell(News::Releases);
        }
    }

    /// Waits for something to make; `None`: no more.
    fn next(&self) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            if queue.stopped {
                return None;
            }
            if let Some(job) = queue.waiting.pop_front() {
                queue.making = Some((job.pair.clone(), 0, 0));
                return Some(job);
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn make(&self, job: &Job) -> Result<(), Error> {
        let read = |path: &Path| fs::read(path).map_err(Error::file("read", path));
        let (old, new) = (read(&job.old)?, read(&job.new)?);
        let made = delta::make(&old, &new, |done, total| {
            let mut queue = self.lock();
            queue.making = Some((job.pair.clone(), done, total));
            !queue.stopped
        });
        let made = made.map_err(|e| Error::Internal(format!("make a delta: {e}")))?;
        let Some(bytes) = made else { return Ok(()) };
        let path = self.path(&job.pair);
        let partial = path.with_extension(&PARTIAL[1..]);
        let mut file = File::create(&partial).map_err(Error::file("create", &partial))?;
        file.write_all(&bytes).map_err(Error::file("write", &partial))?;
        file.sync_all().map_err(Error::file("sync", &partial))?;
        fs::rename(&partial, &path).map_err(Error::file("rename to", &path))?;
        self.shrink(&path)
    }

    /// Removes what was fetched longest ago, but for `keep`.
    fn shrink(&self, keep: &Path) -> Result<(), Error> {
        let entries = fs::read_dir(&self.dir).map_err(Error::file("list", &self.dir))?;
        let mut files: Vec<(SystemTime, PathBuf, u64)> = entries
            .flatten()
            .filter_map(|entry| {
                let meta = entry.metadata().ok()?;
                Some((meta.modified().ok()?, entry.path(), meta.len()))
            })
            .collect();
        files.sort();
        let mut total: u64 = files.iter().map(|(_, _, size)| size).sum();
        for (_, path, size) in files.iter().filter(|(_, path, _)| path != keep) {
            if total <= self.limit {
                break;
            }
            fs::remove_file(path).map_err(Error::file("remove", path))?;
            total -= size;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::payload;
    use std::time::Duration;

    fn pair(from: &str) -> Pair {
        Pair { from: from.into(), to: "to".into() }
    }

    fn wait(deltas: &Deltas, pair: &Pair) -> Standing {
        loop {
            match deltas.standing(pair) {
                Standing::Making { .. } => std::thread::sleep(Duration::from_millis(5)),
                standing => return standing,
            }
        }
    }

    #[test]
    fn the_directory_is_bounded_and_what_is_fetched_stays() {
        let dir = std::env::temp_dir().join(format!("deltas-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("deltas")).expect("directory");
        fs::write(dir.join("deltas/x-y.part"), "torn").expect("write");
        let payload = |name: &str, byte: u8| {
            let path = dir.join(name);
            fs::write(&path, payload::encode(&vec![byte; 1 << 20], 1).expect("payload"))
                .expect("write");
            path
        };
        let (old, new) = (payload("old", 1), payload("new", 2));
        let bad = dir.join("bad");
        fs::write(&bad, "not a payload").expect("write");
        let size = delta::make(&fs::read(&old).unwrap(), &fs::read(&new).unwrap(), |_, _| true);
        let size = size.expect("makes").expect("made").len() as u64;
        let deltas = Deltas::open(&dir.join("deltas"), 2 * size, Feed::default()).expect("opens");
        assert!(!dir.join("deltas/x-y.part").exists(), "what was torn is gone");

        assert_eq!(deltas.standing(&pair("1")), Standing::None, "nobody asked");
        for from in ["1", "2", "3"] {
            assert!(matches!(deltas.ask(&pair(from), &old, &new), Standing::Making { .. }));
            let Standing::Ready { path, size: got } = wait(&deltas, &pair(from)) else {
                panic!("{from} is not made")
            };
            assert_eq!(got, size);
            std::thread::sleep(Duration::from_millis(20));
            if let Standing::Ready { path: first, .. } = deltas.standing(&pair("1")) {
                deltas.touch(&first);
            }
            std::thread::sleep(Duration::from_millis(20));
            assert!(path.exists());
        }
        assert!(matches!(deltas.standing(&pair("1")), Standing::Ready { .. }), "fetched last");
        assert_eq!(deltas.standing(&pair("2")), Standing::None, "longest ago");
        assert!(matches!(deltas.standing(&pair("3")), Standing::Ready { .. }));

        assert!(matches!(deltas.ask(&pair("bad"), &bad, &new), Standing::Making { .. }));
        assert_eq!(wait(&deltas, &pair("bad")), Standing::None);
        assert_eq!(deltas.ask(&pair("bad"), &bad, &new), Standing::None, "not tried for ever");
        drop(deltas);
        fs::remove_dir_all(&dir).expect("remove");
    }
}
