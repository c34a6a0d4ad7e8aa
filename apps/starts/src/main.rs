//! `starts BUSYBOX FOLDER CGROUP ROUNDS`: starts by fork and exec and by us, in turns, and prints
//! `starts: plain MICROSECONDS, ours MICROSECONDS, beside KIB`, medians.

use starts::{make_root, median, ours, plain};
use std::{io, path::PathBuf, process::ExitCode, time::Duration};

fn main() -> ExitCode {
    match run() {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("starts: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<String> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [busybox, folder, cgroup, rounds] = words.as_slice() else {
        return Err(io::Error::other("usage: starts BUSYBOX FOLDER CGROUP ROUNDS"));
    };
    let (busybox, root) = (PathBuf::from(busybox), PathBuf::from(folder));
    let cgroup = PathBuf::from(cgroup);
    let rounds: usize = rounds.parse().map_err(io::Error::other)?;
    make_root(&root, &busybox)?;
    let (mut alone, mut confined, mut beside) = (Vec::new(), Vec::new(), 0);
    for round in 0..rounds {
        let started = plain(&busybox)?;
        alone.push(started.took);
        started.end();
        let started = ours(&root, &cgroup)?;
        confined.push(started.took);
        if round == 0 {
            beside = started.beside()?;
        }
        started.end();
    }
    let micros = |times: &mut [Duration]| median(times).unwrap_or_default().as_micros();
    let (alone, confined) = (micros(&mut alone), micros(&mut confined));
    Ok(format!("starts: plain {alone}, ours {confined}, beside {beside}"))
}
