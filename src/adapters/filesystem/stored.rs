//! What is stored, as a collector goes through it: blobs in order, their
//! conditional removal, and what calls that were cut off have left behind.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use super::Shared;
use super::blobs::blob_stat;
use super::durability::{failed, if_found};
use crate::domain::digest::{Algorithm, Digest};
use crate::ports::StoreError;
use crate::ports::blob_store::{BlobRemoval, BlobVersion, Leftover, ListedBlob};

impl Shared {
    /// Reads the directories of blobs one after the other, in the order of the
    /// digests in them, and no more of them than it takes. What it reads is not
    /// kept: it would push out the lists that clients ask for.
    pub(super) fn list_blobs(
        &self,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Vec<ListedBlob>, StoreError> {
        let mut listed = Vec::new();
        for algorithm in Algorithm::ALL {
            if after.is_some_and(|after| after.algorithm() > algorithm) {
                continue;
            }
            let directory = self.layout.blobs(algorithm);
            let first = after
                .filter(|after| after.algorithm() == algorithm)
                .map(Digest::to_hex);
            for shard in sorted_names(&directory)? {
                if first
                    .as_ref()
                    .is_some_and(|first| !is_reached(&shard, first))
                {
                    continue;
                }
                let directory = directory.join(&shard);
                for name in sorted_names(&directory)? {
                    if listed.len() == limit {
                        return Ok(listed);
                    }
                    // What is not called by a digest of this place is not ours.
                    let digest = format!("{}:{name}", algorithm.as_str()).parse().ok();
                    let digest: Option<Digest> = digest.filter(|_| name.starts_with(&shard));
                    let Some(digest) = digest.filter(|digest| Some(digest) > after) else {
                        continue;
                    };
                    let path = directory.join(name);
                    let metadata = if_found(fs::metadata(&path)).map_err(failed("stat", &path))?;
                    if let Some(metadata) = metadata {
                        let stat = blob_stat(&metadata, &path)?;
                        listed.push(ListedBlob { digest, stat });
                    }
                }
            }
        }
        Ok(listed)
    }

    /// Removing a large file takes a while, so under the lock, which other
    /// blobs share, it only leaves its place. Should this be cut off then, it is
    /// a leftover.
    pub(super) fn remove_blob(
        &self,
        digest: &Digest,
        version: &BlobVersion,
    ) -> Result<BlobRemoval, StoreError> {
        let path = self.layout.blob(digest);
        let staged = self.layout.staging();
        {
            // Whoever stores or renews this blob does it under this lock, too.
            let _lock = self.locks.lock(&self.layout, &path)?;
            let metadata = if_found(fs::metadata(&path)).map_err(failed("stat", &path))?;
            let Some(metadata) = metadata else {
                return Ok(BlobRemoval::Absent);
            };
            if blob_stat(&metadata, &path)?.version != *version {
                return Ok(BlobRemoval::Changed);
            }
            if fs::rename(&path, &staged).is_err() {
                // A full disk may have no room for another name, and is what
                // removing is to help.
                let removed = if_found(fs::remove_file(&path)).map_err(failed("remove", &path))?;
                return Ok(match removed {
                    Some(()) => BlobRemoval::Removed,
                    None => BlobRemoval::Absent,
                });
            }
        }
        // Somebody who removes leftovers may have come first.
        if_found(fs::remove_file(&staged)).map_err(failed("remove", &staged))?;
        Ok(BlobRemoval::Removed)
    }

    /// Files on their way to their place that never got there.
    pub(super) fn leftovers(
        &self,
        before: SystemTime,
        limit: usize,
    ) -> Result<Vec<Leftover>, StoreError> {
        let directory = self.layout.staging_directory();
        let mut leftovers = Vec::new();
        for entry in fs::read_dir(&directory).map_err(failed("list", &directory))? {
            if leftovers.len() == limit {
                break;
            }
            let entry = entry.map_err(failed("list", &directory))?;
            let path = entry.path();
            let metadata = if_found(fs::symlink_metadata(&path)).map_err(failed("stat", &path))?;
            // One that is gone has got to its place.
            let Some(metadata) = metadata.filter(fs::Metadata::is_file) else {
                continue;
            };
            let modified = metadata.modified().map_err(failed("stat", &path))?;
            let name = entry.file_name().into_string();
            if let (Ok(name), true) = (name, modified < before) {
                let size = metadata.len();
                leftovers.push(Leftover { name, size });
            }
        }
        Ok(leftovers)
    }

    pub(super) fn remove_leftover(&self, leftover: &Leftover) -> Result<bool, StoreError> {
        let directory = self.layout.staging_directory();
        // Only names that were listed come here, but they come from outside.
        let Some(name) = Path::new(&leftover.name).file_name() else {
            return Ok(false);
        };
        let path = directory.join(name);
        let removed = if_found(fs::remove_file(&path)).map_err(failed("remove", &path))?;
        Ok(removed.is_some())
    }
}

/// Whether a directory of digests may hold one after `first`.
fn is_reached(shard: &str, first: &str) -> bool {
    first.get(..shard.len()).is_none_or(|start| shard >= start)
}

/// The names in a directory, sorted; none if there is no such directory.
fn sorted_names(directory: &Path) -> Result<Vec<String>, StoreError> {
    let entries = if_found(fs::read_dir(directory)).map_err(failed("list", directory))?;
    let mut names = Vec::new();
    for entry in entries.into_iter().flatten() {
        let entry = entry.map_err(failed("list", directory))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}
