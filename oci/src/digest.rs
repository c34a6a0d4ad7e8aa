//! Content by its digest: `sha256:` and 64 hexadecimal digits. The specification knows `sha512` as
//! well, which no registry uses; it is refused by name.

use crate::{Error, Result};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::io::{self, Read};

/// SHA-256 of some content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Reads `sha256:…`; the error names `what`.
    pub fn parse(what: &str, text: &str) -> Result<Self> {
        let wrong = |why: &str| Error::invalid(what, format!("digest {text:?}: {why}"));
        let (algorithm, hex) = text.split_once(':').ok_or_else(|| wrong("no algorithm"))?;
        if algorithm != "sha256" {
            return Err(wrong("only sha256 is supported"));
        }
        let lower = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if hex.len() != 64 || !hex.bytes().all(lower) {
            return Err(wrong("not 64 lower-case hexadecimal digits"));
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| wrong("not text"))?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong("not hexadecimal"))?;
        }
        Ok(Self(bytes))
    }

    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digits.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A reader that counts and hashes what passes.
pub struct Hashing<R> {
    inner: R,
    hash: Sha256,
    count: u64,
}

impl<R: Read> Hashing<R> {
    /// Nothing has passed yet.
    pub fn new(inner: R) -> Self {
        Self { inner, hash: Sha256::new(), count: 0 }
    }

    /// Reads to the end; what had passed by then, and how much.
    pub fn finish(mut self) -> io::Result<(Digest, u64)> {
        io::copy(&mut self, &mut io::sink())?;
        Ok((Digest(self.hash.finalize().into()), self.count))
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.hash.update(&into[..count]);
        self.count += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_or_refused_by_name() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let digest = Digest::parse("x", &format!("sha256:{hex}")).unwrap();
        assert_eq!((digest, digest.hex().as_str()), (Digest::of(b""), hex));
        for (text, why) in [
            (hex.to_string(), "no algorithm"),
            (format!("sha512:{hex}"), "only sha256"),
            (format!("sha256:{}", hex.to_uppercase()), "not 64 lower-case"),
            (format!("sha256:{}", &hex[1..]), "not 64 lower-case"),
            (format!("sha256:../{}", &hex[3..]), "not 64 lower-case"),
        ] {
            let error = Digest::parse("layer 1", &text).unwrap_err().to_string();
            assert!(error.starts_with("layer 1: digest") && error.contains(why), "{error}");
        }
    }

    #[test]
    fn what_passes_is_hashed_to_the_end() {
        let mut hashing = Hashing::new(&b"abcdef"[..]);
        hashing.read_exact(&mut [0; 2]).unwrap();
        assert_eq!(hashing.finish().unwrap(), (Digest::of(b"abcdef"), 6));
    }
}
