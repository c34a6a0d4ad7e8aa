//! Our own coder and decoder, each as a program of its own so that it is measured as the others.
//!
//! The file is what a device downloads, for images of any size, and needs no signed manifest beside
//! it, as those of the other tools do not: a byte for a kind and four for a size, then the bytes.
//! Chunks that the old image has one after the other are one place and their number.

use super::pairs::Pair;
use super::{Row, measured, same, size, text};
use crate::error::{Error, Result, file};
use delta::Coder;
use protocol::delta::decode;
use protocol::payload::{Decoder, compress_chunk, zero_chunk};
use protocol::release::CHUNK_SIZE;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

const SIZE: usize = CHUNK_SIZE as usize;
/// Level of whole chunks, as the image builder's.
const LEVEL: i32 = 19;
const COPY: u8 = 0;
const PATCH: u8 = 1;
const WHOLE: u8 = 2;

fn refused(error: protocol::Error) -> Error {
    Error::Story(format!("delta: {error}"))
}

/// Makes and applies a delta of a pair.
pub fn measure(pair: &Pair, work: &Path) -> Result<Row> {
    let program = std::env::current_exe().map_err(file("find", "bench"))?;
    let program = text(&program);
    let (coded, out) = (work.join("holdfast"), work.join("holdfast.out"));
    let (old, new) = (text(&pair.old), text(&pair.new));
    let make = measured(program, &["delta-make", old, new, text(&coded)], work)?;
    let apply = measured(program, &["delta-apply", old, text(&coded), text(&out)], work)?;
    same(&out, pair)?;
    Ok(Row { name: "holdfast", download: size(&coded)?, make, apply })
}

/// `delta-make OLD NEW DELTA`
pub fn make(old: &Path, new: &Path, to: &Path) -> Result {
    let old = fs::read(old).map_err(file("read", old))?;
    let coder = Coder::new(&old);
    let places: HashMap<&[u8], u32> = old.chunks_exact(SIZE).zip(0..).collect();
    let mut input = File::open(new).map_err(file("open", new))?;
    let mut out = File::create(to).map_err(file("create", to))?;
    let mut chunk = vec![0; SIZE];
    let chunks = size(new)? / SIZE as u64;
    // Place and number of the chunks that are to be copied next.
    let mut run: Option<(u32, u32)> = None;
    for number in 0..chunks {
        input.read_exact(&mut chunk).map_err(file("read", new))?;
        let place = places.get(chunk.as_slice()).copied();
        // The same bytes may lie in several places: that which goes on comes first.
        let goes_on = |(from, count): (u32, u32)| {
            let at = (from + count) as usize * SIZE;
            old.get(at..at + SIZE) == Some(chunk.as_slice())
        };
        match run.as_mut().filter(|run| goes_on(**run)) {
            Some((_, count)) => *count += 1,
            None => {
                write_run(run, &mut out).map_err(file("write", to))?;
                run = place.map(|place| (place, 1));
            }
        }
        if place.is_none() {
            let whole = compress_chunk(&chunk, LEVEL).map_err(refused)?;
            let coded = coder.code(&chunk, number * SIZE as u64, whole.len()).map_err(refused)?;
            let (kind, bytes) = coded.map_or((WHOLE, whole), |coded| (PATCH, coded));
            write(kind, &bytes, &mut out).map_err(file("write", to))?;
        }
    }
    write_run(run, &mut out).map_err(file("write", to))
}

fn write_run(run: Option<(u32, u32)>, out: &mut File) -> std::io::Result<()> {
    run.map_or(Ok(()), |(from, count)| {
        write(COPY, &[from, count].map(u32::to_le_bytes).concat(), out)
    })
}

fn write(kind: u8, bytes: &[u8], out: &mut File) -> std::io::Result<()> {
    out.write_all(&[&[kind], &(bytes.len() as u32).to_le_bytes()[..], bytes].concat())
}

/// `delta-apply OLD DELTA NEW`, as a device does it: chunk by chunk, reading the old image as it
/// needs it.
pub fn apply(old: &Path, coded: &Path, to: &Path) -> Result {
    let running = File::open(old).map_err(file("open", old))?;
    let old_size = size(old)?;
    let length = size(coded)?;
    let mut input = BufReader::new(File::open(coded).map_err(file("open", coded))?);
    let mut out = File::create(to).map_err(file("create", to))?;
    let mut decoder = Decoder::new().map_err(refused)?;
    let (mut chunk, mut plain, mut bytes) = (zero_chunk(), Vec::new(), Vec::new());
    let mut done = 0;
    while done < length {
        let mut head = [0; 5];
        input.read_exact(&mut head).map_err(file("read", coded))?;
        let [kind, count @ ..] = head;
        bytes.resize(u32::from_le_bytes(count) as usize, 0);
        input.read_exact(&mut bytes).map_err(file("read", coded))?;
        done += (head.len() + bytes.len()) as u64;
        let mut read = |at: u64, into: &mut [u8]| running.read_exact_at(into, at).is_ok();
        match (kind, bytes.as_slice()) {
            (COPY, [from @ .., a, b, c, d]) if from.len() == 4 => {
                let from = u32::from_le_bytes([0, 1, 2, 3].map(|i| from[i]));
                for place in from..from + u32::from_le_bytes([*a, *b, *c, *d]) {
                    let at = u64::from(place) * SIZE as u64;
                    running.read_exact_at(&mut chunk[..], at).map_err(file("read", old))?;
                    out.write_all(&chunk[..]).map_err(file("write", to))?;
                }
                continue;
            }
            (PATCH, coded) => {
                decode(&mut decoder, &mut plain, coded, old_size, &mut read, &mut chunk)
                    .map_err(refused)?;
            }
            (WHOLE, whole) => decoder.decode(whole, &mut chunk).map_err(refused)?,
            _ => return Err(Error::Story(format!("delta: chunk of kind {kind}"))),
        }
        out.write_all(&chunk[..]).map_err(file("write", to))?;
    }
    Ok(())
}
