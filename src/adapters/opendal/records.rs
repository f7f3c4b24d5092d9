//! Records: one small object each.
//!
//! Few stores remove an object on a condition, so a record goes in two steps:
//! it is replaced, by compare-and-swap, with a *tombstone*, and that is the
//! moment of its removal; then the tombstone is removed. Between the two the
//! key is nobody's but the remover's: whoever reads takes the record for
//! absent, and whoever wants to write waits until the key is free, so that the
//! second step never meets a new record. A tombstone whose remover has died is
//! taken over by replacing it with a fresh one, once it is so old that no
//! request of its remover can still be under way.
//!
//! Lists must tell tombstones from records without reading them: a tombstone is
//! shorter than any record, and the shortest records are padded for that.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;
use uuid::Uuid;

use super::bucket::{Bucket, Condition, Object, Put, pause};
use super::layout::{self, SetPrefix};
use super::{OpendalStore, Patience};
use crate::domain::name::RepositoryName;
use crate::domain::record_key::{RecordKey, RecordSet};
use crate::ports::record_store::{
    Expected, RecordWrite, RemoveOutcome, StoredRecord, Version, WriteOutcome,
};
use crate::ports::{RecordStore, StoreError};

/// The length of a tombstone in bytes: chance enough that no two are the same.
const TOMBSTONE: usize = 7;

/// The length of the shortest record in bytes. No JSON object of ours is
/// shorter by more than one.
const SHORTEST: usize = TOMBSTONE + 1;

/// A tombstone so old was left by a remover that has died.
pub(super) const LONGEST_REMOVAL: Duration = Duration::from_secs(120);

#[async_trait]
impl RecordStore for OpendalStore {
    async fn get(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
        let place = layout::record(key);
        let stored = self.bucket().get(&place).await?;
        let Some(object) = stored.filter(|object| !is_tombstone(object.content.len())) else {
            return Ok(None);
        };
        Ok(Some(StoredRecord {
            value: unpadded(object.content),
            version: Version::new(object.etag.into()),
        }))
    }

    async fn write(&self, writes: &[RecordWrite]) -> Result<WriteOutcome, StoreError> {
        // One after the other: each is seen only once those before it are.
        for (position, write) in writes.iter().enumerate() {
            if !self.write_record(write).await? {
                return Ok(WriteOutcome::Conflict(position));
            }
        }
        Ok(WriteOutcome::Written)
    }

    async fn remove(
        &self,
        key: &RecordKey,
        expected: &Expected,
    ) -> Result<RemoveOutcome, StoreError> {
        let place = layout::record(key);
        let mut patience = Patience::new(&place);
        loop {
            let stored = self.bucket().get(&place).await?;
            let Some(object) = stored.filter(|object| !is_tombstone(object.content.len())) else {
                return Ok(RemoveOutcome::Absent);
            };
            let is_expected = match expected {
                Expected::Any => true,
                Expected::Absent => false,
                Expected::Matches(version) => version.as_bytes() == object.etag.as_bytes(),
            };
            if !is_expected {
                return Ok(RemoveOutcome::Conflict);
            }
            if remove_object(self.bucket(), &place, object.etag).await? {
                return Ok(RemoveOutcome::Removed);
            }
            patience.spend()?;
        }
    }

