//! Chains of key sets: which set a device trusts, whatever it was sent or has stored.

use protocol::envelope::{add_signature, begin_signing, open, sign, to_cbor};
use protocol::keychain::{KeyChain, MAX_CHAIN, MAX_SUCCESSORS, in_force};
use protocol::keys::{KEYSET_CONTEXT, KeyId, KeySet, PrivateKey, Role, RoleName};

fn key(byte: u8) -> PrivateKey {
    PrivateKey::from_seed(&[byte; 32])
}

/// A set whose root is `root`, and whose other roles are key `online`.
fn set(version: u64, root: u8, online: u8) -> KeySet {
    let (root, online) = (key(root).public(), key(online).public());
    KeySet::simple(version, &root, &online, &online, &online)
}

fn signed(set: &KeySet, keys: &[u8]) -> Vec<u8> {
    let keys: Vec<PrivateKey> = keys.iter().map(|byte| key(*byte)).collect();
    set.sign(&keys.iter().collect::<Vec<_>>()).unwrap()
}

fn chain(envelopes: &[&[u8]]) -> KeyChain {
    envelopes.iter().fold(KeyChain::default(), |chain, envelope| chain.extended(envelope))
}

fn code<T: std::fmt::Debug>(result: Result<T, protocol::Error>) -> &'static str {
    result.expect_err("must be refused").code()
}

#[test]
fn a_chain_leads_from_any_of_its_sets_to_the_last() {
    let first = set(1, 1, 10);
    let second = signed(&set(2, 1, 11), &[1]);
    // The root itself is replaced: the old and the new one sign.
    let third = signed(&set(3, 2, 12), &[1, 2]);
    let fourth = signed(&set(4, 2, 13), &[2]);
    let all = chain(&[&second, &third, &fourth]);
    let all = KeyChain::decode(&all.encode()).unwrap();
    for base in [first.clone(), set(2, 1, 11), set(3, 2, 12), set(4, 2, 13)] {
        assert_eq!(all.follow(&base).unwrap(), set(4, 2, 13), "from {}", base.version);
    }
    // A newer image wins over an older chain.
    assert_eq!(all.follow(&set(5, 3, 14)).unwrap(), set(5, 3, 14));
    assert_eq!(all.last().unwrap(), Some(set(4, 2, 13)));
    assert_eq!(KeyChain::default().follow(&first).unwrap(), first);
}

#[test]
fn a_chain_that_skips_repeats_or_is_signed_by_others_leads_nowhere() {
    let first = set(1, 1, 10);
    let second = signed(&set(2, 1, 11), &[1]);
    let third = signed(&set(3, 1, 12), &[1]);
    let stranger = signed(&set(2, 66, 66), &[66]);
    let both = signed(&set(2, 66, 66), &[1, 66]);
    let cases: [(&str, &[&[u8]], &str); 5] = [
        ("a version is skipped", &[&third], "key-set-version"),
        ("the order is turned", &[&third, &second], "key-set-version"),
        ("a version comes twice", &[&second, &second], "key-set-version"),
        ("a stranger signed", &[&stranger], "unknown-key"),
        ("not an envelope", &[b"keys"], "malformed-envelope"),
    ];
    let image = signed(&first, &[1]);
    for (what, envelopes, expected) in cases {
        let chain = chain(envelopes);
        assert_eq!(code(chain.follow(&first)), expected, "{what}");
        // Stored so, it is ignored and said why: never a device without keys.
        let (set, ignored) = in_force(&image, Some(&chain.encode())).unwrap();
        assert_eq!((set, ignored.unwrap().code()), (first.clone(), expected), "{what}");
    }
    assert_eq!(chain(&[&both]).follow(&first).unwrap(), set(2, 66, 66), "by the old root's word");
    let (set, ignored) = in_force(&image, Some(b"\xff rubbish")).unwrap();
    assert_eq!((set, ignored.unwrap().code()), (first, "malformed-payload"));
    assert_eq!(code(in_force(b"rubbish", None)), "malformed-envelope");
}

#[test]
fn a_chain_is_bounded_and_drops_its_oldest() {
    let envelopes: Vec<Vec<u8>> =
        (2..=MAX_SUCCESSORS as u64 + 2).map(|v| signed(&set(v, 1, 10), &[1])).collect();
    let slices: Vec<&[u8]> = envelopes.iter().map(Vec::as_slice).collect();
    let full = chain(&slices[..MAX_SUCCESSORS]);
    assert_eq!(KeyChain::decode(&full.encode()).unwrap(), full, "at the limit");
    assert_eq!(full.follow(&set(1, 1, 10)).unwrap().version, MAX_SUCCESSORS as u64 + 1);
    let more = chain(&slices);
    assert_eq!(code(more.follow(&set(1, 1, 10))), "key-set-version", "the oldest is gone");
    assert_eq!(more.follow(&set(2, 1, 10)).unwrap().version, MAX_SUCCESSORS as u64 + 2);
    let too_many: Vec<_> = envelopes.iter().map(|e| serde_bytes::Bytes::new(e)).collect();
    assert_eq!(code(KeyChain::decode(&to_cbor(&too_many))), "malformed-payload", "one past it");
    let of_size = |size: usize| {
        let half = vec![0_u8; size / 2 - 5];
        let bytes = to_cbor(&[serde_bytes::Bytes::new(&half), serde_bytes::Bytes::new(&half)]);
        KeyChain::decode(&bytes).map_err(|e| e.code())
    };
    assert!(of_size(MAX_CHAIN).is_ok());
    assert_eq!(of_size(MAX_CHAIN + 12).unwrap_err(), "malformed-payload");
}

#[test]
fn several_people_sign_one_after_the_other() {
    let mut two_of_three = set(1, 7, 10);
    for byte in [8, 9] {
        let public = key(byte).public();
        two_of_three.keys.insert(KeyId::of(&public), public.to_vec().into());
    }
    two_of_three.roles.root =
        Role { threshold: 2, keys: [7, 8, 9].map(|byte| key(byte).id()).to_vec() };
    let payload = to_cbor(&two_of_three);
    let first = begin_signing(&payload, KEYSET_CONTEXT, &key(9)).unwrap();
    assert_eq!(code(KeySet::open(&first)), "threshold-not-met");
    let both = add_signature(&first, KEYSET_CONTEXT, &key(7)).unwrap();
    assert_eq!(KeySet::open(&both).unwrap(), two_of_three);
    // The same as when both keys are on one machine.
    assert_eq!(both, sign(&payload, KEYSET_CONTEXT, &[&key(9), &key(7)]).unwrap());
    assert_eq!(code(add_signature(&both, KEYSET_CONTEXT, &key(9))), "malformed-envelope");
    let single = sign(&payload, KEYSET_CONTEXT, &[&key(9)]).unwrap();
    assert_eq!(code(add_signature(&single, KEYSET_CONTEXT, &key(7))), "malformed-envelope");
    // One signature in a COSE_Sign is one signature.
    let alone = set(1, 7, 10);
    let envelope = begin_signing(&to_cbor(&alone), KEYSET_CONTEXT, &key(7)).unwrap();
    assert!(open(&envelope, KEYSET_CONTEXT, &alone.role(RoleName::Root)).is_ok());
    assert_eq!(KeySet::open(&envelope).unwrap(), alone);
}
