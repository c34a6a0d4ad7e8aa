//! Manifests, payload containers and snap trailers.

use protocol::keys::{KeySet, PrivateKey};
use protocol::payload::{self, Decoder, Index, Kind};
use protocol::release::{CHUNK_SIZE, ReleaseManifest};
use protocol::snap::{self, SnapClaim};
use sha2::{Digest, Sha256};

const CHUNK: usize = CHUNK_SIZE as usize;

fn keys() -> (PrivateKey, KeySet) {
    let key = PrivateKey::from_seed(&[3; 32]);
    let public = key.public();
    (key, KeySet::simple(1, &public, &public, &public, &public))
}

fn code<T: std::fmt::Debug>(result: Result<T, protocol::Error>) -> &'static str {
    result.expect_err("must be refused").code()
}

/// Two chunks: one that compresses, one that does not.
fn image() -> Vec<u8> {
    let mut image = vec![0x55; 2 * CHUNK];
    let mut state = 1_u64;
    for byte in &mut image[CHUNK..] {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        *byte = (state >> 56) as u8;
    }
    image
}

fn manifest(image: &[u8], container: &[u8]) -> ReleaseManifest {
    let digest = |bytes: &[u8]| Sha256::digest(bytes).to_vec();
    ReleaseManifest {
        product: "holdfast".into(),
        boards: vec!["rpi3".into()],
        version: "2.0.0".into(),
        sequence: 2,
        floor: 1,
        created: 1_700_000_000,
        image_size: image.len() as u64,
        image_digest: digest(image).into(),
        chunk_digests: image.chunks(CHUNK).flat_map(digest).collect::<Vec<u8>>().into(),
        payload_digest: digest(container).into(),
        payload_size: container.len() as u64,
        trial_attempts: 3,
        health_timeout_s: 120,
        fleet_required: true,
        notes: String::new(),
    }
}

#[test]
fn a_manifest_survives_signing_and_names_its_chunks() {
    let (key, set) = keys();
    let image = image();
    let manifest = manifest(&image, &payload::encode(&image, 3).unwrap());
    let opened = ReleaseManifest::open(&manifest.sign(&[&key]).unwrap(), &set).unwrap();
    assert_eq!(opened, manifest);
    assert_eq!(opened.chunks(), 2);
    assert_eq!(opened.chunk_digest(1).unwrap()[..], Sha256::digest(&image[CHUNK..])[..]);
    assert_eq!(opened.chunk_digest(2), None);
}

#[test]
fn a_manifest_outside_its_limits_is_refused_even_when_signed() {
    type Change = fn(&mut ReleaseManifest);
    let changes: [(&str, Change); 15] = [
        ("image of part of a chunk", |m| m.image_size += 1),
        ("image of no chunk", |m| m.image_size = 0),
        ("image larger than a slot", |m| {
            m.image_size = 129 << 20;
            m.chunk_digests = vec![0; 129 * 32].into();
        }),
        ("image size that overflows", |m| m.image_size = u64::MAX),
        ("one chunk digest too few", |m| m.chunk_digests.truncate(32)),
        ("part of a chunk digest", |m| m.chunk_digests.push(0)),
        ("short image digest", |m| m.image_digest.truncate(31)),
        ("long payload digest", |m| m.payload_digest.push(0)),
        ("no trial", |m| m.trial_attempts = 0),
        ("eight trials", |m| m.trial_attempts = 8),
        ("no boards", |m| m.boards.clear()),
        ("control character in a name", |m| m.version = "1\n".into()),
        ("long name", |m| m.product = "x".repeat(65)),
        ("long notes", |m| m.notes = "x".repeat(8193)),
        ("floor above itself", |m| m.floor = m.sequence + 1),
    ];
    let (key, set) = keys();
    let image = image();
    let container = payload::encode(&image, 1).unwrap();
    for (what, change) in changes {
        let mut manifest = manifest(&image, &container);
        change(&mut manifest);
        assert_eq!(code(manifest.sign(&[&key])), "bad-manifest", "{what}");
        let context = protocol::release::CONTEXT;
        let forced = protocol::envelope::sign_as(&manifest, context, &[&key]).unwrap();
        assert_eq!(code(ReleaseManifest::open(&forced, &set)), "bad-manifest", "{what}");
    }
}

