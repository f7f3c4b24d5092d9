//! Removing the claims of repositories on blobs that are gone.

use super::{CollectStep, PAGE, Run};
use crate::app::error::RegistryError;
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::record::Claim;
use crate::domain::record_key::{RecordKey, RecordSet};

impl Run<'_> {
    /// Removes claims on the blobs that were `removed`, which are in order, or
    /// looks at all claims for such whose blob is gone.
    pub(super) async fn remove_claims(
        &mut self,
        removed: &[Digest],
        check_all: bool,
    ) -> Result<(), RegistryError> {
        let mut after: Option<RepositoryName> = None;
        let mut looked_at = 0;
        loop {
            let records = &self.registry.records;
            let repositories = records.repositories(after.as_ref(), PAGE).await?;
            for repository in &repositories {
                self.remove_claims_in(repository, removed, check_all, &mut looked_at)
                    .await?;
            }
            if repositories.len() < PAGE {
                return Ok(());
            }
            after = repositories.last().cloned();
        }
    }

    async fn remove_claims_in(
        &mut self,
        repository: &RepositoryName,
        removed: &[Digest],
        check_all: bool,
        looked_at: &mut u64,
    ) -> Result<(), RegistryError> {
        let set = RecordSet::Claims(repository.clone());
        let mut after: Option<String> = None;
        loop {
            let records = &self.registry.records;
            let keys = records.list(&set, after.as_deref(), PAGE).await?;
            for key in &keys {
                let RecordKey::Claim(_, digest) = key else {
                    continue;
                };
                if removed.binary_search(digest).is_ok()
                    || (check_all && self.is_gone(digest).await?)
                {
                    self.remove_claim(key, digest).await?;
                }
                *looked_at += 1;
                self.progress(CollectStep::Claims, *looked_at, None).await?;
            }
            if keys.len() < PAGE {
                return Ok(());
            }
            after = keys.last().map(RecordKey::leaf);
        }
    }

    async fn remove_claim(
        &mut self,
        key: &RecordKey,
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        let registry = self.registry;
        let is_removed = match self.rules.dry_run {
            true => true,
            false => {
                let is_stored = async { Ok(registry.blobs.stat(digest).await?.is_some()) };
                registry.retire::<Claim>(key, is_stored).await?
            }
        };
        if is_removed && let Some(repository) = key.within() {
            registry.facts.forget_claim(repository, digest);
            self.collected.removed_claims += 1;
        }
        Ok(())
    }

    async fn is_gone(&self, digest: &Digest) -> Result<bool, RegistryError> {
        Ok(self.registry.blobs.stat(digest).await?.is_none())
    }
}
