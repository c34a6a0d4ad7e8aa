//! What an update is made of: chunk index and chunks, deltas, the boot environment.
//!
//! Compression and check sums would keep a fuzzer outside. So each target also takes its bytes as
//! what is inside, and compresses or sums them itself.

use crate::mode;
use bootloader_config::environment::{Environment, RawCopy};
use bootloader_config::layout::ENV_SIZE;
use bootloader_config::panics::Panics;
use bootloader_config::rollback::Marks;
use bootloader_config::slots::{SlotState, decide};
use protocol::delta::{self as coded, Operation};
use protocol::payload::{Chunk, Decoder, Index, Kind, zero_chunk};
use protocol::release::CHUNK_SIZE;
use std::cell::RefCell;

const CHUNK: usize = CHUNK_SIZE as usize;
/// Bytes before the data of a copy of the environment: check sum and serial number.
const ENV_HEADER: usize = 5;
/// Bytes before the variables in an input of [`environment`].
pub const PREFIX: usize = 3;
/// Size of the image that deltas are made from: above a chunk, no multiple of anything.
const OLD: usize = CHUNK + 4099;

/// What decoding needs, allocated once.
struct Room {
    decoder: Decoder,
    plain: Vec<u8>,
    chunk: Box<Chunk>,
    old: Vec<u8>,
}

thread_local! {
    static ROOM: RefCell<Room> = RefCell::new(Room {
        decoder: Decoder::new().expect("a decoder"),
        plain: Vec::new(),
        chunk: zero_chunk(),
        old: (0..OLD).map(|at| (at ^ at >> 8) as u8).collect(),
    });
}

impl Room {
    /// Decodes a delta; whatever it says, the old image is read within its bounds only.
    fn patch(&mut self, bytes: &[u8]) -> bool {
        let old = &self.old;
        let mut read = |at: u64, into: &mut [u8]| {
            let from = at as usize;
            into.copy_from_slice(&old[from..from + into.len()]);
            true
        };
        let (decoder, plain, chunk) = (&mut self.decoder, &mut self.plain, &mut self.chunk);
        coded::decode(decoder, plain, bytes, old.len() as u64, &mut read, chunk).is_ok()
    }
}

/// A coded chunk: as it came; as the operations of one whose bytes are all there; as operations to
/// encode.
pub fn delta(data: &[u8]) {
    let Some((mode, rest)) = mode(data) else { return };
    ROOM.with_borrow_mut(|room| match mode % 4 {
        0 => drop(room.patch(rest)),
        1 => drop(room.patch(&frame(rest))),
        2 => {
            let Some((patched, control)) = rest.split_first_chunk() else { return };
            let patched = u32::from_le_bytes(*patched);
            let sizes = [control.len() as u32, patched].map(u32::to_le_bytes).concat();
            let mut plain = [&sizes, control].concat();
            plain.resize(plain.len() + CHUNK, 0x55);
            room.patch(&frame(&plain));
        }
        _ => encoded(rest, room),
    });
}

/// The method's byte and one zstd frame.
fn frame(plain: &[u8]) -> Vec<u8> {
    let frame = zstd::bulk::compress(plain, 1).expect("memory for a frame");
    [&[coded::PATCH], frame.as_slice()].concat()
}

/// Operations of seven bytes each, cut to the images, the last one inserting what is left over:
/// what is encoded decodes to the same chunk.
fn encoded(data: &[u8], room: &mut Room) {
    let mut chunk = vec![0xaa; CHUNK];
    let (mut operations, mut left) = (Vec::new(), CHUNK);
    for bytes in data.chunks_exact(7) {
        let number = |at: usize| usize::from(bytes[at]) | usize::from(bytes[at + 1]) << 8;
        let old = (number(0) << 5 | usize::from(bytes[6])) % OLD;
        let patch = (number(2) << 2).min(OLD - old).min(left);
        let insert = number(4).min(left - patch);
        chunk[CHUNK - left..][..patch].copy_from_slice(&room.old[old..old + patch]);
        chunk[CHUNK - left] ^= bytes[6];
        left -= patch + insert;
        operations.push(Operation { old: old as u64, patch: patch as u32, insert: insert as u32 });
        if left == 0 {
            break;
        }
    }
    operations.push(Operation { old: 0, patch: 0, insert: left as u32 });
    if operations.len() > coded::MAX_OPERATIONS {
        return;
    }
    let bytes = coded::encode(&operations, &room.old, &chunk, 1).expect("they cover the chunk");
    assert!(room.patch(&bytes), "what was encoded");
    assert!(room.chunk[..] == chunk[..], "another chunk came back");
}

/// An index of either kind, and a compressed chunk.
pub fn payload(data: &[u8]) {
    for kind in [Kind::Whole, Kind::Delta] {
        let Ok(index) = Index::parse(kind, data) else { continue };
        assert_eq!(index.encode(), data, "an index has one encoding");
        assert_eq!(index.image_size(), u64::from(index.chunks()) * u64::from(CHUNK_SIZE));
        let (mut at, end) = (Index::len_for(index.chunks()) as u64, index.container_size());
        for range in (0..index.chunks()).filter_map(|chunk| index.range(chunk)) {
            assert_eq!(range.start, at, "chunks lie without gaps");
            at = range.end;
        }
        assert_eq!(at, end, "and fill the container");
        assert!(index.range(index.chunks()).is_none());
    }
    ROOM.with_borrow_mut(|room| {
        let _ = room.decoder.decode(data, &mut room.chunk);
    });
}

/// Two raw copies as they came, or two whose check sums are right: first byte bit 0 and 1, which
/// copy is summed; then their serial numbers; then the variables of both, in halves.
pub fn environment(data: &[u8]) {
    let Some(([mode, one, two], data)) = data.split_first_chunk::<PREFIX>() else { return };
    let (first, second) = data.split_at(data.len() / 2);
    let first = raw(first, *one, mode & 1 != 0);
    let second = raw(second, *two, mode & 2 != 0);
    // "Could not be read" is a third state.
    let (first, second) =
        ((mode & 4 == 0).then_some(&first[..]), (mode & 8 == 0).then_some(&second[..]));
    assert!(Environment::read(Some(&data[..data.len().min(ENV_SIZE - 1)]), None).is_err());
    let Ok(mut environment) = Environment::read(first, second) else { return };
    stored(&environment);
    let state = SlotState::read(&environment);
    for panics in Panics::all() {
        assert!(decide(&state, panics).choices().count() >= 2, "both slots are tried");
    }
    let _ = (state.counted_down(), Marks::read(&environment));
    if state.write(&mut environment).is_ok() {
        assert_eq!(SlotState::read(&environment), state, "what was written is read");
        stored(&environment);
    }
}

/// What is encoded is what is read, whatever the other copy holds.
fn stored(environment: &Environment) {
    let written = environment.encode();
    let copies = [Some(&written.bytes[..]), None];
    let [first, second] = match written.copy.offset() < written.copy.other().offset() {
        true => copies,
        false => [copies[1], copies[0]],
    };
    let read = Environment::read(first, second).expect("what was encoded");
    assert_eq!(read, environment.clone().stored());
}

fn raw(data: &[u8], serial: u8, summed: bool) -> RawCopy {
    let mut raw = [0; ENV_SIZE];
    let length = data.len().min(ENV_SIZE - ENV_HEADER);
    raw[ENV_HEADER..ENV_HEADER + length].copy_from_slice(&data[..length]);
    raw[4] = serial;
    if summed {
        let sum = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&raw[ENV_HEADER..]);
        raw[..4].copy_from_slice(&sum.to_le_bytes());
    }
    raw
}