#[test]
fn unknown_fields_of_a_manifest_are_tolerated() {
    let (key, set) = keys();
    let image = image();
    let manifest = manifest(&image, &payload::encode(&image, 1).unwrap());
    let mut value: serde_cbor::Value =
        serde_cbor::from_slice(&protocol::envelope::to_cbor(&manifest)).unwrap();
    let serde_cbor::Value::Map(map) = &mut value else { panic!("a manifest is a map") };
    map.insert(serde_cbor::Value::Text("later".into()), serde_cbor::Value::Bool(true));
    let context = protocol::release::CONTEXT;
    let bytes = protocol::envelope::sign_as(&value, context, &[&key]).unwrap();
    assert_eq!(ReleaseManifest::open(&bytes, &set).unwrap(), manifest);
}

#[test]
fn a_container_gives_back_each_chunk_by_range() {
    let image = image();
    let container = payload::encode(&image, 3).unwrap();
    let index = Index::parse(Kind::Whole, &container[..Index::len_for(2)]).unwrap();
    assert_eq!(index.chunks(), 2);
    assert_eq!(index.image_size(), image.len() as u64);
    assert_eq!(index.container_size(), container.len() as u64);
    assert_eq!(index.encode(), container[..Index::len_for(2)]);
    assert_eq!(index.range(2), None);
    let mut decoder = Decoder::new().unwrap();
    let mut chunk: Box<[u8; CHUNK]> = vec![0; CHUNK].into_boxed_slice().try_into().unwrap();
    for i in [1, 0] {
        let range = index.range(i).unwrap();
        let compressed = &container[range.start as usize..range.end as usize];
        decoder.decode(compressed, &mut chunk).unwrap();
        assert!(chunk[..] == image[i as usize * CHUNK..][..CHUNK], "chunk {i}");
    }
}

#[test]
fn the_index_has_a_known_form() {
    let index = Index::new(Kind::Whole, vec![5, 0x0102]).unwrap();
    let expected = b"HFPAYLD\n\x01\0\0\0\x02\0\0\0\0\0\x20\0\0\0\0\0\x05\0\0\0\x02\x01\0\0";
    assert_eq!(index.encode(), expected);
    assert_eq!(index.range(1), Some(37..295));
}

#[test]
fn an_index_that_cannot_be_right_is_refused() {
    let good = Index::new(Kind::Whole, vec![5, 6]).unwrap().encode();
    type Change = fn(&mut Vec<u8>);
    let changes: [(&str, Change); 8] = [
        ("empty", Vec::clear),
        ("magic", |b| b[0] = b'h'),
        ("version", |b| b[8] = 2),
        ("more chunks than sizes", |b| b[12] = 3),
        ("count that overflows", |b| b[12..16].fill(0xff)),
        ("image size", |b| b[18] = 0x10),
        ("empty chunk", |b| b[24] = 0),
        ("chunk of 4 GiB", |b| b[24..28].fill(0xff)),
    ];
    for (what, change) in changes {
        let mut bytes = good.clone();
        change(&mut bytes);
        assert_eq!(code(Index::parse(Kind::Whole, &bytes)), "bad-payload", "{what}");
    }
    for length in 0..good.len() {
        assert!(Index::parse(Kind::Whole, &good[..length]).is_err());
    }
    assert_eq!(code(Index::new(Kind::Whole, vec![])), "bad-payload");
    assert_eq!(code(Index::new(Kind::Whole, vec![1; 129])), "bad-payload");
}

