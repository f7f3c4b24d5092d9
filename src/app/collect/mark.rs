//! Finding what the manifests refer to.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{CALLS, Candidates, CollectStep, Doomed, PAGE, Run};
use crate::app::error::RegistryError;
use crate::domain::name::RepositoryName;
use crate::domain::record::Revision;
use crate::domain::record_key::{RecordKey, RecordSet};
use crate::ports::{StoreError, StoreErrorKind};

impl Run<'_> {
    /// Keeps what any manifest refers to, other than the doomed ones.
    ///
    /// The repositories are those that have records, not those that are listed:
    /// what keeps a blob is that a manifest of it can be pulled.
    pub(super) async fn mark(
        &mut self,
        candidates: &mut Candidates,
        doomed: &Doomed,
    ) -> Result<(), RegistryError> {
        let mut after: Option<RepositoryName> = None;
        let mut read = 0;
        loop {
            let records = &self.registry.records;
            let repositories = records.repositories(after.as_ref(), PAGE).await?;
            if repositories.is_empty() && after.is_none() && candidates.count() > 0 {
                self.expect_records()?;
            }
            for repository in &repositories {
                self.mark_repository(repository, candidates, doomed, &mut read)
                    .await?;
            }
            if repositories.len() < PAGE {
                self.collected.manifests = read;
                return Ok(());
            }
            after = repositories.last().cloned();
        }
    }

    /// Ends a run that has found blobs, but nothing that might refer to any.
    fn expect_records(&self) -> Result<(), RegistryError> {
        if self.rules.even_without_records {
            return Ok(());
        }
        let context = "a record of any repository, though there are blobs: either the records are \
                       not mounted or not restored; or the registry was emptied, and `octoserve \
                       collect --force` removes what is left";
        Err(StoreError::new(StoreErrorKind::Damaged, "find", context).into())
    }

    /// Keeps what the manifests of one repository refer to.
    async fn mark_repository(
        &mut self,
        repository: &RepositoryName,
        candidates: &mut Candidates,
        doomed: &Doomed,
        read: &mut u64,
    ) -> Result<(), RegistryError> {
        let registry = self.registry;
        let set = RecordSet::Revisions(repository.clone());
        let mut after: Option<String> = None;
        loop {
            let keys = registry.records.list(&set, after.as_deref(), PAGE).await?;
            let count = keys.len();
            let last = keys.last().map(RecordKey::leaf);
            let reads = keys.into_iter().map(|key| async move {
                // One that has been deleted since it was listed refers to nothing.
                let revision: Option<Revision> = registry.record(&key).await?;
                Ok::<_, RegistryError>((key, revision))
            });
            let mut reads = std::pin::pin!(stream::iter(reads).buffer_unordered(CALLS));
            while let Some((key, revision)) = reads.try_next().await? {
                let (RecordKey::Revision(repository, digest), Some(revision)) = (key, revision)
                else {
                    continue;
                };
                *read += 1;
                if !doomed.contains(&(repository, digest)) {
                    candidates.keep(&digest);
                    // What an index lists may be blobs, too.
                    for referred_to in revision.blobs.iter().chain(&revision.manifests) {
                        candidates.keep(referred_to);
                    }
                }
                self.progress(CollectStep::Manifests, *read, None).await?;
            }
            if count < PAGE {
                return Ok(());
            }
            after = last;
        }
    }
}
