//! Content digests: an algorithm and the hash of the content's bytes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256, Sha512};
use thiserror::Error;

/// A hash algorithm that Octoserve stores content under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256, what every client uses unless told otherwise.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// Every algorithm, in the order of their names.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// The name as it stands before the colon of a digest.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// The length of a hash, in bytes.
    #[must_use]
    pub const fn hash_length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

impl FromStr for Algorithm {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "sha256" => Ok(Self::Sha256),
            "sha512" => Ok(Self::Sha512),
            _ => Err(ParseDigestError::UnsupportedAlgorithm),
        }
    }
}

/// Why a text is not a digest that Octoserve can store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ParseDigestError {
    /// There is no `<algorithm>:<encoded>`.
    #[error("a digest reads <algorithm>:<hex>")]
    Malformed,
    /// The algorithm is well formed but not one of [`Algorithm::ALL`].
    #[error("the digest's algorithm is not supported: use sha256 or sha512")]
    UnsupportedAlgorithm,
    /// The encoded part is not lower-case hexadecimal of the right length.
    #[error("the digest's hash is not lower-case hexadecimal of the algorithm's length")]
    InvalidHash,
}

/// A digest such as `sha256:6c3c…`: what content is called.
///
/// Two digests are equal when algorithm and hash are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    // The unused tail of a shorter hash is zero, so that derived comparisons hold.
    hash: [u8; 64],
}

impl Digest {
    /// Hashes `content` whole.
    #[must_use]
    pub fn of(algorithm: Algorithm, content: &[u8]) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::from_hash(algorithm, &Sha256::digest(content)),
            Algorithm::Sha512 => Self::from_hash(algorithm, &Sha512::digest(content)),
        }
    }

    /// The digest with this `hash`, whose length must be the algorithm's; a
    /// longer one is cut, a shorter one filled with zeros.
    pub(super) fn from_hash(algorithm: Algorithm, hash: &[u8]) -> Self {
        let mut filled = [0; 64];
        let length = algorithm.hash_length();
        for (to, from) in filled.iter_mut().zip(hash.iter().take(length)) {
            *to = *from;
        }
        Self {
            algorithm,
            hash: filled,
        }
    }

    /// The algorithm that made this digest.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hash, [`Algorithm::hash_length`] bytes.
    #[must_use]
    pub fn hash(&self) -> &[u8] {
        self.hash
            .get(..self.algorithm.hash_length())
            .unwrap_or_default()
    }

    /// The hash in lower-case hexadecimal, without the algorithm.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(self.hash())
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (algorithm, encoded) = text.split_once(':').ok_or(ParseDigestError::Malformed)?;
        if !is_algorithm_name(algorithm) || encoded.is_empty() {
            return Err(ParseDigestError::Malformed);
        }
        let algorithm: Algorithm = algorithm.parse()?;
        if encoded.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(ParseDigestError::InvalidHash);
        }
        let mut hash = [0; 64];
        let hash_bytes = hash
            .get_mut(..algorithm.hash_length())
            .ok_or(ParseDigestError::InvalidHash)?;
        hex::decode_to_slice(encoded, hash_bytes).map_err(|_| ParseDigestError::InvalidHash)?;
        Ok(Self { algorithm, hash })
    }
}

/// Image specification: `component (separator component)*` of lower-case
/// letters and digits, with one of `+._-` between components.
fn is_algorithm_name(name: &str) -> bool {
    name.split(['+', '.', '_', '-']).all(|component| {
        !component.is_empty()
            && component
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    })
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 128];
        let length = 2 * self.algorithm.hash_length();
        let encoded = text.get_mut(..length).ok_or(fmt::Error)?;
        hex::encode_to_slice(self.hash(), encoded).map_err(|_| fmt::Error)?;
        formatter.write_str(self.algorithm.as_str())?;
        formatter.write_str(":")?;
        formatter.write_str(std::str::from_utf8(encoded).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_digest_reads_back_as_it_was_written() {
        for algorithm in Algorithm::ALL {
            let digest = Digest::of(algorithm, b"content");
            assert_eq!(digest.to_string().parse(), Ok(digest));
        }
        assert_eq!(Digest::of(Algorithm::Sha256, b"").to_string(), EMPTY);
    }

    #[test]
    fn what_is_not_a_digest_is_refused_with_the_reason() {
        use ParseDigestError::{InvalidHash, Malformed, UnsupportedAlgorithm};
        let upper = EMPTY.to_uppercase().replace("SHA256", "sha256");
        let short = &EMPTY[..EMPTY.len() - 1];
        for (text, reason) in [
            ("", Malformed),
            ("sha256", Malformed),
            ("sha256:", Malformed),
            (":abc", Malformed),
            ("SHA256:abc", Malformed),
            ("sha256++b:abc", Malformed),
            ("../etc:abc", Malformed),
            ("md5:d41d8cd98f00b204e9800998ecf8427e", UnsupportedAlgorithm),
            ("sha256+b64:abc", UnsupportedAlgorithm),
            ("sha512:abc", InvalidHash),
            (upper.as_str(), InvalidHash),
            (short, InvalidHash),
        ] {
            assert_eq!(text.parse::<Digest>(), Err(reason), "{text}");
        }
    }
}
