//! Listing repositories, tags and referrers.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::error::RegistryError;
use super::registry::Registry;
use crate::domain::descriptor::Descriptor;
use crate::domain::digest::Digest;
use crate::domain::name::{RepositoryName, Tag};
use crate::domain::page::{Page, PageRequest};
use crate::domain::record::ReferrerRecord;
use crate::domain::record_key::{RecordKey, RecordSet};
use crate::domain::referrers::{ReferrersPage, ReferrersRequest};

/// A page of referrers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referrers {
    /// The manifests, in the order of their digests.
    pub descriptors: Vec<Descriptor>,
    /// Where the next page starts, if there is one: after this digest.
    pub next_after: Option<Digest>,
}

impl Registry {
    /// The repositories that hold manifests.
    ///
    /// # Errors
    /// Only if the store fails.
    pub async fn repositories(
        &self,
        page: &PageRequest,
    ) -> Result<Page<RepositoryName>, RegistryError> {
        let keys = self.page_of(&RecordSet::Repositories, page).await?;
        let names = keys.into_iter().filter_map(|key| match key {
            RecordKey::Repository(name) => Some(name),
            _ => None,
        });
        Ok(Page::cut(names.collect(), page.size()))
    }

    /// The tags of a repository.
    ///
    /// # Errors
    /// [`RegistryError::NameUnknown`] if there is no such repository.
    pub async fn tags(
        &self,
        repository: &RepositoryName,
        page: &PageRequest,
    ) -> Result<Page<Tag>, RegistryError> {
        let set = RecordSet::Tags(repository.clone());
        let keys = self.page_of(&set, page).await?;
        if keys.is_empty() {
            let key = RecordKey::Repository(repository.clone());
            if self.records.get(&key).await?.is_none() {
                return Err(RegistryError::NameUnknown(repository.clone()));
            }
        }
        let tags = keys.into_iter().filter_map(|key| match key {
            RecordKey::Tag(_, tag) => Some(tag),
            _ => None,
        });
        Ok(Page::cut(tags.collect(), page.size()))
    }

    /// The manifests that refer to a subject, which need not exist, in a
    /// repository, which need not either.
    ///
    /// # Errors
    /// Only if the store fails.
    pub async fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        request: &ReferrersRequest,
    ) -> Result<Referrers, RegistryError> {
        const BATCH: usize = 256;
        const LOOKUPS: usize = 16;
        let set = RecordSet::Referrers(repository.clone(), *subject);
        let mut page = ReferrersPage::new(request);
        let mut after = request.after.clone();
        let mut last_taken = None;
        loop {
            let keys = self.records.list(&set, after.as_deref(), BATCH).await?;
            let lookups = keys
                .iter()
                .cloned()
                .map(|key| async move { self.record::<ReferrerRecord>(&key).await });
            let mut records = stream::iter(lookups).buffered(LOOKUPS);
            while let Some(record) = records.try_next().await? {
                // One that has been deleted since it was listed is left out.
                let Some(ReferrerRecord { descriptor, .. }) = record else {
                    continue;
                };
                let digest = descriptor.digest;
                if !page.offer(descriptor) {
                    return Ok(Referrers {
                        descriptors: page.into_descriptors(),
                        next_after: last_taken,
                    });
                }
                last_taken = Some(digest);
            }
            drop(records);
            match keys.last() {
                Some(last) if keys.len() == BATCH => after = Some(last.leaf()),
                _ => {
                    return Ok(Referrers {
                        descriptors: page.into_descriptors(),
                        next_after: None,
                    });
                }
            }
        }
    }

    /// The keys of a page, and one more if more follow.
    async fn page_of(
        &self,
        set: &RecordSet,
        page: &PageRequest,
    ) -> Result<Vec<RecordKey>, RegistryError> {
        match page.size() {
            0 => Ok(Vec::new()),
            size => Ok(self
                .records
                .list(set, page.after.as_deref(), size + 1)
                .await?),
        }
    }
}
