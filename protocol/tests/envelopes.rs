//! Envelopes and key sets: known answers, thresholds, rotation, and bytes that are not envelopes.

use protocol::envelope::{MAX_ENVELOPE, open, sign};
use protocol::keys::{KeyId, KeySet, PrivateKey, Role, RoleName, to_hex};

const CONTEXT: &[u8] = b"holdfast/test/1";
const PAYLOAD: &[u8] = b"the payload";
// Made with another CBOR encoder (by hand, from RFC 8949) and OpenSSL's Ed25519; seeds 32 times 7
// and 32 times 9.
const SIGN1: &str = "\
    d2844da201270448fe812c12f3ab4ce6a04b746865207061796c6f61645840ece8572d89d49fe473d44b4dc6\
    8b8a75b617c60736ba4577898b14c024afa5b52f3757cb57e60e63a5189646b0ed86e1e1e1e8847e36cf59d7\
    71c312e1f9b903";
const SIGN: &str = "\
    d8628440a04b746865207061796c6f616482834da201270448fe812c12f3ab4ce6a058401382d267fc1827a1\
    243aeb872ae54747a40118031e23e735f9f3066075af1dfc63a9554d6c32eec8681df6a19496ff069227e436\
    05848682f061c9b48835a30f834da201270448dbc298251c51321ba058401e56d34a7f66b44206ed0763e963\
    7827bfb8e8dc57c35175519c43665dea0381812dafa6c1cf0d3cb66a761e712871536b5f24f1f34648ecb091\
    c5dc4e73340c";

fn key(byte: u8) -> PrivateKey {
    PrivateKey::from_seed(&[byte; 32])
}

/// Every role is key 7 alone.
fn set_of_seven() -> KeySet {
    let public = key(7).public();
    KeySet::simple(1, &public, &public, &public, &public)
}

/// Root is 7, 8 and 9, two of which must sign; the rest is key 7.
fn two_of_three(version: u64, root: [u8; 3]) -> KeySet {
    let mut set = set_of_seven();
    set.version = version;
    for byte in root {
        let public = key(byte).public();
        set.keys.insert(KeyId::of(&public), public.to_vec().into());
    }
    set.roles.root = Role { threshold: 2, keys: root.map(|byte| key(byte).id()).to_vec() };
    set
}

fn code<T: std::fmt::Debug>(result: Result<T, protocol::Error>) -> &'static str {
    result.expect_err("must be refused").code()
}

#[test]
fn known_answers() {
    assert_eq!(key(7).id().to_string(), "fe812c12f3ab4ce6");
    assert_eq!(to_hex(&sign(PAYLOAD, CONTEXT, &[&key(7)]).unwrap()), SIGN1);
    assert_eq!(to_hex(&sign(PAYLOAD, CONTEXT, &[&key(7), &key(9)]).unwrap()), SIGN);
}

#[test]
fn an_envelope_opens_only_with_its_key_and_for_its_context() {
    let bytes = sign(PAYLOAD, CONTEXT, &[&key(7)]).unwrap();
    let set = set_of_seven();
    let role = set.role(RoleName::Release);
    assert_eq!(open(&bytes, CONTEXT, &role).unwrap(), PAYLOAD);
    assert_eq!(code(open(&bytes, b"holdfast/other/1", &role)), "bad-signature");
    let other = sign(PAYLOAD, CONTEXT, &[&key(8)]).unwrap();
    assert_eq!(code(open(&other, CONTEXT, &role)), "unknown-key");
    let mut trailing = bytes.clone();
    trailing.push(0);
    assert_eq!(code(open(&trailing, CONTEXT, &role)), "malformed-envelope");
    assert_eq!(code(open(&vec![0xd2; MAX_ENVELOPE + 1], CONTEXT, &role)), "envelope-too-large");
    assert_eq!(code(sign(&vec![0; MAX_ENVELOPE], CONTEXT, &[&key(7)])), "envelope-too-large");
    assert_eq!(code(sign(PAYLOAD, CONTEXT, &[])), "malformed-envelope");
}

#[test]
fn another_encoding_of_the_same_content_is_refused() {
    let good = sign(PAYLOAD, CONTEXT, &[&key(7)]).unwrap();
    let set = set_of_seven();
    let role = set.role(RoleName::Release);
    let payload_at = 2 + 14 + 1;
    assert_eq!(good[payload_at], 0x40 | 11, "length of the payload in the short form");
    // The length of the payload in the long form.
    let mut long = good.clone();
    long.splice(payload_at..=payload_at, [0x58, 11]);
    assert_eq!(code(open(&long, CONTEXT, &role)), "malformed-envelope");
    // An unprotected header.
    let mut header = good.clone();
    header.splice(payload_at - 1..payload_at, [0xa1, 0x18, 99, 0]);
    assert_eq!(code(open(&header, CONTEXT, &role)), "malformed-envelope");
    // A critical protected header: {1: -8, 2: [99], 4: kid}.
    let mut critical = good.clone();
    critical[2] = 0x40 | 17;
    critical[3] = 0xa3;
    critical.splice(6..6, [0x02, 0x81, 0x18, 99]);
    assert_eq!(code(open(&critical, CONTEXT, &role)), "malformed-envelope");
    // No tag, and another one.
    assert_eq!(code(open(&good[1..], CONTEXT, &role)), "malformed-envelope");
    // Indefinite-length array.
    let mut indefinite = good.clone();
    indefinite[1] = 0x9f;
    indefinite.push(0xff);
    assert_eq!(code(open(&indefinite, CONTEXT, &role)), "malformed-envelope");
}

