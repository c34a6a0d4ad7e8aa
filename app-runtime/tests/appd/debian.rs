//! Programs of Debian's that the tests run without installing their packages, which would start
//! daemons.

use crate::bench::{online, run};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

/// Two tests may want the same program.
static FETCHING: Mutex<()> = Mutex::new(());

/// A program of a package, fetched by apt and unpacked below `target`.
pub fn program(package: &str, path: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(package);
    let program = folder.join("root").join(path);
    let _turn = FETCHING.lock().unwrap_or_else(PoisonError::into_inner);
    if !program.exists() {
        fs::create_dir_all(&folder).unwrap();
        // A new machine may have no lists of packages yet.
        let get = format!("apt-get -q download {package}");
        let script = format!("{get} || {{ apt-get -q update; {get}; }}");
        run(online(&script).current_dir(&folder));
        let files = fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.path());
        let file = files.into_iter().find(|p| p.extension().is_some_and(|e| e == "deb")).unwrap();
        let part = folder.join("part");
        run(Command::new("dpkg-deb").arg("-x").arg(&file).arg(&part));
        fs::remove_file(file).unwrap();
        fs::rename(part, folder.join("root")).unwrap();
    }
    program
}
