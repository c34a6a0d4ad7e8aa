//! More than a share, until it is refused.

use crate::sys_attempts;
use std::{
    env,
    fs::File,
    io,
    process::{Child, Command, Stdio},
};

/// More processes than any app needs.
const MANY: usize = 2000;
/// Bytes that the hog takes at a time, and how often: more than a gateway has.
const BLOCK: usize = 8 << 20;
const BLOCKS: usize = 256;
/// Bytes that the filler takes at a time.
const PIECE: i64 = 16 << 20;
/// Bytes that it leaves for its log.
const ROOM: i64 = 1 << 20;
/// Lines of the flood: some megabytes.
const LINES: usize = 100_000;

/// Starts processes that wait, each of which would start more.
pub fn bomb() {
    let mut children: Vec<Child> = Vec::new();
    let own = env::current_exe().unwrap_or_default();
    let why = loop {
        // Waits for its input, which never comes.
        match Command::new(&own).arg("wait").stdin(Stdio::piped()).spawn() {
            Ok(child) => children.push(child),
            Err(error) => break Some(error),
        }
        if children.len() == MANY {
            break None;
        }
    };
    let count = children.len();
    match why {
        Some(error) => println!("bomb: refused after {count}: {error}"),
        None => println!("bomb: {count} GOT THROUGH"),
    }
    for mut child in children {
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Waits until its input ends.
pub fn wait() {
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
}

/// Takes memory, and uses it.
pub fn hog() {
    let mut taken: Vec<Vec<u8>> = Vec::new();
    for _ in 0..BLOCKS {
        taken.push(vec![1; BLOCK]);
    }
    println!("hog: {} MiB GOT THROUGH", taken.iter().map(Vec::len).sum::<usize>() >> 20);
}

/// Takes all that there is on the disk, without writing it.
pub fn filler() {
    let path = format!("{}/full", env::var("SNAP_COMMON").unwrap_or_default());
    let file = match File::create(&path) {
        Ok(file) => file,
        Err(error) => return println!("filler: {error}"),
    };
    let mut size: i64 = 0;
    let mut piece = PIECE;
    while piece >= 4096 {
        match sys_attempts::allocate(&file, size, piece) {
            Ok(()) => size += piece,
            Err(_) => piece /= 4,
        }
    }
    // A log that finds no room is lost: a little of it is given back.
    let _ = file.set_len(u64::try_from(size - ROOM).unwrap_or_default());
    println!("filler: has {} MiB, and no more", size >> 20);
}

/// Prints as fast as it can.
pub fn flood() {
    for line in 0..LINES {
        println!("flood: line {line} of {LINES}, and each is as long as it takes to be a nuisance");
    }
}
