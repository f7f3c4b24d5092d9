//! Pulling and pushing manifests.

use std::sync::Arc;

use bytes::Bytes;

use super::error::RegistryError;
use super::references::PresentReference;
use super::registry::Registry;
use crate::domain::digest::{Algorithm, Digest};
use crate::domain::manifest::Manifest;
use crate::domain::media_type::MediaType;
use crate::domain::name::{Reference, RepositoryName, Tag};
use crate::domain::precondition::Preconditions;
use crate::domain::push::{PlannedWrite, PushedManifest};
use crate::domain::record::{
    Nonce, ReferrerRecord, RepositoryRecord, Revision, TagRecord, TaggedHint, decode,
};
use crate::domain::record_key::RecordKey;
use crate::ports::record_store::{Expected, RecordWrite, WriteOutcome};
use crate::ports::{StoreError, StoreErrorKind};

/// How often a push goes over its records again when deletes get in its way.
const ATTEMPTS: usize = 16;

/// A manifest that its repository holds. Only the registry makes one.
#[derive(Clone, Debug)]
pub struct FoundManifest {
    digest: Digest,
    revision: Arc<Revision>,
}

impl FoundManifest {
    /// The manifest's digest.
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The type it was pushed with.
    #[must_use]
    pub fn media_type(&self) -> &MediaType {
        &self.revision.media_type
    }

    /// Its length in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.revision.size
    }
}

/// A manifest on its way in.
#[derive(Clone, Debug)]
pub struct ManifestPush {
    /// Its bytes.
    pub content: Bytes,
    /// The type that the request gives it.
    pub content_type: Option<MediaType>,
    /// Where it goes.
    pub target: PushedTo,
}

/// Where a manifest is pushed to.
#[derive(Clone, Debug)]
pub enum PushedTo {
    /// To a tag, if the tag is in a state that fulfils the preconditions.
    Tag(Tag, Preconditions),
    /// To its digest, and to tags besides.
    Digest(Digest, Vec<Tag>),
}

/// What has come of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedManifest {
    /// The manifest's digest.
    pub digest: Digest,
    /// The manifest it is about, under which it is listed now.
    pub subject: Option<Digest>,
}

