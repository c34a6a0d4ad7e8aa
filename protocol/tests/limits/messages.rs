//! Messages: the fields of each.

use protocol::control::{MAX_FRAME, read_frame};
use protocol::envelope::{self, MAX_ENVELOPE, MAX_SIGNATURES, open, sign};
use protocol::fleet::{Assignment, MAX_ID, MAX_SOURCES, MAX_URL, is_id};
use protocol::keys::{KEYSET_CONTEXT, KeyId, KeySet, MAX_KEYS, PrivateKey, RoleName};
use protocol::payload::{Index, Kind, MAX_COMPRESSED};
use protocol::release::{
    CHUNK_SIZE, MAX_BOARDS, MAX_CHUNKS, MAX_HEALTH_TIMEOUT_S, MAX_NAME, MAX_NOTES,
    MAX_TRIAL_ATTEMPTS, ReleaseManifest,
};

const CONTEXT: &[u8] = b"holdfast/test/1";

fn key(byte: u8) -> PrivateKey {
    PrivateKey::from_seed(&[byte; 32])
}

fn set() -> KeySet {
    let public = key(7).public();
    KeySet::simple(1, &public, &public, &public, &public)
}

fn code<T>(result: Result<T, protocol::Error>) -> &'static str {
    match result {
        Ok(_) => "taken",
        Err(error) => error.code(),
    }
}

#[test]
fn envelopes() {
    let set = set();
    let role = set.role(RoleName::Release);
    let of_size = |size: usize| {
        // 86 bytes of COSE around the payload.
        let bytes = sign(&vec![0; size - 86], CONTEXT, &[&key(7)]);
        bytes.map(|bytes| assert_eq!(bytes.len(), size))
    };
    assert_eq!(code(of_size(MAX_ENVELOPE)), "taken");
    assert_eq!(code(of_size(MAX_ENVELOPE + 1)), "envelope-too-large");
    let mut bytes = sign(b"payload", CONTEXT, &[&key(7)]).unwrap();
    bytes.resize(MAX_ENVELOPE + 1, 0);
    assert_eq!(code(open(&bytes, CONTEXT, &role)), "envelope-too-large");
    let signed_by = |count: usize| {
        let keys: Vec<PrivateKey> = (0..count).map(|at| key(7 + at as u8)).collect();
        let bytes = sign(b"payload", CONTEXT, &keys.iter().collect::<Vec<_>>()).unwrap();
        code(open(&bytes, CONTEXT, &role))
    };
    assert_eq!(signed_by(MAX_SIGNATURES), "taken");
    assert_eq!(signed_by(MAX_SIGNATURES + 1), "malformed-envelope");
}

#[test]
fn key_sets() {
    let with = |count: usize| {
        let mut set = set();
        for at in set.keys.len()..count {
            let public = PrivateKey::from_seed(&[at as u8 + 100; 32]).public();
            set.keys.insert(KeyId::of(&public), public.to_vec().into());
        }
        assert_eq!(set.keys.len(), count);
        let bytes = envelope::sign_as(&set, KEYSET_CONTEXT, &[&key(7)]).unwrap();
        code(KeySet::open(&bytes))
    };
    assert_eq!(with(MAX_KEYS), "taken");
    assert_eq!(with(MAX_KEYS + 1), "bad-key-set");
}