#[test]
fn a_chunk_decodes_to_a_whole_chunk_or_not_at_all() {
    let mut decoder = Decoder::new().unwrap();
    let mut chunk: Box<[u8; CHUNK]> = vec![0; CHUNK].into_boxed_slice().try_into().unwrap();
    let bomb = zstd::bulk::compress(&vec![0; 4 * CHUNK], 3).unwrap();
    let short = zstd::bulk::compress(&vec![0; CHUNK - 1], 3).unwrap();
    let good = payload::compress_chunk(&vec![7; CHUNK], 3).unwrap();
    assert_eq!(code(decoder.decode(&bomb, &mut chunk)), "bad-chunk");
    assert_eq!(code(decoder.decode(&short, &mut chunk)), "bad-chunk");
    assert_eq!(code(decoder.decode(b"", &mut chunk)), "bad-chunk");
    assert_eq!(code(payload::compress_chunk(&[0; 5], 3)), "bad-chunk");
    for length in 0..good.len() {
        assert!(decoder.decode(&good[..length], &mut chunk).is_err(), "cut at {length}");
    }
    let mut state = 7_u64;
    for _ in 0..500 {
        let mut bytes = good.clone();
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let at = (state >> 33) as usize % bytes.len();
        bytes[at] ^= (state >> 20) as u8;
        let _ = decoder.decode(&bytes, &mut chunk);
    }
    decoder.decode(&good, &mut chunk).unwrap();
    assert!(chunk.iter().all(|byte| *byte == 7), "the decoder is good after bad input");
}

#[test]
fn a_signed_snap_verifies_and_a_changed_one_does_not() {
    let (key, set) = keys();
    let squashfs = vec![0x68; 3 * 4096];
    let claim = SnapClaim {
        sha256: Sha256::digest(&squashfs).to_vec().into(),
        size: squashfs.len() as u64,
        name: Some("hello".into()),
    };
    let file = [&squashfs[..], &snap::trailer(&claim, &[&key]).unwrap()].concat();
    assert_eq!(snap::verify(&file, &set).unwrap(), Some(claim.clone()));
    assert_eq!(snap::verify(&squashfs, &set).unwrap(), None, "unsigned");
    assert_eq!(snap::verify(b"", &set).unwrap(), None);

    let mut changed = file.clone();
    changed[5] ^= 1;
    assert_eq!(code(snap::verify(&changed, &set)), "snap-mismatch");
    let longer = [&[0; 4096][..], &file].concat();
    assert_eq!(code(snap::verify(&longer, &set)), "snap-mismatch");
    assert_eq!(code(snap::verify(&file[1..], &set)), "bad-trailer");
    assert_eq!(code(snap::verify(&file[3 * 4096..], &set)), "bad-trailer");
    assert_eq!(code(snap::verify(&file[file.len() - 12..], &set)), "bad-trailer");
    let odd = SnapClaim { size: 5, ..claim };
    assert_eq!(code(snap::trailer(&odd, &[&key])), "bad-trailer");

    let other = PrivateKey::from_seed(&[4; 32]).public();
    let strange = KeySet::simple(1, &other, &other, &other, &other);
    assert_eq!(code(snap::verify(&file, &strange)), "unknown-key");
}

#[test]
fn assignments_and_commands_travel_signed_and_only_as_what_they_are() {
    use protocol::fleet::{Action, Assignment, Command, is_id};
    let (key, set) = keys();
    let assignment = Assignment {
        fleet: "home".into(),
        device: "gateway-1".into(),
        counter: 4,
        issued: 1,
        expires: 2,
        release: vec![1; 32].into(),
        sources: vec!["/v1/artefacts/x".into()],
        policy: Default::default(),
    };
    let app = protocol::control::AppRequest::InstallUrl {
        url: "/v1/snaps/hello".into(),
        sha256: Some([7; 32]),
        dangerous: false,
    };
    let command =
        |action| Command { device: "gateway-1".into(), id: "c1".into(), expires: 2, action };
    let bytes = assignment.sign(&[&key]).unwrap();
    assert_eq!(Assignment::open(&bytes, &set).unwrap(), assignment);
    assert_eq!(code(Command::open(&bytes, &set)), "bad-signature", "context differs");
    let log = Action::Log { service: "appd".into(), lines: 5 };
    for action in [Action::Reboot, Action::Rollback, Action::RetryUpdate, log, Action::App(app)] {
        let command = command(action);
        assert_eq!(Command::open(&command.sign(&[&key]).unwrap(), &set).unwrap(), command);
    }
    for bad in ["", "a/b", "+", "#", "..", ".x", "a b", "é"] {
        assert!(!is_id(bad), "{bad:?}");
    }
    let mut bad = assignment;
    bad.sources.clear();
    assert_eq!(code(bad.sign(&[&key])), "malformed-payload");
}
