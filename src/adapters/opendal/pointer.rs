//! Pointers: what stands under a blob's digest, and says where its bytes are.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::framed::{frame, unframe};
use crate::domain::range::ByteRange;
use crate::domain::record::{RecordError, rfc3339};

/// Content of at most so many bytes is kept in the pointer itself: it is then
/// pushed, and pulled, with one request fewer.
pub(super) const LARGEST_INLINE: usize = 64 * 1024;

/// An object that holds a part of a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) key: String,
    /// Its length in bytes.
    pub(super) size: u64,
}

/// What stands under a blob's digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pointer {
    /// The content's length in bytes.
    pub(super) size: u64,
    /// When the lease was last renewed, or the blob removed.
    pub(super) leased: SystemTime,
    /// Rewritten with the same bytes an object would have the same entity tag;
    /// so each time it is written it has another one of these.
    pub(super) nonce: Uuid,
    pub(super) place: Place,
    /// What earlier pointers named. Whoever reads it may go on until it is
    /// collected.
    pub(super) former: Vec<Former>,
}

/// Objects that a pointer named until some moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Former {
    #[serde(with = "rfc3339")]
    pub(super) until: SystemTime,
    pub(super) parts: Vec<Part>,
}

/// Where the bytes of a blob are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the pointer.
    Inline(Bytes),
    /// In these objects, one after the other.
    Parts(Vec<Part>),
    /// Nowhere: the blob has been removed.
    Removed,
    /// Nowhere, and the pointer is about to go.
    Vanishing,
}

#[derive(Serialize, Deserialize)]
struct Document {
    v: u32,
    state: State,
    size: u64,
    #[serde(with = "rfc3339")]
    leased: SystemTime,
    nonce: Uuid,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parts: Vec<Part>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    former: Vec<Former>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum State {
    Stored,
    Removed,
    Vanishing,
}

/// What was named so long ago is not kept track of any more: without a name it
/// is collected all the same.
const LONGEST_FORMER: Duration = Duration::from_secs(48 * 60 * 60);

impl Pointer {
    /// The pointer to content that was stored for the first time.
    pub(super) fn new(size: u64, now: SystemTime, place: Place) -> Self {
        Self {
            size,
            leased: now,
            nonce: Uuid::new_v4(),
            place,
            former: Vec::new(),
        }
    }

    /// The pointer that takes the place of this one.
    pub(super) fn successor(&self, size: u64, now: SystemTime, place: Place) -> Self {
        let mut former = self.former.clone();
        former.retain(|former| {
            let age = now.duration_since(former.until).unwrap_or_default();
            age < LONGEST_FORMER
        });
        if let Place::Parts(parts) = &self.place
            && self.place != place
        {
            former.push(Former {
                until: now,
                parts: parts.clone(),
            });
        }
        Self {
            former,
            ..Self::new(size, now, place)
        }
    }

    /// Whether the blob is there.
    pub(super) const fn is_stored(&self) -> bool {
        matches!(self.place, Place::Inline(_) | Place::Parts(_))
    }

    /// The object's bytes.
    pub(super) fn encode(&self) -> Result<Bytes, RecordError> {
        let (state, parts, content) = match &self.place {
            Place::Inline(content) => (State::Stored, Vec::new(), content.clone()),
            Place::Parts(parts) => (State::Stored, parts.clone(), Bytes::new()),
            Place::Removed => (State::Removed, Vec::new(), Bytes::new()),
            Place::Vanishing => (State::Vanishing, Vec::new(), Bytes::new()),
        };
        let document = Document {
            v: 1,
            state,
            size: self.size,
            leased: self.leased,
            nonce: self.nonce,
            parts,
            former: self.former.clone(),
        };
        frame(&document, &content)
    }

