//! Deleting tags, manifests and blobs. The bytes stay until they are collected.

use super::error::RegistryError;
use super::registry::Registry;
use crate::domain::digest::Digest;
use crate::domain::name::{Reference, RepositoryName, Tag};
use crate::domain::record::{
    ReferrerRecord, RepositoryRecord, Revision, TagRecord, TaggedHint, decode,
};
use crate::domain::record_key::{RecordKey, RecordSet};
use crate::ports::record_store::{Expected, RemoveOutcome};

impl Registry {
    /// Deletes a tag; the manifest it points to stays.
    ///
    /// # Errors
    /// [`RegistryError::ManifestUnknown`] if there is no such tag.
    pub async fn delete_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
    ) -> Result<(), RegistryError> {
        let unknown = || RegistryError::ManifestUnknown(Reference::Tag(tag.clone()));
        let key = RecordKey::Tag(repository.clone(), tag.clone());
        let record: TagRecord = self.record(&key).await?.ok_or_else(unknown)?;
        match self.records.remove(&key, &Expected::Any).await? {
            RemoveOutcome::Removed => {}
            RemoveOutcome::Absent | RemoveOutcome::Conflict => return Err(unknown()),
        }
        self.retire_hint(repository, &record.digest, tag).await?;
        Ok(())
    }

    /// Removes the hint that a tag points to a manifest, unless it does.
    pub(super) async fn retire_hint(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        tag: &Tag,
    ) -> Result<bool, RegistryError> {
        let hint = RecordKey::Tagged(repository.clone(), *digest, tag.clone());
        let key = RecordKey::Tag(repository.clone(), tag.clone());
        self.retire::<TaggedHint>(&hint, async {
            let record: Option<TagRecord> = self.record(&key).await?;
            Ok(record.is_some_and(|record| record.digest == *digest))
        })
        .await
    }

    /// Deletes a manifest, and with it every tag that points to it.
    ///
    /// What leads to the manifest goes first, its tags and its place among the
    /// referrers, so that nothing leads nowhere should this stop halfway; then
    /// the revision, and from then on the manifest is unknown.
    ///
    /// A push of the same manifest may run meanwhile, so afterwards both are
    /// looked for once more. The push writes revision, referrer, hint, tag, and
    /// then looks whether the revision still stands. So if a tag is read here
    /// that the push has written, the revision that it wrote before is seen too,
    /// and the tag is left alone; and if the tag was read before the push wrote
    /// it, removing what was read fails.
    ///
    /// # Errors
    /// [`RegistryError::ManifestUnknown`] if there is no such manifest.
    pub async fn delete_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        let key = RecordKey::Revision(repository.clone(), *digest);
        let revision: Option<Revision> = self.record(&key).await?;
        self.unlink(repository, digest, revision.as_ref()).await?;
        match self
            .delete_revision(repository, digest, &Expected::Any)
            .await?
        {
            RemoveOutcome::Removed => Ok(()),
            RemoveOutcome::Absent | RemoveOutcome::Conflict => {
                Err(RegistryError::ManifestUnknown(Reference::Digest(*digest)))
            }
        }
    }

    /// Removes the tags that point to a manifest that is about to be deleted,
    /// and takes it from the list of its subject's referrers.
    async fn unlink(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        revision: Option<&Revision>,
    ) -> Result<(), RegistryError> {
        const BATCH: usize = 1000;
        if let Some(subject) = revision.and_then(|revision| revision.subject) {
            let referrer = RecordKey::Referrer(repository.clone(), subject, *digest);
            self.records.remove(&referrer, &Expected::Any).await?;
        }
        let set = RecordSet::Tagged(repository.clone(), *digest);
        let mut after: Option<String> = None;
        loop {
            let hints = self.records.list(&set, after.as_deref(), BATCH).await?;
            for hint in &hints {
                if let RecordKey::Tagged(_, _, tag) = hint {
                    self.remove_tag_to(repository, tag, digest).await?;
                }
            }
            match hints.last() {
                Some(last) if hints.len() == BATCH => after = Some(last.leaf()),
                _ => return Ok(()),
            }
        }
    }

    /// Removes a tag if it points to this manifest.
    async fn remove_tag_to(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        let key = RecordKey::Tag(repository.clone(), tag.clone());
        let Some(stored) = self.records.get(&key).await? else {
            return Ok(());
        };
        let record: TagRecord =
            decode(&stored.value).map_err(|error| RegistryError::damaged_record(&key, error))?;
        if record.digest == *digest {
            let expected = Expected::Matches(stored.version);
            self.records.remove(&key, &expected).await?;
        }
        Ok(())
    }

    /// Deletes a manifest whose revision is what is expected, with its tags. If
    /// it is gone already, what belonged to it is tidied up all the same.
    pub(super) async fn delete_revision(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        expected: &Expected,
    ) -> Result<RemoveOutcome, RegistryError> {
        let key = RecordKey::Revision(repository.clone(), *digest);
        let revision: Option<Revision> = self.record(&key).await?;
        let removed = self.records.remove(&key, expected).await?;
        if removed == RemoveOutcome::Conflict {
            return Ok(removed);
        }
        self.facts.forget_revision(repository, digest);
        if let Some(subject) = revision.and_then(|revision| revision.subject) {
            self.retire_referrer(repository, &subject, digest).await?;
        }
        self.delete_tags_of(repository, digest).await?;
        self.forget_empty_repository(repository).await?;
        Ok(removed)
    }

    /// Takes a manifest off the list of its subject's referrers, unless the
    /// manifest exists.
    pub(super) async fn retire_referrer(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        digest: &Digest,
    ) -> Result<bool, RegistryError> {
        let referrer = RecordKey::Referrer(repository.clone(), *subject, *digest);
        let revision = RecordKey::Revision(repository.clone(), *digest);
        self.retire::<ReferrerRecord>(&referrer, async {
            Ok(self.records.get(&revision).await?.is_some())
        })
        .await
    }

    /// Takes a blob from a repository. Other repositories keep it.
    ///
    /// # Errors
    /// [`RegistryError::BlobUnknown`] if the repository has no such blob.
    pub async fn delete_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        let key = RecordKey::Claim(repository.clone(), *digest);
        let removed = self.records.remove(&key, &Expected::Any).await?;
        self.facts.forget_claim(repository, digest);
        match removed {
            RemoveOutcome::Removed => Ok(()),
            RemoveOutcome::Absent | RemoveOutcome::Conflict => {
                Err(RegistryError::BlobUnknown(*digest))
            }
        }
    }

    /// Removes the tags that point to a deleted manifest, and the hints that
    /// they did.
    async fn delete_tags_of(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        const BATCH: usize = 1000;
        let revision = RecordKey::Revision(repository.clone(), *digest);
        let set = RecordSet::Tagged(repository.clone(), *digest);
        let mut after: Option<String> = None;
        loop {
            let hints = self.records.list(&set, after.as_deref(), BATCH).await?;
            for hint in &hints {
                let RecordKey::Tagged(_, _, tag) = hint else {
                    continue;
                };
                let hint_version = self.records.get(hint).await?.map(|stored| stored.version);
                let key = RecordKey::Tag(repository.clone(), tag.clone());
                let stored = self.records.get(&key).await?;
                if self.records.get(&revision).await?.is_some() {
                    // It was pushed again; it and its tags are alive.
                    return Ok(());
                }
                if let Some(stored) = stored {
                    let record: TagRecord = decode(&stored.value)
                        .map_err(|error| RegistryError::damaged_record(&key, error))?;
                    if record.digest == *digest {
                        let expected = Expected::Matches(stored.version);
                        self.records.remove(&key, &expected).await?;
                    }
                }
                if let Some(version) = hint_version {
                    self.records
                        .remove(hint, &Expected::Matches(version))
                        .await?;
                }
            }
            match hints.last() {
                Some(last) if hints.len() == BATCH => after = Some(last.leaf()),
                _ => return Ok(()),
            }
        }
    }

    /// Takes a repository without manifests off the catalog.
    pub(super) async fn forget_empty_repository(
        &self,
        repository: &RepositoryName,
    ) -> Result<bool, RegistryError> {
        let revisions = RecordSet::Revisions(repository.clone());
        let has_manifests = async || Ok(!self.records.list(&revisions, None, 1).await?.is_empty());
        if has_manifests().await? {
            return Ok(false);
        }
        let key = RecordKey::Repository(repository.clone());
        self.retire::<RepositoryRecord>(&key, has_manifests()).await
    }
}
