//! CBOR and frames: nesting, lengths and counts.

use crate::sys_alloc::most_held;
use protocol::cbor::{self, MAX_DEPTH};
use protocol::control::{MAX_FRAME, read_frame};
use protocol::envelope::{self, MAX_ENVELOPE, to_cbor};
use protocol::keys::KeySet;
use protocol::release::ReleaseManifest;

#[test]
fn nesting_lengths_and_counts_of_cbor() {
    let nested = |depth: usize| [vec![0x81; depth], vec![0x00]].concat();
    let tagged = |depth: usize| [vec![0xc1; depth], vec![0x00]].concat();
    let mapped = |depth: usize| [[0xa1, 0x00].repeat(depth), vec![0x00]].concat();
    for shape in [nested, tagged, mapped] {
        assert_eq!(cbor::check(&shape(MAX_DEPTH)), Ok(()));
        assert_eq!(cbor::check(&shape(MAX_DEPTH + 1)), Err("nested too deeply"));
    }
    for (bytes, expected) in [
        (&[0x82, 0x00, 0x00][..], Ok(())),
        (&[0x83, 0x00, 0x00], Err("count beyond the end")),
        (&[0xa1, 0x00], Err("count beyond the end")),
        (&[0xa1, 0x00, 0x00, 0x00], Err("bytes behind the end")),
        (&[0x42, 0x00, 0x00], Ok(())),
        (&[0x43, 0x00, 0x00], Err("length beyond the end")),
        (&[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Err("length beyond the end")),
        (&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Err("count beyond the end")),
        (&[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Err("count beyond the end")),
        (&[0x1b, 0x00], Err("ends early")),
        (&[0x9f, 0x00, 0xff], Err("indefinite length")),
        (&[0x1c], Err("reserved head")),
        (&[0x80], Ok(())),
        (&[0x82, 0x80, 0xa0], Ok(())),
        (&[0x82, 0x80], Err("count beyond the end")),
        (&[], Err("ends early")),
    ] {
        assert_eq!(cbor::check(bytes), expected, "{bytes:02x?}");
    }
    let zeros = |size: usize| {
        let bytes = to_cbor(&serde_bytes::ByteBuf::from(vec![0; size - 5]));
        envelope::decode::<serde_bytes::ByteBuf>(&bytes, "x").map_err(|e| e.code())
    };
    assert!(zeros(MAX_ENVELOPE).is_ok());
    assert_eq!(zeros(MAX_ENVELOPE + 3).unwrap_err(), "malformed-payload");
}

#[test]
fn a_hostile_length_makes_nobody_allocate() {
    let long = u64::MAX.to_be_bytes();
    let key_set = |head: u8| [&[0xa1, 0x64][..], b"keys", &[head], &long].concat();
    let cases: Vec<Vec<u8>> = vec![
        [&[0x9b][..], &long].concat(),
        [&[0xbb][..], &long].concat(),
        [&[0x5b][..], &long].concat(),
        key_set(0xbb),
        key_set(0x9b),
        key_set(0x5b),
        vec![0x81; MAX_ENVELOPE],
        [&[0xd2, 0x84, 0x5b][..], &long].concat(),
        [&[0xd8, 98, 0x84, 0x40, 0xa0, 0x40, 0x9b][..], &long].concat(),
    ];
    for bytes in cases {
        let what = format!("{:02x?}…", &bytes[..bytes.len().min(12)]);
        let most = most_held(|| {
            assert!(envelope::decode::<KeySet>(&bytes, "key set").is_err());
            assert!(envelope::decode::<ReleaseManifest>(&bytes, "manifest").is_err());
            assert!(KeySet::open(&bytes).is_err());
            assert!(protocol::keychain::KeyChain::decode(&bytes).is_err());
        });
        assert!(most < 4096, "{what}: {most} bytes");
    }
    // As many items as there are bytes: a small multiple of the input, not of what it says.
    let count = MAX_ENVELOPE - 5;
    let mut empty =
        [&[0xd8, 98, 0x84, 0x40, 0xa0, 0x40, 0x99][..], &(count as u16).to_be_bytes()].concat();
    empty.resize(MAX_ENVELOPE, 0x80);
    let most = most_held(|| drop(KeySet::open(&empty)));
    assert!(most < 4 * MAX_ENVELOPE, "{most} bytes");
    let frame = (MAX_FRAME as u32 + 1).to_le_bytes();
    let most = most_held(|| assert!(read_frame::<String>(&mut &frame[..]).is_err()));
    assert!(most < 4096, "a frame: {most} bytes");
}
