//! Records: the small JSON values that are stored beside the bytes.
//!
//! One record states one fact. Each says the version of its format, so that a
//! later Octoserve can tell an old record from a damaged one.

use std::time::SystemTime;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use uuid::Uuid;

use super::descriptor::Descriptor;
use super::digest::Digest;
use super::media_type::MediaType;

/// A repository exists; what the catalog lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryRecord {
    #[serde(rename = "v")]
    version: Version1,
    /// Set if somebody is about to remove the record; see [`Condemned`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condemned: Option<Condemned>,
}

/// A repository may serve a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    #[serde(rename = "v")]
    version: Version1,
    /// The blob's length in bytes, when it was claimed: content that now has
    /// another length is damaged.
    pub size: u64,
    /// Set if somebody is about to remove the record; see [`Condemned`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condemned: Option<Condemned>,
}

/// A repository holds a manifest, and what the manifest refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    #[serde(rename = "v")]
    version: Version1,
    /// The type it was pushed with, and is answered with.
    pub media_type: MediaType,
    /// The manifest's length in bytes.
    pub size: u64,
    /// The blobs it refers to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blobs: Vec<Digest>,
    /// The manifests it refers to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<Digest>,
    /// The manifest it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Digest>,
    /// Set if somebody is about to remove the record; see [`Condemned`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condemned: Option<Condemned>,
}

/// What a tag points to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TagRecord {
    #[serde(rename = "v")]
    version: Version1,
    /// The manifest's digest.
    pub digest: Digest,
    /// The manifest's media type.
    pub media_type: MediaType,
    /// The manifest's length in bytes.
    pub size: u64,
    /// When the tag was last written.
    #[serde(with = "rfc3339")]
    pub updated: SystemTime,
    /// Told apart from any other write by this; see [`Nonce`].
    pub nonce: Nonce,
}

/// A manifest refers to a subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReferrerRecord {
    #[serde(rename = "v")]
    version: Version1,
    /// The manifest, as the referrers list shows it.
    pub descriptor: Descriptor,
    /// Set if somebody is about to remove the record; see [`Condemned`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condemned: Option<Condemned>,
}

/// A tag once pointed to a manifest, and may still.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaggedHint {
    #[serde(rename = "v")]
    version: Version1,
    /// Told apart from any other write by this; see [`Nonce`].
    pub nonce: Nonce,
    /// Set if somebody is about to remove the record; see [`Condemned`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condemned: Option<Condemned>,
}

/// A process is at a job, or the job is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobRecord {
    #[serde(rename = "v")]
    version: Version1,
    /// Tells the run from any other; see [`Nonce`].
    pub nonce: Nonce,
    /// Until when the run is taken for alive; absent when it has got to its end.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "optional_rfc3339"
    )]
    pub held_until: Option<SystemTime>,
}

/// What makes two writes of otherwise equal records differ.
///
/// Stores compare records by their bytes, so a record that is replaced or
/// removed on the condition that nobody has written it since carries one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nonce(pub Uuid);

/// Marks a record that somebody is about to remove.
///
/// It still counts as what it is. Only, whoever comes to rely on the record
/// writes it anew without the mark, and whoever set the mark looks once more
/// whether anything relies on the record, and then removes it if the mark is
/// still there. Whichever of the two comes second sees what the first has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condemned {
    /// Since when.
    #[serde(with = "rfc3339")]
    pub since: SystemTime,
    /// Told apart from any other mark by this; see [`Nonce`].
    pub nonce: Nonce,
}

/// A record that can be condemned.
pub trait Condemnable: Serialize + DeserializeOwned + Clone + Send + Sync {
    /// The mark.
    fn condemned(&self) -> Option<Condemned>;

    /// Sets the mark, or takes it away.
    fn condemn(&mut self, mark: Option<Condemned>);
}

macro_rules! condemnable {
    ($($record:ident),+) => {
        $(impl Condemnable for $record {
            fn condemned(&self) -> Option<Condemned> {
                self.condemned
            }

            fn condemn(&mut self, mark: Option<Condemned>) {
                self.condemned = mark;
            }
        })+
    };
}

condemnable!(
    RepositoryRecord,
    Claim,
    Revision,
    ReferrerRecord,
    TaggedHint
);

impl RepositoryRecord {
    /// The record of a repository.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a record is written on purpose")]
    pub const fn new() -> Self {
        Self {
            version: Version1,
            condemned: None,
        }
    }
}

impl Claim {
    /// A claim on a blob of `size` bytes.
    #[must_use]
    pub const fn new(size: u64) -> Self {
        Self {
            version: Version1,
            size,
            condemned: None,
        }
    }
}

