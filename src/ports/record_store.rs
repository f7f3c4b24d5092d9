//! Small values by key, with compare-and-swap.

use async_trait::async_trait;
use bytes::Bytes;

use super::store_error::StoreError;
use crate::domain::name::RepositoryName;
use crate::domain::record_key::{RecordKey, RecordSet};

/// Tells a record's value from any other value that its key has had, provided
/// that the values differ: where they may not, they carry a
/// [`Nonce`](crate::domain::record::Nonce).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version(Bytes);

impl Version {
    /// The version that a store calls by these bytes.
    #[must_use]
    pub const fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// What the store calls it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A record as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its value.
    pub value: Bytes,
    /// Which of its key's values it is.
    pub version: Version,
}

/// What must be stored under a key for a change to go ahead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Anything or nothing.
    Any,
    /// Nothing.
    Absent,
    /// This version.
    Matches(Version),
}

/// A record to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordWrite {
    /// Where.
    pub key: RecordKey,
    /// What.
    pub value: Bytes,
    /// On which condition.
    pub expected: Expected,
}

/// How a series of writes ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// All were made.
    Written,
    /// This one, counted from 0, met something else than it expected. Those
    /// before it were made, it and those after it were not.
    Conflict(usize),
}

/// How a removal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoveOutcome {
    /// The record is gone.
    Removed,
    /// There was none.
    Absent,
    /// It is not the expected version, and stays.
    Conflict,
}

/// Small values by key.
#[async_trait]
pub trait RecordStore: Send + Sync {
    /// The record under a key.
    ///
    /// - A key without a record is `None`.
    /// - It is the last one written, by whichever process.
    async fn get(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError>;

    /// Writes records in the order given.
    ///
    /// - Each is written whole or not at all, and compared and written in one
    ///   step: of two writers that expect the same version one meets a conflict.
    /// - Whoever sees one of them sees those before it, also after a crash.
    /// - All are durable on return.
    /// - Writing what is there already is a write like any other.
    async fn write(&self, writes: &[RecordWrite]) -> Result<WriteOutcome, StoreError>;

    /// Removes a record, if it is what is expected.
    ///
    /// - Compared and removed in one step.
    /// - The removal is durable on return.
    /// - Expecting [`Expected::Absent`] removes nothing.
    async fn remove(
        &self,
        key: &RecordKey,
        expected: &Expected,
    ) -> Result<RemoveOutcome, StoreError>;

    /// Up to `limit` keys of a set, in the byte order of their leaves.
    ///
    /// - With `after`, only those whose leaf is greater, whether or not there
    ///   is or ever was a key with that leaf.
    /// - A set without keys is empty.
    /// - A record that was there before the call and is there after it is seen.
    async fn list(
        &self,
        set: &RecordSet,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RecordKey>, StoreError>;

    /// Up to `limit` names of repositories that have records, other than the
    /// one that lists the repository; in the byte order of the names.
    ///
    /// - With `after`, only those whose name is greater.
    /// - A repository that has some record before the call and after it is
    ///   seen, whether or not it is listed.
    /// - One whose records have all been removed may be seen.
    async fn repositories(
        &self,
        after: Option<&RepositoryName>,
        limit: usize,
    ) -> Result<Vec<RepositoryName>, StoreError>;
}
