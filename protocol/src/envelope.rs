//! Signed bytes: COSE_Sign1 (RFC 9052, tag 18) for one signature, COSE_Sign (tag 98) for several,
//! and for the first of several that come one after the other.
//!
//! Invariants:
//! - nothing of the payload is parsed before a threshold of the role's keys has signed it;
//! - verification runs over the received bytes; only the one canonical encoding is accepted, so an
//!   envelope's digest names it;
//! - protected header of a signature: algorithm (1: -8, EdDSA) and key id (4), nothing else; no
//!   unprotected headers; so there is no critical header that could be overlooked;
//! - the context constant is the `external_aad`: no signature serves for another kind of message;
//! - Ed25519 is verified strictly (no small-order keys, no malleable signatures).

use crate::cbor;
use crate::error::Error;
use crate::keys::{KeyId, PrivateKey, RoleKeys};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_bytes::Bytes;
use serde_cbor::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Largest envelope in bytes; a manifest of the largest image is about 5 KiB.
pub const MAX_ENVELOPE: usize = 64 * 1024;
/// Most signatures in one envelope.
pub const MAX_SIGNATURES: usize = 16;

/// CBOR tag 18: COSE_Sign1.
const SIGN1_TAG: &[u8] = &[0xd2];
/// CBOR tag 98: COSE_Sign.
const SIGN_TAG: &[u8] = &[0xd8, 98];
/// COSE header label and value of the algorithm, RFC 9053 section 2.2.
const ALG_LABEL: i128 = 1;
const ALG_EDDSA: i128 = -8;
/// COSE header label of the key id.
const KID_LABEL: i128 = 4;

type NoHeaders = BTreeMap<i64, i64>;
type Signature<'a> = (&'a Bytes, NoHeaders, &'a Bytes);

/// What an envelope says before anything is verified.
struct Parsed<'a> {
    /// Protected header of the body; `None` in COSE_Sign1, whose one header is the signature's.
    body_header: Option<&'a [u8]>,
    payload: &'a [u8],
    signatures: Vec<Signed<'a>>,
}

struct Signed<'a> {
    header: &'a [u8],
    key: KeyId,
    signature: &'a [u8],
}

/// Signs `payload` with each of `keys`: one gives COSE_Sign1, more give COSE_Sign.
///
/// Errors: no key, or too large.
pub fn sign(payload: &[u8], context: &[u8], keys: &[&PrivateKey]) -> Result<Vec<u8>, Error> {
    let signatures: Vec<(Vec<u8>, Vec<u8>)> = keys
        .iter()
        .map(|key| {
            let header = header_of(&key.id());
            let body = if keys.len() == 1 { None } else { Some(&b""[..]) };
            let signature = key.sign(&signed_bytes(body, &header, context, payload));
            (header, signature)
        })
        .collect();
    let borrowed: Vec<(&[u8], &[u8])> =
        signatures.iter().map(|(h, s)| (h.as_slice(), s.as_slice())).collect();
    bounded(encode(payload, &borrowed)?)
}

/// Returns the payload when a threshold of `role` has signed it for `context`.
///
/// Signatures by keys outside the role are ignored; a wrong one by a key of the role refuses all.
pub fn open<'a>(bytes: &'a [u8], context: &[u8], role: &RoleKeys<'_>) -> Result<&'a [u8], Error> {
    let parsed = parse(bytes)?;
    let mut good = BTreeSet::new();
    for signed in &parsed.signatures {
        let Some(key) = role.key(&signed.key) else { continue };
        let message = signed_bytes(parsed.body_header, signed.header, context, parsed.payload);
        if !key.verifies(&message, signed.signature) {
            return Err(Error::BadSignature(signed.key.to_string()));
        }
        good.insert(signed.key);
    }
    if good.is_empty() {
        let named: Vec<String> = parsed.signatures.iter().map(|s| s.key.to_string()).collect();
        return Err(Error::UnknownKey(named.join(", ")));
    }
    if good.len() < usize::from(role.threshold) {
        return Err(Error::ThresholdNotMet { good: good.len(), threshold: role.threshold });
    }
    Ok(parsed.payload)
}

