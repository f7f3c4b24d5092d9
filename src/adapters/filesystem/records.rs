//! Records: one small file each.

use std::fs;
use std::path::{Path, PathBuf};
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
    /// Stages every value, puts them in their places one after the other, and
    /// syncs them and their directories together.
    ///
    /// A value that replaces another one, or that a list would show, is synced
    /// before it is put in its place. Others need not be: lost with the power
    /// before this returns, such a file may be there without its bytes, and
    /// [`read_record`] takes an empty file for none.
    fn write_records(&self, writes: &[RecordWrite]) -> Result<WriteOutcome, StoreError> {
        let mut records = Vec::with_capacity(writes.len());
        for write in writes {
            records.push(self.stage(write)?);
        }
        let first = records.iter().filter(|record| record.sync_first);
        self.durability
            .sync(first.map(|record| record.staged.unsynced()).collect())?;
        let mut outcome = WriteOutcome::Written;
        let mut unsynced = Vec::new();
        for (position, (record, write)) in records.iter_mut().zip(writes).enumerate() {
            let target = &record.target;
            let _lock = self.locks.lock(&self.layout, target)?;
            if !is_expected(target, &write.expected)? {
                outcome = WriteOutcome::Conflict(position);
                break;
            }
            if !record.sync_first {
                if read_record(target)?.is_some() {
                    // Somebody has put it there since it was staged.
                    self.durability.sync(vec![record.staged.unsynced()])?;
                } else {
                    unsynced.push(record.staged.unsynced());
                }
            }
            if let RecordKey::Claim(_, digest) | RecordKey::Revision(_, digest) = &write.key {
                // The content's name becomes durable with what names it.
                unsynced.extend(parent(&self.layout.blob(digest)));
            }
            record
                .staged
                .place(target, &self.durability, &mut unsynced)?;
            unsynced.extend(parent(target));
        }
        self.durability.sync(unsynced)?;
        Ok(outcome)
    }

    fn stage(&self, write: &RecordWrite) -> Result<StagedRecord, StoreError> {
        let target = self.layout.record(&write.key);
        let is_listed = match &write.key {
            RecordKey::Repository(_) | RecordKey::Referrer(..) | RecordKey::Tag(..) => true,
            RecordKey::Claim(..) | RecordKey::Revision(..) | RecordKey::Tagged(..) => false,
        };
        Ok(StagedRecord {
            sync_first: is_listed || read_record(&target)?.is_some(),
            staged: StagedFile::write(self.layout.staging(), &write.value)?,
            target,
        })
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

/// A value on its way to its place.
struct StagedRecord {
    staged: StagedFile,
    target: PathBuf,
    /// Whether its bytes must be on the disk before its name is.
    sync_first: bool,
}

fn parent(path: &Path) -> Option<Unsynced> {
    path.parent()
        .map(|parent| Unsynced::Directory(parent.into()))
}

/// A record; an empty file is the rest of a write that was never acknowledged.
fn read_record(path: &Path) -> Result<Option<StoredRecord>, StoreError> {
    let value = if_found(fs::read(path)).map_err(failed("read", path))?;
    let value = value.filter(|value| !value.is_empty());
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