#[test]
fn a_threshold_counts_distinct_keys_of_the_role() {
    let set = two_of_three(1, [7, 8, 9]);
    let root = set.role(RoleName::Root);
    let by = |keys: &[u8]| {
        let keys: Vec<PrivateKey> = keys.iter().map(|b| key(*b)).collect();
        sign(PAYLOAD, CONTEXT, &keys.iter().collect::<Vec<_>>()).unwrap()
    };
    for (keys, expected) in [
        (&[7, 8][..], Ok(())),
        (&[9, 7], Ok(())),
        (&[7, 8, 9], Ok(())),
        (&[5, 7, 8], Ok(())),
        (&[7], Err("threshold-not-met")),
        (&[7, 7], Err("threshold-not-met")),
        (&[7, 5], Err("threshold-not-met")),
        (&[5, 6], Err("unknown-key")),
    ] {
        let bytes = by(keys);
        let got = open(&bytes, CONTEXT, &root).map(|_| ()).map_err(|e| e.code());
        assert_eq!(got, expected, "signed by {keys:?}");
    }
}

#[test]
fn key_sets_rotate_one_version_at_a_time_and_with_the_old_threshold() {
    let old = KeySet::open(&two_of_three(1, [7, 8, 9]).sign(&[&key(7), &key(8)]).unwrap()).unwrap();
    let next = two_of_three(2, [9, 10, 11]);
    let signed = |set: &KeySet, keys: &[u8]| {
        let keys: Vec<PrivateKey> = keys.iter().map(|b| key(*b)).collect();
        set.sign(&keys.iter().collect::<Vec<_>>()).unwrap()
    };
    assert_eq!(old.rotate(&signed(&next, &[7, 9, 10])).unwrap(), next);
    assert_eq!(code(old.rotate(&signed(&next, &[9, 10]))), "threshold-not-met", "old root");
    assert_eq!(code(old.rotate(&signed(&next, &[7, 8]))), "unknown-key", "new root");
    assert_eq!(code(old.rotate(&signed(&next, &[7, 9]))), "threshold-not-met", "new root");
    let skipped = two_of_three(3, [7, 8, 9]);
    assert_eq!(code(old.rotate(&signed(&skipped, &[7, 8]))), "key-set-version");
    let again = two_of_three(1, [7, 8, 9]);
    assert_eq!(code(old.rotate(&signed(&again, &[7, 8]))), "key-set-version");
}

#[test]
fn a_key_set_that_contradicts_itself_is_refused() {
    type Change = fn(&mut KeySet);
    let changes: [(&str, Change); 5] = [
        ("threshold 0", |set| set.roles.release.threshold = 0),
        ("threshold above keys", |set| set.roles.release.threshold = 2),
        ("key twice in a role", |set| set.roles.root.keys.push(key(7).id())),
        ("key that is missing", |set| set.roles.root.keys.push(key(8).id())),
        ("key under another name", |set| {
            set.keys.insert(key(8).id(), key(7).public().to_vec().into());
        }),
    ];
    for (what, change) in changes {
        let mut set = set_of_seven();
        change(&mut set);
        assert_eq!(code(set.sign(&[&key(7)])), "bad-key-set", "{what}");
        let bytes =
            protocol::envelope::sign_as(&set, protocol::keys::KEYSET_CONTEXT, &[&key(7)]).unwrap();
        assert_eq!(code(KeySet::open(&bytes)), "bad-key-set", "{what}, signed nevertheless");
    }
}

#[test]
fn private_key_files() {
    let text = key(7).to_text();
    assert_eq!(PrivateKey::from_text(&text).unwrap().public(), key(7).public());
    for bad in ["", "holdfast-ed25519-seed", "holdfast-ed25519-seed 00", "ssh-ed25519 AAAA"] {
        assert_eq!(code(PrivateKey::from_text(bad)), "bad-private-key", "{bad:?}");
    }
    assert_eq!(code(PrivateKey::from_text(&format!("{text}{text}"))), "bad-private-key");
    assert!(!format!("{:?}", key(7)).contains(&to_hex(&[7; 32])), "a seed in a debug text");
}

#[test]
fn mutated_and_truncated_envelopes_never_open_and_never_panic() {
    let set = two_of_three(1, [7, 8, 9]);
    let root = set.role(RoleName::Root);
    let good = set.sign(&[&key(7), &key(8)]).unwrap();
    let context = protocol::keys::KEYSET_CONTEXT;
    assert!(open(&good, context, &root).is_ok());
    for length in 0..good.len() {
        assert!(open(&good[..length], context, &root).is_err(), "cut at {length}");
    }
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..3000 {
        let mut bytes = good.clone();
        for _ in 0..=round % 4 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let at = (state >> 33) as usize % bytes.len();
            bytes[at] ^= ((state >> 20) as u8).max(1);
        }
        if bytes != good {
            assert!(open(&bytes, context, &root).is_err(), "round {round}");
            let _ = KeySet::open(&bytes);
        }
    }
}
