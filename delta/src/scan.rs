//! A chunk as operations on a window, after Colin Percival's bsdiff ("Naive differences of
//! executable code", 2003): exact runs are found by suffix, then stretched over bytes that differ
//! here and there, as code does whose addresses moved.

use crate::suffixes::Suffixes;
use crate::window::Window;
use protocol::delta::Operation;

/// Bytes by which a run must be longer than what the last place goes on to match, to leave it.
const BETTER_BY: usize = 8;

/// Bytes of the chunk from `new` on, beside bytes of the window from `old` on.
#[derive(Debug, Clone, Copy, Default)]
struct Match {
    new: usize,
    old: usize,
    length: usize,
}

/// The whole chunk as operations.
pub fn operations(window: &Window, chunk: &[u8]) -> Vec<Operation> {
    let suffixes = Suffixes::new(&window.bytes);
    let mut scan = Scan { suffixes: &suffixes, chunk, at: Match::default() };
    let mut operations = Vec::new();
    let mut last = Match::default();
    loop {
        let next = scan.next(last);
        let (reach, back) = scan.stretch(last, next);
        let start = next.new - back;
        let insert = start - (last.new + reach);
        append(&mut operations, window, Match { length: reach, ..last }, insert);
        if next.new == chunk.len() {
            return operations;
        }
        last = Match { new: start, old: next.old - back, length: next.length + back };
    }
}

/// Adds an operation; one that spans parts of the window which are apart in the image is several.
fn append(operations: &mut Vec<Operation>, window: &Window, patch: Match, insert: usize) {
    let mut done = 0;
    while done < patch.length {
        let (old, run) = window.origin(patch.old + done);
        let length = run.min(patch.length - done);
        operations.push(Operation { old, patch: length as u32, insert: 0 });
        done += length;
    }
    match operations.last_mut() {
        Some(last) => last.insert += insert as u32,
        None if insert == 0 => {}
        None => operations.push(Operation { old: 0, patch: 0, insert: insert as u32 }),
    }
}

struct Scan<'a> {
    suffixes: &'a Suffixes<'a>,
    chunk: &'a [u8],
    /// The run that was looked at last.
    at: Match,
}

impl Scan<'_> {
    /// Whether a byte of the chunk is what the window has at the place where `last` goes on.
    fn goes_on(&self, last: Match, new: usize) -> bool {
        let old = (new + last.old).checked_sub(last.new);
        old.and_then(|old| self.suffixes.text().get(old)) == self.chunk.get(new)
    }

    /// The next run that is worth leaving `last` for; at the chunk's end: one of length 0.
    fn next(&mut self, last: Match) -> Match {
        let mut new = self.at.new + self.at.length;
        let (mut counted, mut score) = (new, 0);
        while new < self.chunk.len() {
            let (old, length) = self.suffixes.longest(&self.chunk[new..]);
            for byte in counted..new + length {
                score += usize::from(self.goes_on(last, byte));
            }
            counted = counted.max(new + length);
            if length == score && length > 0 {
                // The last place matches all of it, too: skip it.
                new += length;
                (counted, score) = (new, 0);
                continue;
            }
            if length > score + BETTER_BY {
                self.at = Match { new, old, length };
                return self.at;
            }
            if counted > new {
                score -= usize::from(self.goes_on(last, new));
            }
            new += 1;
            counted = counted.max(new);
        }
        self.at = Match { new: self.chunk.len(), old: 0, length: 0 };
        self.at
    }

    /// How far `last` reaches forward and `next` back: most bytes match, and none is in both.
    fn stretch(&self, last: Match, next: Match) -> (usize, usize) {
        let old = self.suffixes.text();
        let gap = &self.chunk[last.new..next.new];
        let ahead = &old[last.old.min(old.len())..];
        let reach = best(gap.iter().zip(ahead));
        let behind = &old[..next.old];
        let back = match next.length {
            0 => 0,
            _ => best(gap.iter().rev().zip(behind.iter().rev())),
        };
        let Some(overlap) = (reach + back).checked_sub(gap.len()).filter(|n| *n > 0) else {
            return (reach, back);
        };
        // Each byte of the overlap goes to the side that matches more with it.
        let from = reach - overlap;
        let (mut gain, mut most, mut keep) = (0_isize, 0, 0);
        for at in 0..overlap {
            let byte = gap[from + at];
            gain += isize::from(ahead[from + at] == byte);
            gain -= isize::from(old[next.old - back + at] == byte);
            if gain > most {
                (most, keep) = (gain, at + 1);
            }
        }
        (from + keep, back - keep)
    }
}

/// Length of the beginning in which matching bytes outweigh the others by most.
fn best<'a>(pairs: impl Iterator<Item = (&'a u8, &'a u8)>) -> usize {
    let (mut score, mut most, mut length) = (0_isize, 0, 0);
    for (at, (a, b)) in pairs.enumerate() {
        score += if a == b { 1 } else { -1 };
        if score > most {
            (most, length) = (score, at + 1);
        }
    }
    length
}
