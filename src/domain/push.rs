//! The plan of a manifest push: which records it writes, and in which order.
//!
//! A store that stops after any of the writes is valid: the revision is written
//! only when what it refers to is there, a referrer or a tag only when the
//! revision is. The hint goes before its tag, so that deleting the manifest
//! finds every tag that points to it.

use std::time::SystemTime;

use super::descriptor::Descriptor;
use super::digest::Digest;
use super::manifest::{Manifest, Role};
use super::name::{RepositoryName, Tag};
use super::record::{
    Nonce, RecordError, ReferrerRecord, RepositoryRecord, Revision, TagRecord, TaggedHint, encode,
};
use super::record_key::RecordKey;

/// One record to write, whatever is there now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedWrite {
    /// Where.
    pub key: RecordKey,
    /// What.
    pub value: bytes::Bytes,
}

/// A manifest as it was pushed: what it is and where it goes.
#[derive(Clone, Copy, Debug)]
pub struct PushedManifest<'a> {
    /// The repository it is pushed to.
    pub repository: &'a RepositoryName,
    /// The digest of its bytes.
    pub digest: Digest,
    /// The length of its bytes.
    pub size: u64,
    /// What it says.
    pub manifest: &'a Manifest,
}

impl PushedManifest<'_> {
    /// The record of the manifest itself.
    #[must_use]
    pub fn revision(&self) -> Revision {
        let digests = |wanted: fn(Role) -> bool| {
            let references = self.manifest.references.iter();
            references
                .filter(|reference| wanted(reference.role))
                .map(|reference| reference.digest)
                .collect()
        };
        let mut revision = Revision::new(self.manifest.media_type.clone(), self.size);
        revision.blobs = digests(|role| role != Role::Child);
        revision.manifests = digests(|role| role == Role::Child);
        revision.subject = self.manifest.subject;
        revision
    }

    /// The manifest as its subject's referrers list shows it.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        Descriptor {
            media_type: self.manifest.media_type.clone(),
            digest: self.digest,
            size: self.size,
            artifact_type: self.manifest.artifact_type.clone(),
            annotations: self.manifest.annotations.clone(),
        }
    }

    /// What makes the manifest exist: repository and revision.
    ///
    /// # Errors
    /// If a record cannot be encoded.
    pub fn writes(&self) -> Result<[PlannedWrite; 2], RecordError> {
        let repository = self.repository.clone();
        Ok([
            PlannedWrite {
                key: RecordKey::Repository(repository.clone()),
                value: encode(&RepositoryRecord::new())?,
            },
            PlannedWrite {
                key: RecordKey::Revision(repository, self.digest),
                value: encode(&self.revision())?,
            },
        ])
    }

    /// What lists the manifest under its subject, if it has one.
    ///
    /// # Errors
    /// If a record cannot be encoded.
    pub fn referrer_write(&self) -> Result<Option<PlannedWrite>, RecordError> {
        let Some(subject) = self.manifest.subject else {
            return Ok(None);
        };
        Ok(Some(PlannedWrite {
            key: RecordKey::Referrer(self.repository.clone(), subject, self.digest),
            value: encode(&ReferrerRecord::new(self.descriptor()))?,
        }))
    }

    /// What makes `tag` point to the manifest: the hint, then the tag.
    ///
    /// # Errors
    /// If a record cannot be encoded.
    pub fn tag_writes(
        &self,
        tag: &Tag,
        now: SystemTime,
        nonce: Nonce,
    ) -> Result<[PlannedWrite; 2], RecordError> {
        let record = TagRecord::new(
            self.digest,
            self.manifest.media_type.clone(),
            self.size,
            now,
            nonce,
        );
        Ok([
            PlannedWrite {
                key: RecordKey::Tagged(self.repository.clone(), self.digest, tag.clone()),
                value: encode(&TaggedHint::new(nonce))?,
            },
            PlannedWrite {
                key: RecordKey::Tag(self.repository.clone(), tag.clone()),
                value: encode(&record)?,
            },
        ])
    }
}
