//! Records that were read lately, so that reading one again is one `stat`.
//!
//! Every write of a record is a new file in its place, so another inode or
//! another time of change tells that it was written, by whichever process.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::durability::{failed, if_found};
use super::settling::has_settled;
use crate::ports::StoreError;
use crate::ports::record_store::StoredRecord;

/// The bytes of records that are remembered.
const CAPACITY: u64 = 4 << 20;

#[derive(Clone, PartialEq, Eq)]
struct Identity {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

#[derive(Clone)]
struct Entry {
    identity: Identity,
    record: StoredRecord,
}

#[derive(Clone)]
struct RecordBytes;

impl Weighter<PathBuf, Entry> for RecordBytes {
    fn weight(&self, path: &PathBuf, entry: &Entry) -> u64 {
        (path.as_os_str().len() + entry.record.value.len() + 256) as u64
    }
}

/// Records that were read lately.
pub(super) struct RecentRecords(Cache<PathBuf, Entry, RecordBytes>);

impl Default for RecentRecords {
    fn default() -> Self {
        Self(Cache::with_weighter(4096, CAPACITY, RecordBytes))
    }
}

impl RecentRecords {
    /// The record at `path` as it is now, which `read` reads if it is not known.
    pub(super) fn get(
        &self,
        path: &Path,
        read: fn(&Path) -> Result<Option<StoredRecord>, StoreError>,
    ) -> Result<Option<StoredRecord>, StoreError> {
        let looked_at = SystemTime::now();
        let metadata = if_found(fs::metadata(path)).map_err(failed("stat", path))?;
        let Some(metadata) = metadata else {
            return Ok(None);
        };
        let identity = Identity::of(&metadata);
        if let Some(entry) = self.0.get(path)
            && entry.identity == identity
        {
            return Ok(Some(entry.record));
        }
        let record = read(path)?;
        if let Some(record) = &record
            && has_settled(identity.changed_at(), looked_at)
        {
            // Should the file have been replaced since it was looked at, its
            // identity is another one, and it is read anew the next time.
            let entry = Entry {
                identity,
                record: record.clone(),
            };
            self.0.insert(path.to_owned(), entry);
        }
        Ok(record)
    }
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    fn changed_at(&self) -> SystemTime {
        let (seconds, nanoseconds) = self.changed;
        let seconds = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        let nanoseconds = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0));
        UNIX_EPOCH + seconds + nanoseconds
    }
}