/// [`open`], then the payload decoded as CBOR. Unknown fields are tolerated.
pub fn open_as<T: DeserializeOwned>(
    bytes: &[u8],
    context: &[u8],
    role: &RoleKeys<'_>,
    what: &'static str,
) -> Result<T, Error> {
    decode(open(bytes, context, role)?, what)
}

/// [`sign`] over the CBOR encoding of a message.
pub fn sign_as<T: Serialize>(
    message: &T,
    context: &[u8],
    keys: &[&PrivateKey],
) -> Result<Vec<u8>, Error> {
    sign(&to_cbor(message), context, keys)
}

/// The payload **without any verification**: for tools that show or re-sign what they were given,
/// and for a key set, which carries the keys that verify it.
pub fn unverified_payload(bytes: &[u8]) -> Result<&[u8], Error> {
    Ok(parse(bytes)?.payload)
}

/// The ids of the keys that an envelope names, unverified, for people.
pub fn named_keys(bytes: &[u8]) -> Result<Vec<KeyId>, Error> {
    Ok(parse(bytes)?.signatures.iter().map(|s| s.key).collect())
}

/// CBOR of a message of this crate.
pub fn to_cbor<T: Serialize>(message: &T) -> Vec<u8> {
    cbor::encode(message)
}

/// Decodes CBOR of at most [`MAX_ENVELOPE`] bytes. Unknown fields are tolerated.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], what: &'static str) -> Result<T, Error> {
    cbor::decode(bytes, MAX_ENVELOPE, what)
}

/// The protected header for a key, encoded.
fn header_of(key: &KeyId) -> Vec<u8> {
    let header = BTreeMap::from([
        (Value::Integer(ALG_LABEL), Value::Integer(ALG_EDDSA)),
        (Value::Integer(KID_LABEL), Value::Bytes(key.bytes().to_vec())),
    ]);
    to_cbor(&header)
}

/// `Sig_structure` of RFC 9052 section 4.4.
fn signed_bytes(body: Option<&[u8]>, header: &[u8], context: &[u8], payload: &[u8]) -> Vec<u8> {
    let (header, context, payload) = (Bytes::new(header), Bytes::new(context), Bytes::new(payload));
    match body {
        None => to_cbor(&("Signature1", header, context, payload)),
        Some(body) => to_cbor(&("Signature", Bytes::new(body), header, context, payload)),
    }
}

/// Signs `payload` with a first key as COSE_Sign, for others to follow by [`add_signature`].
pub fn begin_signing(payload: &[u8], context: &[u8], key: &PrivateKey) -> Result<Vec<u8>, Error> {
    let header = header_of(&key.id());
    let signature = key.sign(&signed_bytes(Some(b""), &header, context, payload));
    bounded(encode_sign(payload, &[(&header, &signature)]))
}

/// Adds a signature to a COSE_Sign, over the same payload. What is there is not verified.
///
/// Errors: not a COSE_Sign (a COSE_Sign1 says in what it signs that it is the only one), or the key
/// has signed already, or there are [`MAX_SIGNATURES`].
pub fn add_signature(bytes: &[u8], context: &[u8], key: &PrivateKey) -> Result<Vec<u8>, Error> {
    let parsed = parse(bytes)?;
    let Some(body) = parsed.body_header else {
        return Err(Error::MalformedEnvelope("is made for one signature"));
    };
    if parsed.signatures.iter().any(|signed| signed.key == key.id()) {
        return Err(Error::MalformedEnvelope("this key has signed it already"));
    }
    if parsed.signatures.len() >= MAX_SIGNATURES {
        return Err(Error::MalformedEnvelope("number of signatures"));
    }
    let header = header_of(&key.id());
    let signature = key.sign(&signed_bytes(Some(body), &header, context, parsed.payload));
    let mut pairs: Vec<(&[u8], &[u8])> =
        parsed.signatures.iter().map(|s| (s.header, s.signature)).collect();
    pairs.push((&header, &signature));
    bounded(encode_sign(parsed.payload, &pairs))
}

/// Whether an envelope takes further signatures: COSE_Sign.
pub fn takes_signatures(bytes: &[u8]) -> bool {
    bytes.starts_with(SIGN_TAG)
}

