//! Upload sessions: how a blob arrives in pieces.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use thiserror::Error;
use uuid::Uuid;

use super::digest::Algorithm;
use super::name::RepositoryName;

/// What an upload session is called: a UUID in its hyphenated form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId(Uuid);

impl UploadId {
    /// The session called by this UUID.
    #[must_use]
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The UUID.
    #[must_use]
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

/// A text that is not an upload session's UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an upload session is called by a UUID")]
pub struct ParseUploadIdError;

impl FromStr for UploadId {
    type Err = ParseUploadIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // One spelling only: a session has one name in the store.
        let uuid = Uuid::try_parse(text).map_err(|_| ParseUploadIdError)?;
        let mut canonical = Uuid::encode_buffer();
        if uuid.as_hyphenated().encode_lower(&mut canonical) == text {
            Ok(Self(uuid))
        } else {
            Err(ParseUploadIdError)
        }
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(formatter)
    }
}

/// What stays the same of an upload session from its start to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadSession {
    /// What it is called.
    pub id: UploadId,
    /// The repository that the blob is pushed to.
    pub repository: RepositoryName,
    /// The hash that is computed while bytes arrive.
    pub algorithm: Algorithm,
    /// When it began.
    pub started: SystemTime,
}

/// The `Content-Range` of a chunk: `<first>-<last>`, both inclusive.
///
/// spec: end-5
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRange {
    /// The position of the chunk's first byte in the blob.
    pub first: u64,
    /// The chunk's length in bytes, at least 1.
    pub length: u64,
}

/// A text that is not the range of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the Content-Range of a chunk reads <first byte>-<last byte>")]
pub struct ParseChunkRangeError;

impl FromStr for ChunkRange {
    type Err = ParseChunkRangeError;

    /// Takes the specification's `0-99`, and `bytes 0-99/100` or `/*` from
    /// clients that write the header as RFC 9110 has it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.strip_prefix("bytes ").unwrap_or(text);
        let (text, total) = match text.split_once('/') {
            Some((text, total)) => (text, Some(total)),
            None => (text, None),
        };
        let (first, last) = text.split_once('-').ok_or(ParseChunkRangeError)?;
        let first = parse_position(first)?;
        let last = parse_position(last)?;
        match total {
            None | Some("*") => {}
            Some(total) => {
                if parse_position(total)? <= last {
                    return Err(ParseChunkRangeError);
                }
            }
        }
        let length = last
            .checked_sub(first)
            .and_then(|span| span.checked_add(1))
            .ok_or(ParseChunkRangeError)?;
        Ok(Self { first, length })
    }
}

fn parse_position(digits: &str) -> Result<u64, ParseChunkRangeError> {
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        digits.parse().map_err(|_| ParseChunkRangeError)
    } else {
        Err(ParseChunkRangeError)
    }
}

/// What a session has received, as the `Range` header says it: `0-<last byte>`.
///
/// Clients parse two numbers, so a session that has nothing says `0-0` too.
#[must_use]
pub fn received_range(received: u64) -> String {
    format!("0-{}", received.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_one_spelling() {
        let id = UploadId::new(Uuid::from_u128(0x1234));
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in [
            "",
            "00000000000000000000000000001234",
            "{00000000-0000-0000-0000-000000001234}",
            "urn:uuid:00000000-0000-0000-0000-000000001234",
            "AAAAAAAA-0000-0000-0000-000000001234",
            "../../etc/passwd",
        ] {
            assert_eq!(text.parse::<UploadId>(), Err(ParseUploadIdError), "{text}");
        }
    }

    #[test]
    fn chunk_ranges_are_inclusive_at_both_ends() {
        let range = |first, length| Ok(ChunkRange { first, length });
        assert_eq!("0-99".parse(), range(0, 100));
        assert_eq!("100-100".parse(), range(100, 1));
        assert_eq!("bytes 0-99/*".parse(), range(0, 100));
        assert_eq!("bytes 0-99/100".parse(), range(0, 100));
        for text in [
            "",
            "-",
            "1-",
            "-1",
            "5-4",
            "a-b",
            "+0-1",
            "0-18446744073709551615",
            "0-9/9",
            "0 - 9",
        ] {
            assert_eq!(
                text.parse::<ChunkRange>(),
                Err(ParseChunkRangeError),
                "{text}"
            );
        }
    }

    #[test]
    fn a_session_without_bytes_still_has_a_range_to_parse() {
        assert_eq!(received_range(0), "0-0");
        assert_eq!(received_range(100), "0-99");
    }
}