impl Revision {
    /// The record of a manifest of `size` bytes that refers to nothing yet.
    #[must_use]
    pub const fn new(media_type: MediaType, size: u64) -> Self {
        Self {
            version: Version1,
            media_type,
            size,
            blobs: Vec::new(),
            manifests: Vec::new(),
            subject: None,
            condemned: None,
        }
    }
}

impl TagRecord {
    /// A tag that points to this manifest since `updated`.
    #[must_use]
    pub const fn new(
        digest: Digest,
        media_type: MediaType,
        size: u64,
        updated: SystemTime,
        nonce: Nonce,
    ) -> Self {
        Self {
            version: Version1,
            digest,
            media_type,
            size,
            updated,
            nonce,
        }
    }
}

impl ReferrerRecord {
    /// The record of a referrer.
    #[must_use]
    pub const fn new(descriptor: Descriptor) -> Self {
        Self {
            version: Version1,
            descriptor,
            condemned: None,
        }
    }
}

impl TaggedHint {
    /// The hint that a tag pointed here.
    #[must_use]
    pub const fn new(nonce: Nonce) -> Self {
        Self {
            version: Version1,
            nonce,
            condemned: None,
        }
    }
}

impl JobRecord {
    /// A run that is taken for alive until then.
    #[must_use]
    pub const fn held(nonce: Nonce, until: SystemTime) -> Self {
        Self {
            version: Version1,
            nonce,
            held_until: Some(until),
        }
    }
}

/// A stored record that does not read back: damage, or a later format.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a record does not parse: {0}")]
pub struct RecordError(String);

/// The bytes that a record is stored as.
///
/// # Errors
/// Only if a value cannot be JSON, which none of this module's records are.
pub fn encode<R: Serialize>(record: &R) -> Result<Bytes, RecordError> {
    serde_json::to_vec(record)
        .map(Bytes::from)
        .map_err(|error| RecordError(error.to_string()))
}

/// The record that was stored as these bytes.
///
/// # Errors
/// When the bytes are not such a record, or one of an unknown format version.
pub fn decode<R: DeserializeOwned>(bytes: &[u8]) -> Result<R, RecordError> {
    serde_json::from_slice(bytes).map_err(|error| RecordError(error.to_string()))
}

/// The format version that this Octoserve writes, `1` in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version1;

impl Serialize for Version1 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(1)
    }
}

impl<'de> Deserialize<'de> for Version1 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            1 => Ok(Self),
            other => Err(serde::de::Error::custom(format_args!(
                "its format version is {other}, and this program knows only version 1"
            ))),
        }
    }
}

/// Points in time as text that a person can read in the store.
pub(crate) mod rfc3339 {
    use super::{Deserialize, Deserializer, Serializer, SystemTime};

    pub(crate) fn serialize<S: Serializer>(
        time: &SystemTime,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_rfc3339_millis(*time))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<SystemTime, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        humantime::parse_rfc3339(&text).map_err(serde::de::Error::custom)
    }
}

/// The same, where there may be none.
mod optional_rfc3339 {
    use super::{Deserialize, Deserializer, Serialize, Serializer, SystemTime, rfc3339};

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Moment(#[serde(with = "rfc3339")] SystemTime);

    pub(super) fn serialize<S: Serializer>(
        time: &Option<SystemTime>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        time.map(Moment).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SystemTime>, D::Error> {
        let moment = Option::<Moment>::deserialize(deserializer)?;
        Ok(moment.map(|Moment(time)| time))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::digest::Algorithm;
    use crate::domain::media_type::OCI_MANIFEST;

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let updated = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        let digest = Digest::of(Algorithm::Sha512, b"manifest");
        let tag = TagRecord::new(
            digest,
            OCI_MANIFEST.into(),
            8,
            updated,
            Nonce(Uuid::from_u128(7)),
        );
        let bytes = encode(&tag).expect("JSON");
        assert_eq!(decode(&bytes), Ok(tag));
        assert!(
            std::str::from_utf8(&bytes)
                .expect("text")
                .contains("2023-11-14T22:13:20.123Z")
        );
    }

    #[test]
    fn a_record_of_a_later_format_is_refused() {
        assert_eq!(decode::<Claim>(br#"{"v":1,"size":3}"#), Ok(Claim::new(3)));
        for bytes in [
            &br#"{"v":2,"size":3}"#[..],
            br#"{"size":3}"#,
            b"",
            b"{}",
            b"\0\0\0",
        ] {
            assert!(decode::<Claim>(bytes).is_err());
        }
    }
}