fn bounded(bytes: Vec<u8>) -> Result<Vec<u8>, Error> {
    if bytes.len() > MAX_ENVELOPE {
        return Err(Error::EnvelopeTooLarge(bytes.len()));
    }
    Ok(bytes)
}

/// COSE_Sign with these signatures.
fn encode_sign(payload: &[u8], signatures: &[(&[u8], &[u8])]) -> Vec<u8> {
    let list: Vec<Signature<'_>> = signatures
        .iter()
        .map(|(header, sig)| (Bytes::new(header), NoHeaders::new(), Bytes::new(sig)))
        .collect();
    [SIGN_TAG, &to_cbor(&(Bytes::new(b""), NoHeaders::new(), Bytes::new(payload), list))].concat()
}

/// What [`sign`] makes: COSE_Sign1 of one signature, COSE_Sign of several.
fn encode(payload: &[u8], signatures: &[(&[u8], &[u8])]) -> Result<Vec<u8>, Error> {
    match signatures {
        [] => Err(Error::MalformedEnvelope("no signature")),
        [one] => Ok(encode_sign1(payload, one)),
        several => Ok(encode_sign(payload, several)),
    }
}

fn encode_sign1(payload: &[u8], (header, signature): &(&[u8], &[u8])) -> Vec<u8> {
    let parts = (Bytes::new(header), NoHeaders::new(), Bytes::new(payload), Bytes::new(signature));
    [SIGN1_TAG, &to_cbor(&parts)].concat()
}

fn parse(bytes: &[u8]) -> Result<Parsed<'_>, Error> {
    if bytes.len() > MAX_ENVELOPE {
        return Err(Error::EnvelopeTooLarge(bytes.len()));
    }
    let parsed = if let Some(body) = bytes.strip_prefix(SIGN1_TAG) {
        let (header, _, payload, signature): (&Bytes, NoHeaders, &Bytes, &Bytes) =
            inner(body, "not a COSE_Sign1")?;
        Parsed { body_header: None, payload, signatures: vec![signed(header, signature)?] }
    } else if let Some(body) = bytes.strip_prefix(SIGN_TAG) {
        let (header, _, payload, list): (&Bytes, NoHeaders, &Bytes, Vec<Signature<'_>>) =
            inner(body, "not a COSE_Sign")?;
        if list.is_empty() || list.len() > MAX_SIGNATURES {
            return Err(Error::MalformedEnvelope("number of signatures"));
        }
        let signatures =
            list.iter().map(|(header, _, sig)| signed(header, sig)).collect::<Result<_, _>>()?;
        Parsed { body_header: Some(header), payload, signatures }
    } else {
        return Err(Error::MalformedEnvelope("neither COSE_Sign1 nor COSE_Sign"));
    };
    // One encoding only: what was ignored above (an unprotected header, a body header, a longer
    // form of a length) shows as a difference here.
    let pairs: Vec<(&[u8], &[u8])> =
        parsed.signatures.iter().map(|s| (s.header, s.signature)).collect();
    let canonical = match (parsed.body_header, &pairs[..]) {
        (None, [one]) => encode_sign1(parsed.payload, one),
        _ => encode_sign(parsed.payload, &pairs),
    };
    if canonical != bytes {
        return Err(Error::MalformedEnvelope("not in canonical form"));
    }
    Ok(parsed)
}

/// A part of an envelope, within the limits of [`cbor::check`].
fn inner<'a, T: Deserialize<'a>>(bytes: &'a [u8], why: &'static str) -> Result<T, Error> {
    cbor::decode(bytes, MAX_ENVELOPE, "envelope").map_err(|_| Error::MalformedEnvelope(why))
}

fn signed<'a>(header: &'a Bytes, signature: &'a Bytes) -> Result<Signed<'a>, Error> {
    let map: BTreeMap<Value, Value> = inner(header, "protected header is not a map")?;
    let kid = match map.get(&Value::Integer(KID_LABEL)) {
        Some(Value::Bytes(kid)) => KeyId::from_bytes(kid),
        _ => None,
    };
    let key = kid.ok_or(Error::MalformedEnvelope("key id"))?;
    if header_of(&key) != header.as_ref() {
        return Err(Error::MalformedEnvelope("protected header other than algorithm and key id"));
    }
    Ok(Signed { header, key, signature })
}
