//! Memory that decoding takes: alone in its program, since the kernel counts all of a process.

use protocol::delta::{MAX_OPERATIONS, MEMORY, Operation, decode, encode};
use protocol::payload::{Decoder, zero_chunk};
use protocol::release::CHUNK_SIZE;
use std::fs;

/// Room for zstd's context, the allocator's rounding, and pages of the program itself.
const BESIDE: usize = 3 << 20;

/// Highest resident memory of this process in bytes.
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
}

#[test]
fn decoding_the_worst_chunk_stays_within_its_bound() {
    let chunk_size = CHUNK_SIZE as usize;
    // Incompressible, and as many operations as may be.
    let mut state = 1_u64;
    let noise: Vec<u8> = (0..chunk_size)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as u8
        })
        .collect();
    let each = CHUNK_SIZE / MAX_OPERATIONS as u32;
    let operations: Vec<_> = (0..MAX_OPERATIONS as u64)
        .map(|n| Operation { old: n * 7919 % (100 << 20), patch: each / 2, insert: each / 2 })
        .collect();
    // 100 MiB of old image that nobody holds: it is zeros wherever it is read.
    let old = vec![0; 101 << 20];
    let coded = encode(&operations, &old, &noise, 1).expect("coded");
    drop(old);
    let mut chunk = zero_chunk();
    chunk.fill(1);

    fs::write("/proc/self/clear_refs", "5").expect("reset of the highest memory");
    let before = peak();
    let (mut decoder, mut plain) = (Decoder::new().expect("decoder"), Vec::new());
    let mut zeros = |_: u64, into: &mut [u8]| {
        into.fill(0);
        true
    };
    for _ in 0..3 {
        decode(&mut decoder, &mut plain, &coded, 101 << 20, &mut zeros, &mut chunk)
            .expect("decodes");
    }
    assert!(chunk[..] == noise[..]);
    let taken = peak() - before;
    println!("{taken} bytes, bound {}", MEMORY + BESIDE);
    assert!(taken > chunk_size, "{taken} bytes: the measure does not measure");
    assert!(taken < MEMORY + BESIDE, "{taken} bytes");
}