#[test]
fn assignments() {
    let assignment = || Assignment {
        fleet: "home".into(),
        device: "gw".into(),
        counter: 1,
        issued: 1,
        expires: 2,
        release: vec![0; 32].into(),
        sources: vec!["/x".into()],
        policy: Default::default(),
    };
    let opened = |change: &dyn Fn(&mut Assignment)| {
        let mut assignment = assignment();
        change(&mut assignment);
        let context = protocol::fleet::ASSIGNMENT_CONTEXT;
        let bytes = envelope::sign_as(&assignment, context, &[&key(7)]).unwrap();
        code(Assignment::open(&bytes, &set()))
    };
    type Limit = (&'static str, Box<dyn Fn(&mut Assignment, usize)>, usize);
    let limits: [Limit; 4] = [
        ("sources", Box::new(|a, n| a.sources = vec!["/x".into(); n]), MAX_SOURCES),
        ("a source", Box::new(|a, n| a.sources = vec!["x".repeat(n)]), MAX_URL),
        ("device", Box::new(|a, n| a.device = "d".repeat(n)), MAX_ID),
        ("fleet", Box::new(|a, n| a.fleet = "f".repeat(n)), MAX_ID),
    ];
    for (what, change, limit) in limits {
        assert_eq!(opened(&|a| change(a, limit)), "taken", "{what} at {limit}");
        assert_eq!(opened(&|a| change(a, limit + 1)), "malformed-payload", "{what} past {limit}");
    }
    for (id, good) in [("a.b-c_1", true), ("", false), (".a", false), ("a/b", false), ("ä", false)]
    {
        assert_eq!(is_id(id), good, "{id:?}");
    }
}

#[test]
fn manifests() {
    let manifest = || ReleaseManifest {
        product: "holdfast".into(),
        boards: vec!["rpi3".into()],
        version: "1".into(),
        sequence: 1,
        floor: 1,
        created: 1,
        image_size: u64::from(CHUNK_SIZE),
        image_digest: vec![0; 32].into(),
        chunk_digests: vec![0; 32].into(),
        payload_digest: vec![0; 32].into(),
        payload_size: 1,
        trial_attempts: 1,
        health_timeout_s: 1,
        fleet_required: true,
        notes: String::new(),
    };
    type Limit = (&'static str, Box<dyn Fn(&mut ReleaseManifest, usize)>, usize);
    let limits: [Limit; 7] = [
        ("product", Box::new(|m, n| m.product = "p".repeat(n)), MAX_NAME),
        ("version", Box::new(|m, n| m.version = "v".repeat(n)), MAX_NAME),
        ("boards", Box::new(|m, n| m.boards = vec!["b".into(); n]), MAX_BOARDS),
        ("notes", Box::new(|m, n| m.notes = "n".repeat(n)), MAX_NOTES),
        (
            "chunks",
            Box::new(|m, n| {
                m.image_size = n as u64 * u64::from(CHUNK_SIZE);
                m.chunk_digests = vec![0; 32 * n].into();
            }),
            MAX_CHUNKS as usize,
        ),
        ("attempts", Box::new(|m, n| m.trial_attempts = n as u8), MAX_TRIAL_ATTEMPTS.into()),
        ("time-out", Box::new(|m, n| m.health_timeout_s = n as u32), MAX_HEALTH_TIMEOUT_S as usize),
    ];
    for (what, change, limit) in limits {
        let opened = |n: usize| {
            let mut manifest = manifest();
            change(&mut manifest, n);
            let bytes = envelope::sign_as(&manifest, protocol::release::CONTEXT, &[&key(7)]);
            code(ReleaseManifest::open(&bytes.unwrap(), &set()))
        };
        assert_eq!(opened(limit), "taken", "{what} at {limit}");
        assert_eq!(opened(limit + 1), "bad-manifest", "{what} past {limit}");
    }
}

#[test]
fn payload_indexes_and_frames() {
    let index = |sizes: Vec<u32>| code(Index::new(Kind::Whole, sizes));
    assert_eq!(index(vec![MAX_COMPRESSED; MAX_CHUNKS as usize]), "taken");
    assert_eq!(index(vec![MAX_COMPRESSED + 1]), "bad-payload");
    assert_eq!(index(vec![1; MAX_CHUNKS as usize + 1]), "bad-payload");
    let text = "x".repeat(MAX_FRAME - 3);
    let mut frame = Vec::new();
    protocol::control::write_frame(&mut frame, &text).unwrap();
    assert_eq!(frame.len(), 4 + MAX_FRAME, "at the limit");
    assert_eq!(read_frame::<String>(&mut &frame[..]).unwrap(), text);
    let text = "x".repeat(MAX_FRAME - 2);
    assert!(protocol::control::write_frame(&mut Vec::new(), &text).is_err());
}
