//! Coded and decoded again: every kind of change, and everything that a delta may be in its place.

use delta::Coder;
use protocol::delta::{MAX_CODED, MAX_OPERATIONS, Operation, PATCH, decode, encode};
use protocol::payload::{self, Decoder, Index, Kind, zero_chunk};
use protocol::release::CHUNK_SIZE;

const CHUNK: usize = CHUNK_SIZE as usize;

/// Bytes that look like nothing else, the same for the same seed.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, limit: usize) -> usize {
        self.next() as usize % limit
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

fn decoded(old: &[u8], coded: &[u8]) -> Result<Vec<u8>, protocol::Error> {
    let (mut decoder, mut chunk) = (Decoder::new()?, zero_chunk());
    let mut read = |at: u64, into: &mut [u8]| {
        into.copy_from_slice(&old[at as usize..][..into.len()]);
        true
    };
    let mut plain = Vec::new();
    decode(&mut decoder, &mut plain, coded, old.len() as u64, &mut read, &mut chunk)?;
    Ok(chunk.to_vec())
}

/// A chunk made of pieces of `old` that moved, changed here and there, and new bytes between them.
fn edited(old: &[u8], noise: &mut Noise) -> Vec<u8> {
    let mut new = Vec::new();
    while new.len() < CHUNK {
        let length = 1 + noise.below(60_000);
        match noise.below(4) {
            0 => new.extend(noise.bytes(length / 50)),
            1 => new.extend(vec![noise.next() as u8; length]),
            kind => {
                let from = noise.below(old.len());
                let mut piece = old[from..old.len().min(from + length)].to_vec();
                for at in (0..piece.len()).filter(|_| kind == 3).step_by(40 + noise.below(100)) {
                    piece[at] = piece[at].wrapping_add(4);
                }
                new.extend(piece);
            }
        }
    }
    new.truncate(CHUNK);
    new
}

#[test]
fn any_chunk_comes_back_and_edited_ones_are_small() {
    for seed in 0..12 {
        let mut noise = Noise(seed);
        let blocks = noise.below(64);
        let old = noise.bytes(3 * CHUNK + 4096 * blocks);
        let coder = Coder::new(&old);
        let new = edited(&old, &mut noise);
        let coded = coder.code(&new, 0, CHUNK).unwrap().expect("it is a gain");
        assert!(decoded(&old, &coded).unwrap() == new, "seed {seed}");
        assert!(coded.len() < CHUNK / 8, "seed {seed}: {} bytes", coded.len());
    }
}

/// Most of what a release of ours changes: a few bytes in a chunk.
#[test]
fn a_change_of_a_few_bytes_costs_a_few_bytes() {
    let mut noise = Noise(4);
    let old = noise.bytes(2 * CHUNK);
    let mut new = old[..CHUNK].to_vec();
    new[500_000..500_032].copy_from_slice(&noise.bytes(32));
    let coded = Coder::new(&old).code(&new, 0, CHUNK).unwrap().expect("coded");
    assert!(decoded(&old, &coded).unwrap() == new);
    assert!(coded.len() < 32 + 48, "{} bytes", coded.len());
}

/// Changes in every place where a run without one may begin and end, and more runs than there is
/// room for operations.
#[test]
fn runs_without_a_change_come_back_wherever_they_lie() {
    let mut noise = Noise(5);
    let old = noise.bytes(CHUNK);
    for step in [4095, 4096, 4097, 4098, 8192, CHUNK / 2, CHUNK - 1, CHUNK] {
        for first in [0, 1, 4095, 4096, 4097] {
            let mut new = old.clone();
            (first..CHUNK).step_by(step).for_each(|at| new[at] ^= 1);
            for count in [1, MAX_OPERATIONS - 100, MAX_OPERATIONS] {
                // All but one cover nothing.
                let nothing = Operation { old: 0, patch: 0, insert: 0 };
                let mut operations = vec![nothing; count];
                operations[count - 1] = Operation { old: 0, patch: CHUNK_SIZE, insert: 0 };
                let coded = encode(&operations, &old, &new, 1).unwrap();
                assert!(decoded(&old, &coded).unwrap() == new, "{step} {first} {count}");
            }
        }
    }
}

#[test]
fn what_is_no_gain_is_not_coded() {
    let mut noise = Noise(1);
    let old = noise.bytes(2 * CHUNK);
    let coder = Coder::new(&old);
    let foreign = noise.bytes(CHUNK);
    assert_eq!(coder.code(&foreign, 0, CHUNK).unwrap(), None, "nothing in common");
    assert_eq!(coder.code(&old[CHUNK..], 0, CHUNK).unwrap(), None, "the old image has it");
    let moved = &old[100..100 + CHUNK];
    let coded = coder.code(moved, 0, CHUNK).unwrap().expect("moved");
    assert_eq!(coder.code(moved, 0, coded.len()).unwrap(), None, "not below what is there");
    for old in [&b""[..], b"x", &old[..33]] {
        let zeros = vec![0; CHUNK];
        let coded = Coder::new(old).code(&zeros, 0, CHUNK).unwrap().expect("zeros are small");
        assert!(decoded(old, &coded).unwrap() == zeros);
    }
}

