//! What a collection is to do, how far it is, and what came of it.

use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

/// What to collect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectRules {
    /// How long content is kept that nothing refers to.
    pub grace: Duration,
    /// How long manifests are kept that neither a tag nor another manifest
    /// needs; forever if not said.
    pub untagged_after: Option<Duration>,
    /// How long uploads are kept that nobody goes on with.
    pub uploads_after: Duration,
    /// Only look what there is to collect.
    pub dry_run: bool,
    /// Remove blobs also where no repository has a record. A store is like that
    /// when it was emptied, but also when its records are not mounted or were
    /// not restored.
    pub even_without_records: bool,
    /// The most blobs to decide on at a time, which is what bounds the memory.
    /// With more, the manifests are read several times.
    pub most_candidates: usize,
}

impl Default for CollectRules {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(24 * 60 * 60),
            untagged_after: None,
            uploads_after: Duration::from_secs(24 * 60 * 60),
            dry_run: false,
            even_without_records: false,
            most_candidates: 1_000_000,
        }
    }
}

/// What has been collected, or in a dry run would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// Blobs that were looked at.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Manifests that were read for what they refer to.
    pub manifests: u64,
    /// Manifests removed because nothing needed them.
    pub removed_manifests: u64,
    /// Manifests that nothing needs and that will be removed unless that
    /// changes.
    pub waiting_manifests: u64,
    /// Blobs removed.
    pub removed_blobs: u64,
    /// Their bytes.
    pub removed_bytes: u64,
    /// Blobs that would have been removed had they not been pushed or asked for
    /// while this ran.
    pub renewed_blobs: u64,
    /// Claims removed of repositories on blobs that are gone.
    pub removed_claims: u64,
    /// Uploads abandoned.
    pub removed_uploads: u64,
    /// Leftovers removed of calls that were cut off.
    pub removed_leftovers: u64,
    /// Their bytes.
    pub leftover_bytes: u64,
    /// Repositories without manifests that were taken off the catalog.
    pub removed_repositories: u64,
}

/// What a collection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectStep {
    /// Looking for uploads and leftovers; counts them.
    Uploads,
    /// Looking for manifests that nothing needs; counts those it has read.
    Untagged,
    /// Listing blobs; counts them.
    Blobs,
    /// Reading manifests for what they refer to; counts them.
    Manifests,
    /// Removing blobs; counts them.
    Removing,
    /// Removing claims on blobs that are gone; counts those it has looked at.
    Claims,
}

/// Is told how far a collection is, and may hold it up.
#[async_trait]
pub trait CollectObserver: Send + Sync {
    /// So many of a step are done; of how many is only known sometimes.
    fn progress(&self, step: CollectStep, done: u64, of: Option<u64>);

    /// About so many storage operations have been made since the last time.
    async fn pace(&self, _operations: u32) {}
}

/// Does not care.
impl CollectObserver for () {
    fn progress(&self, _: CollectStep, _: u64, _: Option<u64>) {}
}
