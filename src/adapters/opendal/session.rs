//! Upload sessions as they are stored: one object each, changed by
//! compare-and-swap, so that any replica can go on with any session.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::framed::{frame, unframe};
use super::pointer::Part;
use crate::domain::digest::Digest;
use crate::domain::hasher::{Hasher, SuspendedHasher};
use crate::domain::name::RepositoryName;
use crate::domain::record::{Nonce, RecordError, rfc3339};
use crate::domain::upload::{UploadId, UploadSession};

/// A replica that receives a large body says so again and again, at least this
/// often.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(10);

/// A replica that has not said so for so long is not receiving any more.
const LONGEST_SILENCE: Duration = Duration::from_secs(30);

/// Who has begun to end a session is not at it any more after so long: no
/// request lives as long.
pub(super) const LONGEST_END: Duration = Duration::from_secs(600);

/// An upload session.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) begun: UploadSession,
    /// When something last happened to it.
    pub(super) used: SystemTime,
    /// The hash of all that was received.
    pub(super) hasher: Hasher,
    /// The objects that hold what was received, but for the tail.
    pub(super) parts: Vec<Part>,
    /// What was received last, as long as it is little.
    pub(super) tail: Bytes,
    pub(super) state: State,
}

/// What is being done with a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum State {
    /// Nothing, or something that will only be said when it is done.
    Open,
    /// A replica receives a body, of which it has so many bytes.
    Receiving(u64),
    /// Its bytes become the blob of this digest; then it is gone.
    Finished(Digest),
    /// It is over: its bytes are being removed.
    Abandoned,
}

#[derive(Serialize, Deserialize)]
struct Document {
    v: u32,
    repository: RepositoryName,
    algorithm: String,
    #[serde(with = "rfc3339")]
    started: SystemTime,
    #[serde(with = "rfc3339")]
    used: SystemTime,
    nonce: Nonce,
    state: State,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parts: Vec<Part>,
    hash: SuspendedHasher,
}

impl Session {
    /// A session that has received nothing.
    pub(super) fn begin(begun: UploadSession, now: SystemTime) -> Self {
        Self {
            used: now,
            hasher: Hasher::new(begun.algorithm),
            parts: Vec::new(),
            tail: Bytes::new(),
            state: State::Open,
            begun,
        }
    }

    /// How many bytes are kept.
    pub(super) fn kept(&self) -> u64 {
        let in_parts: u64 = self.parts.iter().map(|part| part.size).sum();
        in_parts + self.tail.len() as u64
    }

    /// How many bytes have been received, those under way included.
    pub(super) fn received(&self) -> u64 {
        match self.state {
            State::Receiving(under_way) => self.kept() + under_way,
            State::Open | State::Finished(_) | State::Abandoned => self.kept(),
        }
    }

    /// Whether another request is receiving a body or finishing, and alive.
    pub(super) fn is_busy(&self, now: SystemTime) -> bool {
        let silence = now.duration_since(self.used).unwrap_or_default();
        match self.state {
            State::Receiving(_) => silence < LONGEST_SILENCE,
            State::Finished(_) => silence < LONGEST_END,
            State::Open | State::Abandoned => false,
        }
    }

    /// The object's bytes: no two writes have the same.
    pub(super) fn encode(&self) -> Result<Bytes, RecordError> {
        let document = Document {
            v: 1,
            repository: self.begun.repository.clone(),
            algorithm: self.begun.algorithm.as_str().to_owned(),
            started: self.begun.started,
            used: self.used,
            nonce: Nonce(Uuid::new_v4()),
            state: self.state,
            parts: self.parts.clone(),
            hash: self.hasher.suspend(),
        };
        frame(&document, &self.tail)
    }

    /// The session that was stored as these bytes; `None` if they are not one.
    pub(super) fn decode(id: UploadId, object: &Bytes) -> Option<Self> {
        let (document, tail) = unframe::<Document>(object).ok()?;
        let hasher = Hasher::resume(&document.hash)?;
        (document.v == 1).then_some(Self {
            begun: UploadSession {
                id,
                repository: document.repository,
                algorithm: document.algorithm.parse().ok()?,
                started: document.started,
            },
            used: document.used,
            hasher,
            parts: document.parts,
            tail,
            state: document.state,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::pointer::whole_milliseconds;
    use super::*;
    use crate::domain::digest::Algorithm;

    fn session() -> Session {
        let now = whole_milliseconds(SystemTime::now());
        let begun = UploadSession {
            id: UploadId::new(Uuid::from_u128(1)),
            repository: "a/b".parse().expect("a name"),
            algorithm: Algorithm::Sha256,
            started: now,
        };
        Session::begin(begun, now)
    }

    #[test]
    fn a_session_reads_back_and_goes_on() {
        let mut session = session();
        session.hasher.update(b"first, ");
        session.parts.push(Part {
            key: "data/x/1".to_owned(),
            size: 7,
        });
        session.tail = Bytes::from_static(b"second\n");
        session.hasher.update(&session.tail.clone());
        let object = session.encode().expect("JSON");
        assert_ne!(object, session.encode().expect("JSON"));
        let back = Session::decode(session.begun.id, &object).expect("a session");
        assert_eq!(back.begun, session.begun);
        assert_eq!((back.used, back.kept()), (session.used, 14));
        assert_eq!(back.parts, session.parts);
        assert_eq!(back.tail, session.tail);
        let digest = Digest::of(Algorithm::Sha256, b"first, second\n");
        assert_eq!(back.hasher.finish(), digest);
    }

    #[test]
    fn who_receives_and_falls_silent_is_taken_for_dead() {
        let mut session = session();
        assert!(!session.is_busy(session.used));
        session.state = State::Receiving(10);
        assert_eq!((session.kept(), session.received()), (0, 10));
        assert!(session.is_busy(session.used));
        assert!(
            session.is_busy(session.used - HEARTBEAT),
            "a clock set back"
        );
        assert!(session.is_busy(session.used + 2 * HEARTBEAT));
        assert!(!session.is_busy(session.used + LONGEST_SILENCE));
        session.state = State::Finished(Digest::of(Algorithm::Sha256, b""));
        assert!(session.is_busy(session.used + LONGEST_SILENCE));
        assert!(!session.is_busy(session.used + LONGEST_END));
    }
}
