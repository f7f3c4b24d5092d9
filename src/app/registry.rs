//! The registry: the ports, the rules it was set up with, and its cache.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::de::DeserializeOwned;

use super::error::RegistryError;
use super::facts::Facts;
use crate::domain::record::decode;
use crate::domain::record_key::RecordKey;
use crate::ports::{BlobStore, Clock, Identifiers, RecordStore};

/// What a manifest may refer to without its being there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AllowMissing {
    /// Nothing: every blob and every manifest of an index must be there first.
    #[default]
    None,
    /// The manifests of an index, for indexes of which only some platforms
    /// are kept.
    Children,
    /// Anything.
    All,
}

/// What an operator decides of a registry's behaviour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryRules {
    /// What a manifest may refer to without its being there.
    pub allow_missing: AllowMissing,
    /// The largest manifest, in bytes.
    pub largest_manifest: u64,
    /// The largest blob, in bytes.
    pub largest_blob: u64,
    /// How long content that nothing refers to is safe from collection. What
    /// may lead to a reference renews a lease older than half of it.
    pub grace: Duration,
    /// How many bytes of records and small content are kept in memory.
    pub cache_size: u64,
    /// How long a deletion by another process may go unnoticed.
    pub cache_max_age: Duration,
}

impl Default for RegistryRules {
    fn default() -> Self {
        Self {
            allow_missing: AllowMissing::None,
            largest_manifest: 4 << 20,
            largest_blob: u64::MAX,
            grace: Duration::from_secs(24 * 60 * 60),
            cache_size: 32 << 20,
            cache_max_age: Duration::from_secs(1),
        }
    }
}

/// A container registry.
pub struct Registry {
    pub(super) blobs: Arc<dyn BlobStore>,
    pub(super) records: Arc<dyn RecordStore>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) identifiers: Arc<dyn Identifiers>,
    pub(super) facts: Facts,
    pub(super) rules: RegistryRules,
}

impl Registry {
    /// A registry of what these stores hold.
    #[must_use]
    pub fn new(
        blobs: Arc<dyn BlobStore>,
        records: Arc<dyn RecordStore>,
        clock: Arc<dyn Clock>,
        identifiers: Arc<dyn Identifiers>,
        rules: RegistryRules,
    ) -> Self {
        let facts = Facts::new(rules.cache_size, rules.cache_max_age);
        Self {
            blobs,
            records,
            clock,
            identifiers,
            facts,
            rules,
        }
    }

    /// The largest manifest, in bytes.
    #[must_use]
    pub const fn largest_manifest(&self) -> u64 {
        self.rules.largest_manifest
    }

    /// How often the cache knew what was looked up in it.
    #[must_use]
    pub fn cache_counts(&self) -> super::CacheCounts {
        self.facts.counts()
    }

    /// Reads a record from the store, past any cache.
    pub(super) async fn record<R: DeserializeOwned>(
        &self,
        key: &RecordKey,
    ) -> Result<Option<R>, RegistryError> {
        let Some(stored) = self.records.get(key).await? else {
            return Ok(None);
        };
        match decode(&stored.value) {
            Ok(record) => Ok(Some(record)),
            Err(error) => Err(RegistryError::damaged_record(key, error)),
        }
    }

    /// Renews the lease of a blob that may be about to be referred to, if it is
    /// past its first half; `false` if the blob has been collected meanwhile.
    pub(super) async fn renew_lease(
        &self,
        digest: &crate::domain::digest::Digest,
        leased: SystemTime,
    ) -> Result<bool, RegistryError> {
        let age = self.clock.now().duration_since(leased);
        match age.is_ok_and(|age| age > self.rules.grace / 2) {
            true => Ok(self.blobs.touch(digest).await?),
            false => Ok(true),
        }
    }
}