#[test]
fn a_container_has_what_is_a_gain_and_nothing_else() {
    let mut noise = Noise(2);
    let old = noise.bytes(3 * CHUNK);
    let moved = [&noise.bytes(500), &old[..CHUNK - 500]].concat();
    let new = [&old[CHUNK..2 * CHUNK], &moved, &noise.bytes(CHUNK)].concat();
    let containers = [&old, &new].map(|image| payload::encode(image, 1).unwrap());
    let mut seen = Vec::new();
    let made = delta::make(&containers[0], &containers[1], |done, all| {
        seen.push((done, all));
        true
    });
    let made = made.unwrap().expect("not given up");
    assert_eq!(seen, [(0, 3), (1, 3), (2, 3)]);
    let index = Index::parse(Kind::Delta, &made[..Index::len_for(3)]).unwrap();
    assert_eq!((index.range(0), index.range(2)), (None, None));
    let range = index.range(1).unwrap();
    assert_eq!(index.container_size(), made.len() as u64);
    let coded = &made[range.start as usize..range.end as usize];
    assert!(decoded(&old, coded).unwrap() == moved);
    assert!(coded.len() < 1000, "{} bytes", coded.len());
    assert_eq!(delta::make(&containers[0], &containers[1], |done, _| done < 1).unwrap(), None);
    for end in [0, 20, 40, containers[0].len() - 1] {
        assert!(delta::make(&containers[0][..end], &containers[1], |_, _| true).is_err());
    }
}

#[test]
fn hostile_deltas_are_refused_within_bounds() {
    let mut noise = Noise(3);
    let old = noise.bytes(2 * CHUNK);
    let new = edited(&old, &mut noise);
    let good = Coder::new(&old).code(&new, 0, CHUNK).unwrap().expect("coded");
    for length in (0..good.len()).step_by(97).chain(good.len() - 40..good.len()) {
        assert!(decoded(&old, &good[..length]).is_err(), "cut at {length}");
    }
    for _ in 0..300 {
        let mut bytes = good.clone();
        let at = noise.below(bytes.len());
        bytes[at] ^= 1 << noise.below(8);
        // It may decode to something else; the digest of the manifest tells.
        if let Ok(other) = decoded(&old, &bytes) {
            assert_eq!(other.len(), CHUNK);
        }
    }
    assert!(decoded(&old, &good).unwrap() == new);
}

/// A coded chunk with these numbers as operations.
fn crafted(numbers: &[u64], differences: usize, inserted: usize) -> Vec<u8> {
    let mut control = Vec::new();
    for number in numbers {
        let mut rest = *number;
        while rest >= 0x80 {
            control.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        control.push(rest as u8);
    }
    let sizes = [control.len() as u32, differences as u32].map(u32::to_le_bytes).concat();
    let plain = [sizes, control, vec![0; differences + inserted]].concat();
    [vec![PATCH], payload_frame(&plain)].concat()
}

fn payload_frame(plain: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(plain, 1).unwrap()
}

#[test]
fn operations_that_lie_are_refused() {
    let old = vec![7; CHUNK + 10];
    let chunk = CHUNK as u64;
    // As operations are written: copy, patch, insert, seek in zigzag.
    let half = chunk / 2;
    let all_patched = crafted(&[0, chunk, 0, 20], CHUNK, 0);
    let both = crafted(&[half, half, 0, 20], CHUNK / 2, 0);
    for good in [all_patched, both, crafted(&[chunk, 0, 0, 20], 0, 0)] {
        assert_eq!(decoded(&old, &good).unwrap(), vec![7; CHUNK]);
    }
    let cases: [(&str, Vec<u8>); 16] = [
        ("nothing", vec![]),
        ("no frame", vec![PATCH]),
        ("unknown method", vec![PATCH + 1, 0, 0]),
        ("the method before", vec![PATCH - 1, 0, 0]),
        ("before the old image", crafted(&[0, chunk, 0, 1], CHUNK, 0)),
        ("beyond the old image", crafted(&[0, chunk, 0, 22], CHUNK, 0)),
        ("a copy from beyond the old image", crafted(&[chunk, 0, 0, 22], 0, 0)),
        ("far beyond the old image", crafted(&[0, chunk, 0, (1 << 35) - 2], CHUNK, 0)),
        ("a number without end", crafted(&[0, u64::MAX, 0, 0], CHUNK, 0)),
        ("longer than a chunk", crafted(&[0, 0, chunk + 1, 0], 0, CHUNK + 1)),
        ("a copy and a patch that are too long", crafted(&[chunk, 1, 0, 0], 1, 0)),
        ("two halves that are too long", crafted(&[0, chunk, 1, 0], CHUNK, 1)),
        ("shorter than a chunk", crafted(&[half, half - 1, 0, 0], CHUNK / 2 - 1, 0)),
        ("fewer differences than said", crafted(&[0, chunk, 0, 0], CHUNK - 1, 0)),
        ("more inserted than said", crafted(&[0, chunk, 0, 0], CHUNK, 1)),
        ("operations without end", crafted(&[0; 4 * 20_000], 0, CHUNK)),
    ];
    for (what, coded) in cases {
        let error = decoded(&old, &coded).expect_err(what);
        assert_eq!(error.code(), "bad-chunk", "{what}");
    }
    let bomb = [vec![PATCH], payload_frame(&vec![0; 64 << 20])].concat();
    assert!(bomb.len() < MAX_CODED as usize);
    assert_eq!(decoded(&old, &bomb).unwrap_err().code(), "bad-chunk", "endless data");
}

#[test]
fn operations_that_do_not_cover_the_chunk_are_not_encoded() {
    let (old, chunk) = (vec![1; 100], vec![2; CHUNK]);
    let one = |old, patch, insert| [Operation { old, patch, insert }];
    let all = CHUNK_SIZE;
    assert!(encode(&one(0, 100, all - 100), &old, &chunk, 1).is_ok());
    for bad in [one(0, 0, all - 1), one(0, 0, all + 1), one(1, 100, all - 100), one(u64::MAX, 2, 1)]
    {
        assert_eq!(encode(&bad, &old, &chunk, 1).unwrap_err().code(), "bad-chunk", "{bad:?}");
    }
    assert!(encode(&one(0, 0, all), &old, &chunk[1..], 1).is_err());
}
