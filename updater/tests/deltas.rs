//! The updater with a fleet that has deltas: good ones, bad ones, and some that come late.

#[allow(dead_code, reason = "shared with the stories of whole payloads")]
mod simulated;

use protocol::delta::{PATH, build_name};
use protocol::fleet::UpdatePhase::Confirmed;
use protocol::fleet::UpdateStatus;
use protocol::keys::to_hex;
use protocol::payload::{self, Index, Kind};
use sha2::{Digest, Sha256};
use simulated::{CHUNK, Cut, Handle, Image, desired, ending, image, key};

/// Bytes that look like nothing else.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let step = |_| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as u8
    };
    (0..length).map(step).collect()
}

/// Release 2 is release 1 with a few bytes put in at the front of each of its three chunks.
fn two_releases() -> [Image; 2] {
    let [mut old, mut new] = [image(1, &[0; 3]), image(2, &[0; 3])];
    old.bytes = noise(1, 3 * CHUNK);
    for (number, (to, from)) in new.bytes.chunks_mut(CHUNK).zip(old.bytes.chunks(CHUNK)).enumerate()
    {
        to[..100].copy_from_slice(&noise(2 + number as u64, 100));
        to[100..].copy_from_slice(&from[..CHUNK - 100]);
    }
    [old, new]
}

/// Where the delta between them is, for the release as [`desired`] signs it.
fn address(releases: &[Image; 2]) -> String {
    let manifest = simulated::manifest(&releases[1]).sign(&[&key()]).unwrap();
    let build = &releases[0].build;
    let from = build_name(&build.board, &build.version, build.sequence);
    format!("{PATH}/{from}/{}", to_hex(&Sha256::digest(&manifest)))
}

fn delta_of(old: &Image, new: &Image) -> Vec<u8> {
    let [old, new] = [old, new].map(|image| payload::encode(&image.bytes, 1).unwrap());
    delta::make(&old, &new, |_, _| true).unwrap().unwrap()
}

/// An update with these bytes as the delta, `making` times said to be in the making.
fn update(releases: &[Image; 2], delta: Vec<u8>, making: u32) -> (Handle, UpdateStatus) {
    let device = Handle::new(releases);
    device.sim_mut().sources.insert(address(releases), delta);
    device.sim_mut().making = making;
    let status = device.run(&desired(&releases[1], 1));
    (device, status)
}

#[test]
fn an_update_takes_the_delta_and_little_else() {
    let releases = two_releases();
    let delta = delta_of(&releases[0], &releases[1]);
    let size = delta.len() as u64;
    let (device, status) = update(&releases, delta, 0);
    assert_eq!(ending(&status), (Confirmed, None));
    assert_eq!(device.runs().build.sequence, 2);
    assert_eq!(device.sim().requests.len(), 4, "an index and three chunks of the delta");
    let fetched: u64 = device.sim().requests.iter().map(|range| range.end - range.start).sum();
    assert_eq!(fetched, size);
    assert!(fetched < 2000, "{fetched} bytes");
}

#[test]
fn the_status_counts_what_comes_as_delta_and_as_whole_chunks() {
    let releases = two_releases();
    let mut old = releases[0].clone();
    old.bytes[CHUNK..].copy_from_slice(&noise(9, 2 * CHUNK));
    // Made against other bytes: the first chunk is a gain, the others are not.
    let delta = delta_of(&old, &releases[1]);
    let device = Handle::new(&releases);
    device.sim_mut().sources.insert(address(&releases), delta);
    let mut updater = device.start().unwrap();
    updater.desired(&desired(&releases[1], 1), simulated::NOW).unwrap();
    while updater.status().chunks_done < 3 {
        updater.step(simulated::NOW).unwrap();
    }
    let requests = device.sim().requests.clone();
    let all: u64 = requests.iter().map(|range| range.end - range.start).sum();
    // The index of the payload is not counted; that of the delta is.
    let counted = all - Index::len_for(3) as u64;
    assert_eq!(updater.status().bytes_fetched, counted);
    assert!(counted > 2 * CHUNK as u64, "two chunks came whole: {counted}");
    assert!(counted < 3 * CHUNK as u64, "and one did not: {counted}");
}