    /// The pointer that was stored as these bytes; `None` if they are not one.
    pub(super) fn decode(object: &Bytes) -> Option<Self> {
        let (document, content) = unframe::<Document>(object).ok()?;
        let place = match document.state {
            State::Removed => Place::Removed,
            State::Vanishing => Place::Vanishing,
            State::Stored if document.parts.is_empty() => Place::Inline(content),
            State::Stored => Place::Parts(document.parts),
        };
        let length = match &place {
            Place::Inline(content) => content.len() as u64,
            Place::Parts(parts) => parts.iter().map(|part| part.size).sum(),
            Place::Removed | Place::Vanishing => document.size,
        };
        let is_whole = document.v == 1 && length == document.size;
        is_whole.then_some(Self {
            size: document.size,
            leased: document.leased,
            nonce: document.nonce,
            place,
            former: document.former,
        })
    }
}

/// What is to be read of which parts to read a range of the whole.
pub(super) fn cut(parts: &[Part], range: ByteRange) -> Vec<(String, ByteRange)> {
    let mut start = 0;
    let mut cuts = Vec::new();
    for part in parts {
        let end = start + part.size;
        let cut = ByteRange {
            start: range.start.max(start),
            end: range.end.min(end),
        };
        if cut.start < cut.end {
            let within = ByteRange {
                start: cut.start - start,
                end: cut.end - start,
            };
            cuts.push((part.key.clone(), within));
        }
        start = end;
    }
    cuts
}

/// A time as records keep it, to the millisecond.
pub(super) fn whole_milliseconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    let millis = since.map_or(0, |since| since.as_millis());
    let millis = u64::try_from(millis).unwrap_or(u64::MAX);
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(key: &str, size: u64) -> Part {
        Part {
            key: key.to_owned(),
            size,
        }
    }

    #[test]
    fn a_pointer_reads_back() {
        let now = whole_milliseconds(SystemTime::now());
        for (size, place) in [
            (0, Place::Inline(Bytes::new())),
            (3, Place::Inline(Bytes::from_static(b"\n{}"))),
            (
                7,
                Place::Parts(vec![part("data/a/1", 3), part("data/a/2", 4)]),
            ),
            (3, Place::Removed),
            (3, Place::Vanishing),
        ] {
            let pointer = Pointer::new(size, now, place);
            let successor = pointer.successor(size, now, Place::Removed);
            for pointer in [pointer, successor] {
                let object = pointer.encode().expect("JSON");
                assert_eq!(Pointer::decode(&object), Some(pointer));
            }
        }
    }

    #[test]
    fn what_a_pointer_named_is_remembered_for_a_while() {
        let now = whole_milliseconds(SystemTime::now());
        let parts = |key| Place::Parts(vec![part(key, 3)]);
        let first = Pointer::new(3, now, parts("a"));
        let renewed = first.successor(3, now, parts("a"));
        assert_eq!(renewed.former, [], "it names the same");
        assert_ne!(renewed.nonce, first.nonce);
        let second = renewed.successor(3, now, parts("b"));
        let named = |pointer: &Pointer| {
            let parts = pointer.former.iter().flat_map(|former| &former.parts);
            parts.map(|part| part.key.clone()).collect::<Vec<_>>()
        };
        assert_eq!(named(&second), ["a"]);
        let removed = second.successor(3, now, Place::Removed);
        assert_eq!(named(&removed), ["a", "b"]);
        let later = now + LONGEST_FORMER;
        assert_eq!(named(&removed.successor(3, later, parts("c"))), [""; 0]);
    }

    #[test]
    fn what_is_cut_short_is_no_pointer() {
        let content = Place::Inline(Bytes::from_static(b"abc"));
        let pointer = Pointer::new(3, SystemTime::UNIX_EPOCH, content);
        let object = pointer.encode().expect("JSON");
        for length in 0..object.len() {
            assert_eq!(Pointer::decode(&object.slice(..length)), None);
        }
    }

    #[test]
    fn a_range_is_cut_from_the_parts_it_touches() {
        let parts = [part("a", 3), part("b", 1), part("c", 4)];
        let all: Vec<(&str, u64)> = vec![
            ("a", 0),
            ("a", 1),
            ("a", 2),
            ("b", 0),
            ("c", 0),
            ("c", 1),
            ("c", 2),
            ("c", 3),
        ];
        for start in 0..=8_u64 {
            for end in start..=10 {
                let cuts = cut(&parts, ByteRange { start, end });
                let read: Vec<(&str, u64)> = cuts
                    .iter()
                    .flat_map(|(key, range)| (range.start..range.end).map(|at| (key.as_str(), at)))
                    .collect();
                let whole = all.iter().enumerate();
                let wanted: Vec<(&str, u64)> = whole
                    .filter(|(at, _)| (start..end).contains(&(*at as u64)))
                    .map(|(_, byte)| *byte)
                    .collect();
                assert_eq!(read, wanted, "{start}..{end}");
            }
        }
    }
}