impl Registry {
    /// Finds a manifest by tag or digest. Its bytes are not looked at yet.
    ///
    /// # Errors
    /// [`RegistryError::ManifestUnknown`].
    pub async fn find_manifest(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<FoundManifest, RegistryError> {
        let unknown = || RegistryError::ManifestUnknown(reference.clone());
        let digest = match reference {
            Reference::Digest(digest) => *digest,
            Reference::Tag(tag) => {
                let key = RecordKey::Tag(repository.clone(), tag.clone());
                let record: Option<TagRecord> = self.record(&key).await?;
                record.ok_or_else(unknown)?.digest
            }
        };
        let now = self.clock.now();
        let revision = match self.facts.revision(repository, &digest, now) {
            Some(revision) => revision,
            None => {
                let key = RecordKey::Revision(repository.clone(), digest);
                let moment = self.facts.moment(now);
                let revision = Arc::new(self.record(&key).await?.ok_or_else(unknown)?);
                self.facts
                    .learn_revision(repository, &digest, &revision, moment);
                revision
            }
        };
        Ok(FoundManifest { digest, revision })
    }

    /// The bytes of a manifest, exactly as they were pushed.
    ///
    /// # Errors
    /// [`RegistryError::ManifestDamaged`] if they are gone or have changed.
    pub async fn manifest_content(&self, manifest: &FoundManifest) -> Result<Bytes, RegistryError> {
        self.small_content(&manifest.digest, manifest.size())
            .await?
            .ok_or(RegistryError::ManifestDamaged(manifest.digest))
    }

    /// Takes in a manifest.
    ///
    /// # Errors
    /// [`RegistryError::ManifestTooLarge`], [`RegistryError::ManifestInvalid`],
    /// [`RegistryError::DigestMismatch`], [`RegistryError::ManifestBlobUnknown`]
    /// with every missing digest, or [`RegistryError::PreconditionFailed`].
    /// After any of these the repository's tags are as they were.
    pub async fn put_manifest(
        &self,
        repository: &RepositoryName,
        push: &ManifestPush,
    ) -> Result<AcceptedManifest, RegistryError> {
        let size = push.content.len() as u64;
        if size > self.rules.largest_manifest {
            let limit = self.rules.largest_manifest;
            return Err(RegistryError::ManifestTooLarge { limit });
        }
        let manifest = Manifest::parse(&push.content, push.content_type.as_ref())?;
        let digest = digest_of(&push.content, &push.target)?;
        if let PushedTo::Tag(tag, preconditions) = &push.target {
            // Fail early, before anything is stored. What counts is the check
            // at the time of the write.
            self.expected_tag(repository, tag, preconditions).await?;
        }
        let present = self
            .check_references(repository, &manifest.references)
            .await?;
        self.blobs.put(&digest, push.content.clone()).await?;
        let pushed = PushedManifest {
            repository,
            digest,
            size,
            manifest: &manifest,
        };
        let moment = self.facts.moment(self.clock.now());
        self.write_push(&pushed, push, &present).await?;
        let revision = Arc::new(pushed.revision());
        self.facts
            .learn_revision(repository, &digest, &revision, moment);
        Ok(AcceptedManifest {
            digest,
            subject: manifest.subject,
        })
    }

    /// Writes the records of a push until they stand.
    ///
    /// First what makes the manifest exist. From then on a collector sees what
    /// it refers to, so now that is confirmed to be there still; only then the
    /// manifest is listed and tagged.
    ///
    /// A delete of the same manifest, or a collector, may run at the same time
    /// and remove or condemn one of these records before the tag was written. So
    /// all are looked at once more when it is, and if one does not stand
    /// everything is written again: then the push comes after the delete. See
    /// [`Registry::delete_manifest`] and [`Registry::retire`] for the other half
    /// of the argument.
    async fn write_push(
        &self,
        pushed: &PushedManifest<'_>,
        push: &ManifestPush,
        present: &[PresentReference],
    ) -> Result<(), RegistryError> {
        let name = pushed.repository;
        let repository = RecordKey::Repository(name.clone());
        let revision = RecordKey::Revision(name.clone(), pushed.digest);
        for attempt in 0..ATTEMPTS {
            let mut writes: Vec<RecordWrite> = unconditional(pushed.writes()?).collect();
            if attempt == 0 && self.stands::<RepositoryRecord>(&repository).await? {
                writes.retain(|write| write.key != repository);
            }
            self.records.write(&writes).await?;
            self.confirm_references(pushed, &push.content, present)
                .await?;
            let writes = self.listing_writes(pushed, &push.target).await?;
            // A conflict is the tag's: it has changed since its preconditions
            // were checked, so they are checked again.
            if !writes.is_empty() && self.records.write(&writes).await? != WriteOutcome::Written {
                continue;
            }
            if self.stands::<Revision>(&revision).await?
                && self.stands::<RepositoryRecord>(&repository).await?
                && self.all_stand(&writes).await?
            {
                return Ok(());
            }
        }
        let context = format_args!("manifest {}", pushed.digest).to_string();
        Err(StoreError::new(StoreErrorKind::Temporary, "outlast the deletes of", context).into())
    }

    /// What lists a manifest under its subject, and tags it.
    async fn listing_writes(
        &self,
        pushed: &PushedManifest<'_>,
        target: &PushedTo,
    ) -> Result<Vec<RecordWrite>, RegistryError> {
        let mut writes: Vec<RecordWrite> = unconditional(pushed.referrer_write()?).collect();
        match target {
            PushedTo::Digest(_, tags) => {
                for tag in tags {
                    writes.extend(unconditional(self.tag_writes(pushed, tag)?));
                }
            }
            PushedTo::Tag(tag, preconditions) => {
                let expected = self
                    .expected_tag(pushed.repository, tag, preconditions)
                    .await?;
                writes.extend(unconditional(self.tag_writes(pushed, tag)?));
                if let Some(tag_write) = writes.last_mut() {
                    tag_write.expected = expected;
                }
            }
        }
        Ok(writes)
    }

    /// Whether the referrers and hints that were written stand. A tag need not:
    /// it may have been moved on by then.
    async fn all_stand(&self, writes: &[RecordWrite]) -> Result<bool, RegistryError> {
        for RecordWrite { key, .. } in writes {
            let stands = match key {
                RecordKey::Referrer(..) => self.stands::<ReferrerRecord>(key).await?,
                RecordKey::Tagged(..) => self.stands::<TaggedHint>(key).await?,
                _ => true,
            };
            if !stands {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn tag_writes(
        &self,
        pushed: &PushedManifest<'_>,
        tag: &Tag,
    ) -> Result<[PlannedWrite; 2], RegistryError> {
        let nonce = Nonce(self.identifiers.fresh());
        Ok(pushed.tag_writes(tag, self.clock.now(), nonce)?)
    }

    /// What the tag's record must be when it is written, so that the
    /// preconditions hold at that moment.
    async fn expected_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        preconditions: &Preconditions,
    ) -> Result<Expected, RegistryError> {
        if preconditions.is_empty() {
            return Ok(Expected::Any);
        }
        let key = RecordKey::Tag(repository.clone(), tag.clone());
        let Some(stored) = self.records.get(&key).await? else {
            return match preconditions.hold(None) {
                true => Ok(Expected::Absent),
                false => Err(RegistryError::PreconditionFailed),
            };
        };
        let record: TagRecord =
            decode(&stored.value).map_err(|error| RegistryError::damaged_record(&key, error))?;
        // A tag whose manifest is gone is no tag to whoever asks for it.
        let revision = RecordKey::Revision(repository.clone(), record.digest);
        let stands = self.records.get(&revision).await?.is_some();
        let current = stands.then(|| record.digest.to_string());
        match preconditions.hold(current.as_deref()) {
            true => Ok(Expected::Matches(stored.version)),
            false => Err(RegistryError::PreconditionFailed),
        }
    }
}

fn unconditional(
    writes: impl IntoIterator<Item = PlannedWrite>,
) -> impl Iterator<Item = RecordWrite> {
    writes.into_iter().map(|write| RecordWrite {
        key: write.key,
        value: write.value,
        expected: Expected::Any,
    })
}

/// The digest that a manifest is stored under: the one it is pushed to, which
/// must be that of its bytes, or for a tag its SHA-256.
fn digest_of(content: &[u8], target: &PushedTo) -> Result<Digest, RegistryError> {
    match target {
        PushedTo::Tag(..) => Ok(Digest::of(Algorithm::Sha256, content)),
        PushedTo::Digest(expected, _) => {
            let actual = Digest::of(expected.algorithm(), content);
            if actual == *expected {
                Ok(actual)
            } else {
                Err(RegistryError::DigestMismatch {
                    expected: *expected,
                    actual,
                })
            }
        }
    }
}
