//! Envelopes and what is signed in them.
//!
//! No fuzzer guesses a signature. So each target takes its bytes twice: as what a stranger sends,
//! and as what the holder of a key has signed, which is then signed here with the fixed key
//! [`SEED`]; both must be refused or understood, never more.

use crate::mode;
use protocol::envelope::{self, named_keys, unverified_payload};
use protocol::fleet::{ASSIGNMENT_CONTEXT, Assignment, COMMAND_CONTEXT, Command, Desired};
use protocol::keychain::{KeyChain, in_force};
use protocol::keys::{KEYSET_CONTEXT, KeySet, PrivateKey};
use protocol::release::{self, ReleaseManifest};
use protocol::snap::{self, SnapClaim};
use std::fmt::Debug;
use std::sync::LazyLock;

/// Of the key that has every role.
pub const SEED: [u8; 32] = [7; 32];

static KEY: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::from_seed(&SEED));
static KEYS: LazyLock<KeySet> = LazyLock::new(|| {
    let public = KEY.public();
    KeySet::simple(1, &public, &public, &public, &public)
});

/// The key that has every role.
pub fn key() -> &'static PrivateKey {
    &KEY
}

/// The set in which it has them.
pub fn keys() -> &'static KeySet {
    &KEYS
}

/// Whatever opens as an envelope is the canonical one, and takes one more signature or says why
/// not.
fn parsed(bytes: &[u8]) {
    let payload = unverified_payload(bytes);
    let named = named_keys(bytes);
    assert_eq!(payload.is_ok(), named.is_ok(), "both read the same");
    let Ok(payload) = payload else { return };
    let more = envelope::add_signature(bytes, b"fuzz", &KEY);
    if let Ok(more) = more {
        assert!(envelope::takes_signatures(bytes), "only a COSE_Sign takes another");
        assert_eq!(unverified_payload(&more).expect("an envelope of ours"), payload);
    }
}

/// What `open` takes comes back from `sign` as the same value.
fn comes_back<T: PartialEq + Debug>(
    value: &T,
    sign: impl Fn(&T) -> Result<Vec<u8>, protocol::Error>,
    open: impl Fn(&[u8]) -> Result<T, protocol::Error>,
) {
    // Only its size may speak against it now.
    let Ok(bytes) = sign(value) else { return };
    assert_eq!(&open(&bytes).expect("what was signed opens"), value);
}

/// The bytes as they came, or signed with the key that has every role.
fn message(data: &[u8], context: &[u8]) -> Option<Vec<u8>> {
    let (mode, rest) = mode(data)?;
    match mode % 3 {
        0 => Some(rest.to_vec()),
        1 => envelope::sign(rest, context, &[&KEY]).ok(),
        _ => envelope::begin_signing(rest, context, &KEY).ok(),
    }
}

/// A release manifest.
pub fn release_manifest(data: &[u8]) {
    let Some(bytes) = message(data, release::CONTEXT) else { return };
    parsed(&bytes);
    let Ok(manifest) = ReleaseManifest::open(&bytes, &KEYS) else { return };
    let last = manifest.chunks() - 1;
    assert!(manifest.chunk_digest(last).is_some(), "a digest for each chunk");
    assert!(manifest.chunk_digest(last + 1).is_none(), "and for no other");
    let open = |bytes: &[u8]| ReleaseManifest::open(bytes, &KEYS);
    comes_back(&manifest, |manifest| manifest.sign(&[&KEY]), open);
}

/// A key set, and a chain of its successors.
pub fn key_set(data: &[u8]) {
    if let Ok(chain) = KeyChain::decode(data) {
        let again = KeyChain::decode(&chain.encode()).expect("what was encoded");
        assert_eq!(again, chain);
        let _ = chain.last();
        let base = KEYS.sign(&[&KEY]).expect("a set of ours");
        let (set, refused) = in_force(&base, Some(data)).expect("a set of ours");
        assert!(refused.is_none() || set == *KEYS, "what is refused changes nothing");
        assert!(set.version >= KEYS.version, "versions go up");
    }
    let Some(bytes) = message(data, KEYSET_CONTEXT) else { return };
    parsed(&bytes);
    let _ = KEYS.rotate(&bytes);
    let Ok(set) = KeySet::open(&bytes) else { return };
    assert!(set.validate().is_ok(), "what opens agrees with itself");
    comes_back(&set, |set| set.sign(&[&KEY]), KeySet::open);
}

/// Body of `desired`, and the assignment in it.
pub fn assignment(data: &[u8]) {
    if let Ok(desired) = envelope::decode::<Desired>(data, "desired") {
        let again: Desired =
            envelope::decode(&envelope::to_cbor(&desired), "desired").expect("what was encoded");
        assert_eq!(again, desired);
        parsed(&desired.assignment);
        parsed(&desired.manifest);
    }
    let Some(bytes) = message(data, ASSIGNMENT_CONTEXT) else { return };
    let Ok(assignment) = Assignment::open(&bytes, &KEYS) else { return };
    let open = |bytes: &[u8]| Assignment::open(bytes, &KEYS);
    comes_back(&assignment, |assignment| assignment.sign(&[&KEY]), open);
}

/// A command.
pub fn command(data: &[u8]) {
    let Some(bytes) = message(data, COMMAND_CONTEXT) else { return };
    let Ok(command) = Command::open(&bytes, &KEYS) else { return };
    let open = |bytes: &[u8]| Command::open(bytes, &KEYS);
    comes_back(&command, |command| command.sign(&[&KEY]), open);
}

/// A snap's squashfs header and trailer.
pub fn snap_file(data: &[u8]) {
    let size = data.len() as u64;
    if let Ok(used) = app_runtime::squashfs::check("fuzz", data, size) {
        assert!(used <= size, "no more than there is");
    }
    if let Ok(Some(claim)) = snap::verify(data, &KEYS) {
        assert!(claim.size < size, "the claim is about the bytes before it");
    }
    // What a trailer makes of these bytes as a squashfs.
    let mut file = data.to_vec();
    file.resize(data.len().next_multiple_of(snap::ALIGN as usize).max(snap::ALIGN as usize), 0);
    let claim = SnapClaim { sha256: digest(&file), size: file.len() as u64, name: None };
    file.extend(snap::trailer(&claim, &[&KEY]).expect("a padded squashfs"));
    let verified = snap::verify(&file, &KEYS).expect("what was signed");
    assert_eq!(verified, Some(claim));
}

fn digest(bytes: &[u8]) -> serde_bytes::ByteBuf {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).to_vec().into()
}
