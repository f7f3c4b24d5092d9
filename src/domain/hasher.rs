//! A hash in the making, which can be put aside and taken up again.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest as _, Sha256, Sha512};

use super::digest::{Algorithm, Digest};

/// The hash of the bytes seen so far.
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    /// A hasher that has seen no bytes.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Sha512::new()),
        })
    }

    /// The algorithm of the digest in the making.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self.0 {
            State::Sha256(_) => Algorithm::Sha256,
            State::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// Takes in the bytes that follow those seen so far.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(hasher) => hasher.update(bytes),
            State::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// The digest of the bytes seen so far.
    #[must_use]
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Sha256(hasher) => Digest::from_hash(Algorithm::Sha256, &hasher.finalize()),
            State::Sha512(hasher) => Digest::from_hash(Algorithm::Sha512, &hasher.finalize()),
        }
    }

    /// The state, from which [`Hasher::resume`] goes on.
    #[must_use]
    pub fn suspend(&self) -> SuspendedHasher {
        SuspendedHasher {
            algorithm: self.algorithm().as_str().to_owned(),
            state: match &self.0 {
                State::Sha256(hasher) => hex::encode(hasher.serialize()),
                State::Sha512(hasher) => hex::encode(hasher.serialize()),
            },
        }
    }

    /// Goes on where [`Hasher::suspend`] stopped; `None` if the state is not one.
    #[must_use]
    pub fn resume(suspended: &SuspendedHasher) -> Option<Self> {
        let state = hex::decode(&suspended.state).ok()?;
        Some(Self(match suspended.algorithm.parse().ok()? {
            Algorithm::Sha256 if is_countable(&state, 32..40) => {
                State::Sha256(deserialize(&state)?)
            }
            Algorithm::Sha512 if is_countable(&state, 64..80) => {
                State::Sha512(deserialize(&state)?)
            }
            Algorithm::Sha256 | Algorithm::Sha512 => return None,
        }))
    }
}

/// Whether a state's count of blocks, `count` in its bytes, lowest first, is one
/// that content can have: below 2⁴⁸. Of a larger one, which only damage makes,
/// the length in bits would overflow at the end.
fn is_countable(state: &[u8], count: Range<usize>) -> bool {
    let highest = state.get(count).and_then(|count| count.get(6..));
    highest.is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0))
}

fn deserialize<H: SerializableState>(state: &[u8]) -> Option<H> {
    let state = <&SerializedState<H>>::try_from(state).ok()?;
    H::deserialize(state).ok()
}

/// A hash put aside: a record of it fits in a few hundred bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuspendedHasher {
    algorithm: String,
    state: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspended_hash_goes_on_to_the_same_digest() {
        for algorithm in Algorithm::ALL {
            for cut in [0, 1, 63, 64, 65, 127, 128, 1000] {
                let content: Vec<u8> = (0..1000).map(|number: u32| number as u8).collect();
                let mut first = Hasher::new(algorithm);
                first.update(&content[..cut]);
                let mut second = Hasher::resume(&first.suspend()).expect("a state of our own");
                second.update(&content[cut..]);
                assert_eq!(second.finish(), Digest::of(algorithm, &content));
            }
        }
    }

    #[test]
    fn a_damaged_state_is_not_resumed() {
        let mut suspended = Hasher::new(Algorithm::Sha256).suspend();
        suspended.state.truncate(20);
        assert!(Hasher::resume(&suspended).is_none());
    }

    #[test]
    fn a_state_that_has_seen_more_than_there_can_be_is_not_resumed() {
        for (algorithm, last_of_count) in [(Algorithm::Sha256, 39), (Algorithm::Sha512, 79)] {
            let mut suspended = Hasher::new(algorithm).suspend();
            let digit = last_of_count * 2;
            suspended.state.replace_range(digit..=digit, "1");
            assert!(Hasher::resume(&suspended).is_none(), "{algorithm:?}");
        }
    }
}
