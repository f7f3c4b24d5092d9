//! Pulling blobs, and mounting and claiming them.

use bytes::Bytes;

use super::error::RegistryError;
use super::facts::SMALL_CONTENT;
use super::registry::Registry;
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::range::ByteRange;
use crate::domain::record::{Claim, encode};
use crate::domain::record_key::RecordKey;
use crate::ports::blob_store::{BlobContent, BlobSource, BlobStat};
use crate::ports::record_store::{Expected, RecordWrite};
use crate::ports::{StoreError, StoreErrorKind};

/// A blob that its repository may serve. Only the registry makes one, so
/// whoever holds it has passed that check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimedBlob {
    digest: Digest,
    size: u64,
}

impl ClaimedBlob {
    /// The blob's digest.
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The blob's length in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// What it means that the blob's bytes do not come.
    #[must_use]
    pub fn unreadable(&self, error: StoreError) -> RegistryError {
        match error.kind() {
            StoreErrorKind::Damaged => RegistryError::BlobDamaged(self.digest),
            _ => error.into(),
        }
    }
}

impl Registry {
    /// Finds a blob in a repository. Its bytes are not looked at yet.
    ///
    /// # Errors
    /// [`RegistryError::BlobUnknown`] if the repository has no such blob.
    pub async fn find_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<ClaimedBlob, RegistryError> {
        let now = self.clock.now();
        let claim = match self.facts.claim(repository, digest, now) {
            Some(claim) => claim,
            None => {
                let moment = self.facts.moment(now);
                let claim = self
                    .claim(repository, digest)
                    .await?
                    .ok_or(RegistryError::BlobUnknown(*digest))?;
                self.facts.learn_claim(repository, digest, &claim, moment);
                claim
            }
        };
        Ok(ClaimedBlob {
            digest: *digest,
            size: claim.size,
        })
    }

    /// Checks that a blob's bytes are there, and renews its lease: who asks is
    /// often about to refer to it.
    ///
    /// # Errors
    /// [`RegistryError::BlobUnknown`], or [`RegistryError::BlobDamaged`] if the
    /// bytes are gone or have another length.
    pub async fn check_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<ClaimedBlob, RegistryError> {
        let blob = self.find_blob(repository, digest).await?;
        let stat = self.stat_whole(digest, blob.size).await?;
        let damaged = RegistryError::BlobDamaged(*digest);
        match stat {
            Some(stat) if self.renew_lease(digest, stat.leased).await? => Ok(blob),
            _ => Err(damaged),
        }
    }

    /// Opens a blob, or `range` of it.
    ///
    /// # Errors
    /// [`RegistryError::BlobDamaged`] if the bytes are gone, or have another
    /// length, or (small ones, which are read whole) another digest.
    pub async fn open_blob(
        &self,
        blob: &ClaimedBlob,
        range: Option<ByteRange>,
    ) -> Result<BlobSource, RegistryError> {
        let damaged = RegistryError::BlobDamaged(blob.digest);
        if blob.size <= SMALL_CONTENT {
            let content = self.small_content(&blob.digest, blob.size).await?;
            let whole = BlobSource::Memory(content.ok_or(damaged)?);
            return Ok(match range {
                Some(range) => whole.part(range),
                None => whole,
            });
        }
        match self.blobs.open(&blob.digest, range).await? {
            Some(BlobContent { size, source }) if size == blob.size => Ok(source),
            _ => Err(damaged),
        }
    }

    /// Mounts a blob from a repository that has it, or, if none is named, from
    /// wherever it is. `None` if it is not there; then the client pushes it.
    ///
    /// # Errors
    /// Only if the store fails.
    pub async fn mount_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        from: Option<&RepositoryName>,
    ) -> Result<Option<ClaimedBlob>, RegistryError> {
        let stat = match self.claim(from.unwrap_or(repository), digest).await? {
            Some(claim) => self.stat_whole(digest, claim.size).await?,
            None if from.is_none() => self.stat_verified(digest).await?,
            None => None,
        };
        match stat {
            // The lease first: from here on the claim may be referred to.
            Some(stat) if self.renew_lease(digest, stat.leased).await? => self
                .write_claim(repository, digest, stat.size)
                .await
                .map(Some),
            _ => Ok(None),
        }
    }

    /// Reads content of `size` bytes whole, from memory if it is known there;
    /// `None` if it is not there or not what its digest says.
    pub(super) async fn small_content(
        &self,
        digest: &Digest,
        size: u64,
    ) -> Result<Option<Bytes>, RegistryError> {
        let now = self.clock.now();
        if let Some(content) = self.facts.content(digest, now) {
            return Ok(Some(content));
        }
        let moment = self.facts.moment(now);
        let content = self.blobs.read(digest, size).await?;
        let whole = content.filter(|content| {
            content.len() as u64 == size && Digest::of(digest.algorithm(), content) == *digest
        });
        if let Some(content) = &whole {
            self.facts.learn_content(digest, content, moment);
        }
        Ok(whole)
    }

    /// What the store says of a repository's claim on a blob.
    pub(super) async fn claim(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<Claim>, RegistryError> {
        self.record(&RecordKey::Claim(repository.clone(), *digest))
            .await
    }

    /// What the store says of content that should have `size` bytes; `None` if
    /// it does not.
    pub(super) async fn stat_whole(
        &self,
        digest: &Digest,
        size: u64,
    ) -> Result<Option<BlobStat>, RegistryError> {
        let stat = self.blobs.stat(digest).await?;
        Ok(stat.filter(|stat| stat.size == size))
    }

    /// What the store says of content of which nobody is asked how many bytes
    /// it should have; `None` if its bytes are not those of its digest. It is
    /// read whole, which costs no more than the push that it spares.
    async fn stat_verified(&self, digest: &Digest) -> Result<Option<BlobStat>, RegistryError> {
        let hashed = self.blobs.hash(digest).await?;
        let whole = hashed.filter(|hashed| hashed.actual == *digest);
        Ok(whole.map(|hashed| hashed.stat))
    }

    /// Lets a repository serve a blob that is stored and freshly leased. A claim
    /// that is condemned is not equal to a fresh one, and written anew.
    pub(super) async fn write_claim(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        size: u64,
    ) -> Result<ClaimedBlob, RegistryError> {
        let claim = Claim::new(size);
        let moment = self.facts.moment(self.clock.now());
        if self.claim(repository, digest).await?.as_ref() != Some(&claim) {
            return self.write_claim_anew(repository, digest, size).await;
        }
        self.facts.learn_claim(repository, digest, &claim, moment);
        Ok(ClaimedBlob {
            digest: *digest,
            size,
        })
    }

    /// As [`write_claim`](Self::write_claim), whether or not the repository has
    /// that claim, or one that does not read.
    pub(super) async fn write_claim_anew(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        size: u64,
    ) -> Result<ClaimedBlob, RegistryError> {
        let claim = Claim::new(size);
        let moment = self.facts.moment(self.clock.now());
        let write = RecordWrite {
            key: RecordKey::Claim(repository.clone(), *digest),
            value: encode(&claim)?,
            expected: Expected::Any,
        };
        self.records.write(&[write]).await?;
        self.facts.learn_claim(repository, digest, &claim, moment);
        Ok(ClaimedBlob {
            digest: *digest,
            size,
        })
    }
}