    async fn list(
        &self,
        set: &RecordSet,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RecordKey>, StoreError> {
        let mut keys = Vec::new();
        if limit == 0 {
            return Ok(keys);
        }
        let SetPrefix { path, .. } = layout::set(set);
        let start = after.and_then(|after| layout::list_from(set, after));
        let start = start.map(|start| format!("{path}{start}"));
        let mut listed = self.bucket().list(&path, start, limit).await?;
        while let Some(object) = listed.try_next().await? {
            let Some(name) = object.key.strip_prefix(&path) else {
                continue;
            };
            let leaf = layout::leaf(set, name);
            let is_wanted = !is_tombstone(usize::try_from(object.size).unwrap_or(usize::MAX))
                && after.is_none_or(|after| *leaf > *after);
            // An object whose key is none of ours is somebody else's.
            keys.extend(set.key(&leaf).filter(|_| is_wanted));
            if keys.len() == limit {
                break;
            }
        }
        Ok(keys)
    }

    async fn repositories(
        &self,
        after: Option<&RepositoryName>,
        limit: usize,
    ) -> Result<Vec<RepositoryName>, StoreError> {
        // As directories they come in another order, so all are looked at; that
        // is one request for a thousand of them.
        let directories = self.bucket().directories(layout::MANIFESTS).await?;
        let names = directories
            .iter()
            .filter_map(|name| layout::repository(name));
        let mut names: Vec<_> = names.filter(|name| Some(name) > after).collect();
        names.sort_unstable();
        names.truncate(limit);
        Ok(names)
    }
}

impl OpendalStore {
    /// Writes one record; `false` if something else than expected is there.
    async fn write_record(&self, write: &RecordWrite) -> Result<bool, StoreError> {
        let place = layout::record(&write.key);
        let content = padded(&write.value);
        if let Expected::Matches(version) = &write.expected {
            let Ok(etag) = String::from_utf8(version.as_bytes().to_vec()) else {
                return Ok(false);
            };
            let condition = Condition::Matches(etag);
            let put = self.bucket().put_if(&place, &content, &condition).await?;
            return Ok(put != Put::Refused);
        }
        let mut patience = Patience::new(&place);
        let mut condition = Condition::Absent;
        loop {
            if self.bucket().put_if(&place, &content, &condition).await? != Put::Refused {
                return Ok(true);
            }
            condition = match self.bucket().get(&place).await? {
                None => Condition::Absent,
                Some(object) if is_tombstone(object.content.len()) => {
                    self.clear_tombstone(&place, object).await?;
                    Condition::Absent
                }
                Some(_) if write.expected == Expected::Absent => return Ok(false),
                // Written again it would be the same object.
                Some(object) if object.content == content => return Ok(true),
                Some(object) => Condition::Matches(object.etag),
            };
            patience.spend()?;
        }
    }

    /// Waits a moment for a tombstone to go, or takes it over.
    async fn clear_tombstone(&self, place: &str, object: Object) -> Result<(), StoreError> {
        if self.is_older(&object, LONGEST_REMOVAL) {
            remove_object(self.bucket(), place, object.etag).await?;
        } else {
            pause(0).await;
        }
        Ok(())
    }
}

/// Removes the version of an object that is called `etag`; `false` if another
/// one is there.
async fn remove_object(bucket: &Bucket, place: &str, etag: String) -> Result<bool, StoreError> {
    let tombstone: Bytes = Uuid::new_v4()
        .into_bytes()
        .into_iter()
        .take(TOMBSTONE)
        .collect();
    let condition = Condition::Matches(etag);
    if bucket.put_if(place, &tombstone, &condition).await? == Put::Refused {
        return Ok(false);
    }
    // From here on it is gone. Should this fail, the tombstone stays until
    // somebody takes it over.
    let _ = tokio::time::timeout(LONGEST_REMOVAL / 4, bucket.delete_once(place)).await;
    Ok(true)
}

const fn is_tombstone(length: usize) -> bool {
    length <= TOMBSTONE
}

fn padded(value: &Bytes) -> Bytes {
    if value.len() >= SHORTEST {
        return value.clone();
    }
    let padding = std::iter::repeat_n(b'\n', SHORTEST - value.len());
    value.iter().copied().chain(padding).collect()
}

/// JSON does not end with a line feed, so what does is padding.
fn unpadded(content: Bytes) -> Bytes {
    if content.len() != SHORTEST {
        return content;
    }
    let end = content.iter().rposition(|byte| *byte != b'\n');
    content.slice(..end.map_or(0, |last| last + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_record_is_as_short_as_a_tombstone_and_all_read_back() {
        for value in ["", "1", "{}", r#"{"v":1}"#, r#"{"v":10}"#, r#"{"v":100}"#] {
            let content = padded(&Bytes::from(value));
            assert!(!is_tombstone(content.len()), "{value}");
            assert_eq!(unpadded(content), value);
        }
    }
}
