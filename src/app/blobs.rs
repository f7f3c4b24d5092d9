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
                let claim = self
                    .claim(repository, digest)
                    .await?
                    .ok_or(RegistryError::BlobUnknown(*digest))?;
                self.facts.learn_claim(repository, digest, &claim, now);
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
        let stat = stat.ok_or(RegistryError::BlobDamaged(*digest))?;
        self.renew_lease(digest, stat.leased).await?;
        Ok(blob)
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
            return Ok(BlobSource::Memory(cut(content.ok_or(damaged)?, range)));
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
        let stat = match from {
            None => self.blobs.stat(digest).await?,
            Some(from) => match self.claim(from, digest).await? {
                None => None,
                Some(claim) => self.stat_whole(digest, claim.size).await?,
            },
        };
        match stat {
            None => Ok(None),
            Some(stat) => {
                // The lease first: from here on the claim may be referred to.
                self.renew_lease(digest, stat.leased).await?;
                self.write_claim(repository, digest, stat.size)
                    .await
                    .map(Some)
            }
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
        let content = self.blobs.read(digest, size).await?;
        let whole = content.filter(|content| {
            content.len() as u64 == size && Digest::of(digest.algorithm(), content) == *digest
        });
        if let Some(content) = &whole {
            self.facts.learn_content(digest, content, now);
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

    /// Lets a repository serve a blob that is stored and freshly leased.
    pub(super) async fn write_claim(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        size: u64,
    ) -> Result<ClaimedBlob, RegistryError> {
        let claim = Claim::new(size);
        if self.claim(repository, digest).await?.as_ref() != Some(&claim) {
            let write = RecordWrite {
                key: RecordKey::Claim(repository.clone(), *digest),
                value: encode(&claim)?,
                expected: Expected::Any,
            };
            self.records.write(&[write]).await?;
        }
        self.facts
            .learn_claim(repository, digest, &claim, self.clock.now());
        Ok(ClaimedBlob {
            digest: *digest,
            size,
        })
    }
}

/// The part of content that is in memory already.
fn cut(content: Bytes, range: Option<ByteRange>) -> Bytes {
    let Some(range) = range else {
        return content;
    };
    let position = |offset: u64| {
        usize::try_from(offset).map_or(content.len(), |offset| offset.min(content.len()))
    };
    let end = position(range.end);
    content.slice(position(range.start).min(end)..end)
}
