//! Records: one small file each.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::durability::{StagedFile, failed, if_found};
use super::sync_queue::Unsynced;
use super::{FilesystemStore, Shared, blocking};
use crate::domain::name::RepositoryName;
use crate::domain::record_key::{RecordKey, RecordSet};
use crate::ports::record_store::{
    Expected, RecordWrite, RemoveOutcome, StoredRecord, Version, WriteOutcome,
};
use crate::ports::{RecordStore, StoreError};

#[async_trait]
impl RecordStore for FilesystemStore {
    async fn get(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
        self.0.recent.get(&self.0.layout.record(key), read_record)
    }

    async fn write(&self, writes: &[RecordWrite]) -> Result<WriteOutcome, StoreError> {
        let shared = Arc::clone(&self.0);
        let writes = writes.to_vec();
        blocking(move || shared.write_records(&writes)).await
    }

    async fn remove(
        &self,
        key: &RecordKey,
        expected: &Expected,
    ) -> Result<RemoveOutcome, StoreError> {
        let shared = Arc::clone(&self.0);
        let (key, expected) = (key.clone(), expected.clone());
        blocking(move || shared.remove_record(&key, &expected)).await
    }

    async fn list(
        &self,
        set: &RecordSet,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RecordKey>, StoreError> {
        let mut keys = Vec::new();
        for directory in self.0.layout.set(set) {
            let prefix = directory.leaf_prefix;
            let names = self
                .0
                .listings
                .names(&directory.path, directory.read_name)?;
            let start = after.map_or(0, |after| {
                names.partition_point(|name| {
                    let leaf = prefix.bytes().chain(name.bytes());
                    leaf.cmp(after.bytes()).is_le()
                })
            });
            // A file whose name is no key's is somebody else's.
            let following = names.iter().skip(start);
            let of_this_set = following.filter_map(|name| set.key(&format!("{prefix}{name}")));
            keys.extend(of_this_set.take(limit - keys.len()));
        }
        Ok(keys)
    }

    async fn repositories(
        &self,
        after: Option<&RepositoryName>,
        limit: usize,
    ) -> Result<Vec<RepositoryName>, StoreError> {
        let shared = Arc::clone(&self.0);
        let after = after.cloned();
        blocking(move || shared.repositories(after.as_ref(), limit)).await
    }
}

impl Shared {
    /// Stages every value and syncs them together, puts them in their places one
    /// after the other, and syncs their directories together.
    ///
    /// No name is there before the bytes are on the disk. Should the power go in
    /// between, whoever sees a record sees it whole, and a tag that was moved
    /// still points to something. That holds for a claim on its own, too: as
    /// soon as it is there, another request may rely on it, be acknowledged, and
    /// be on the disk before this one.
    fn write_records(&self, writes: &[RecordWrite]) -> Result<WriteOutcome, StoreError> {
        let mut records = Vec::with_capacity(writes.len());
        let mut unsynced = Vec::new();
        for write in writes {
            let staged = StagedFile::write(self.layout.staging(), &write.value)?;
            unsynced.push(staged.unsynced());
            if let RecordKey::Claim(_, digest) | RecordKey::Revision(_, digest) = &write.key {
                // The content's name becomes durable with what names it.
                unsynced.extend(parent(&self.layout.blob(digest)));
            }
            records.push(staged);
        }
        self.durability.sync(unsynced)?;
        let mut outcome = WriteOutcome::Written;
        let mut unsynced = Vec::new();
        for (position, (staged, write)) in records.iter_mut().zip(writes).enumerate() {
            let target = self.layout.record(&write.key);
            let _lock = self.locks.lock(&self.layout, &target)?;
            if !is_expected(&target, &write.expected)? {
                outcome = WriteOutcome::Conflict(position);
                break;
            }
            staged.place(&target, &self.durability, &mut unsynced)?;
            unsynced.extend(parent(&target));
        }
        self.durability.sync(unsynced)?;
        Ok(outcome)
    }

    fn remove_record(
        &self,
        key: &RecordKey,
        expected: &Expected,
    ) -> Result<RemoveOutcome, StoreError> {
        let target = self.layout.record(key);
        {
            let _lock = self.locks.lock(&self.layout, &target)?;
            if !is_expected(&target, expected)? {
                return match read_record(&target)? {
                    Some(_) => Ok(RemoveOutcome::Conflict),
                    None => Ok(RemoveOutcome::Absent),
                };
            }
            if if_found(fs::remove_file(&target))
                .map_err(failed("remove", &target))?
                .is_none()
            {
                return Ok(RemoveOutcome::Absent);
            }
        }
        self.durability
            .sync(parent(&target).into_iter().collect())?;
        if let (RecordKey::Referrer(..) | RecordKey::Tagged(..), Some(directory)) =
            (key, target.parent())
        {
            // These have a directory for each manifest. It stays if it is not
            // empty, and a writer that loses it at this moment makes it again.
            let _ = fs::remove_dir(directory);
        }
        Ok(RemoveOutcome::Removed)
    }
}

fn parent(path: &Path) -> Option<Unsynced> {
    path.parent()
        .map(|parent| Unsynced::Directory(parent.into()))
}

/// A record, whatever it reads: one that was cut is for its reader to refuse.
fn read_record(path: &Path) -> Result<Option<StoredRecord>, StoreError> {
    let value = if_found(fs::read(path)).map_err(failed("read", path))?;
    Ok(value.map(Bytes::from).map(|value| StoredRecord {
        version: Version::new(value.clone()),
        value,
    }))
}

fn is_expected(path: &Path, expected: &Expected) -> Result<bool, StoreError> {
    match expected {
        Expected::Any => Ok(true),
        Expected::Absent => Ok(read_record(path)?.is_none()),
        Expected::Matches(version) => {
            Ok(read_record(path)?.is_some_and(|record| record.version == *version))
        }
    }
}