#[test]
fn no_bad_delta_makes_an_update_fail() {
    let releases = two_releases();
    let good = delta_of(&releases[0], &releases[1]);
    let len = Index::len_for(3);
    let foreign = delta_of(&image(1, &[7; 3]), &image(9, &[1, 2, 3]));
    let bomb = [vec![1], zstd::bulk::compress(&vec![0; 64 << 20], 1).unwrap()].concat();
    let bombs = payload::container(Kind::Delta, &[bomb.clone(), bomb.clone(), bomb]).unwrap();
    let empty = payload::container(Kind::Delta, &[vec![], vec![], vec![]]).unwrap();
    let swapped = {
        let index = Index::parse(Kind::Delta, &good[..len]).unwrap();
        let part = |n| {
            let range = index.range(n).unwrap();
            good[range.start as usize..range.end as usize].to_vec()
        };
        payload::container(Kind::Delta, &[part(1), part(2), part(0)]).unwrap()
    };
    let mut cases = vec![
        ("nothing", vec![]),
        ("zeros", vec![0; good.len()]),
        ("a whole payload", payload::encode(&releases[1].bytes, 1).unwrap()),
        ("chunks of others", foreign),
        ("chunks in other places", swapped),
        ("endless data", bombs),
        ("no chunk", empty),
        ("another number of chunks", payload::container(Kind::Delta, &[vec![1]]).unwrap()),
    ];
    for end in [1, len - 1, len, len + 1, good.len() - 1] {
        cases.push(("cut", good[..end].to_vec()));
    }
    for at in [0, 9, 13, 17, len - 12, len, len + 5, len + 20, good.len() - 3] {
        let mut flipped = good.clone();
        flipped[at] ^= 0x10;
        cases.push(("flipped", flipped));
    }
    for (what, delta) in cases {
        let (device, status) = update(&releases, delta, 0);
        assert_eq!(ending(&status), (Confirmed, None), "{what}");
        assert_eq!(device.runs().build.sequence, 2, "{what}");
    }
}

#[test]
fn a_delta_that_is_being_made_is_waited_for_and_not_for_ever() {
    let releases = two_releases();
    let delta = delta_of(&releases[0], &releases[1]);
    let size = delta.len() as u64;
    let fetched = |device: &Handle| -> u64 {
        device.sim().requests.iter().map(|range| range.end - range.start).sum()
    };
    let most = updater::delta::MOST_WAITS;
    for (making, late) in [(1, false), (most, false), (most + 1, true), (u32::MAX, true)] {
        let (device, status) = update(&releases, delta.clone(), making);
        assert_eq!(ending(&status), (Confirmed, None), "{making}");
        assert_eq!(fetched(&device) > size, late, "{making}: {} bytes", fetched(&device));
    }
    // Late, but not too late for the other chunks.
    let (device, _) = update(&releases, delta, most + 1);
    assert!(fetched(&device) < 2 * CHUNK as u64);
}

#[test]
fn a_power_cut_at_any_operation_does_not_harm_an_update_by_delta() {
    let releases = two_releases();
    let delta = delta_of(&releases[0], &releases[1]);
    let (clean, _) = update(&releases, delta.clone(), 0);
    let operations = clean.sim().operations;
    for at in 0..operations {
        for cut in [Cut::Before, Cut::After] {
            let device = Handle::new(&releases);
            device.sim_mut().sources.insert(address(&releases), delta.clone());
            device.sim_mut().cut = Some((at, cut));
            let status = device.run(&desired(&releases[1], 1));
            assert_eq!(ending(&status), (Confirmed, None), "cut {cut:?} operation {at}");
            assert_eq!(device.runs().build.sequence, 2, "cut {cut:?} operation {at}");
            let requests = device.sim().requests.len();
            // Again: the index, and the three small chunks when they were not synced yet.
            assert!(requests <= 4 + 4, "cut {cut:?} operation {at}: {requests} requests");
        }
    }
}
