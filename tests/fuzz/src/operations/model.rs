//! What a registry holds, in maps: no stores, no caches, no failures.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use octoserve::app::{AllowMissing, RegistryError, RegistryRules};
use octoserve::domain::digest::Digest;
use octoserve::domain::manifest::{ManifestError, Role};
use octoserve::domain::name::{RepositoryName, Tag};
use octoserve::domain::upload::{ChunkRange, UploadId};

use super::body::Pieces;
use super::documents::{Manifest, REPOSITORIES};
use super::instructions::Fault;

pub(super) struct Model {
    pub(super) rules: RegistryRules,
    /// All content, whoever may serve it.
    pub(super) stored: BTreeMap<Digest, Stored>,
    pub(super) repositories: BTreeMap<RepositoryName, Repository>,
    pub(super) uploads: Vec<Upload>,
    /// Every manifest that was ever made, pushed or not.
    pub(super) made: Vec<Manifest>,
    /// Whether a request was dropped that had begun a session; nobody knows
    /// what that is called.
    pub(super) has_orphans: bool,
}

/// Content and what somebody did to its file.
pub(super) struct Stored {
    pub(super) bytes: Bytes,
    pub(super) damage: Damage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    None,
    Cut,
    Gone,
}

#[derive(Default)]
pub(super) struct Repository {
    pub(super) claims: BTreeSet<Digest>,
    pub(super) manifests: BTreeMap<Digest, Manifest>,
    pub(super) tags: BTreeMap<Tag, Digest>,
    /// Manifests that a dropped push left by their digest alone: no subject's
    /// list has them yet.
    pub(super) unlisted: BTreeSet<Digest>,
    /// Whether a dropped push may have listed it before it had a manifest.
    pub(super) may_be_listed: bool,
}

pub(super) struct Upload {
    pub(super) id: UploadId,
    pub(super) repository: RepositoryName,
    /// Which content it is to become.
    pub(super) content: usize,
    pub(super) data: Vec<u8>,
}

/// A chunk as a request says it.
#[derive(Clone, Debug)]
pub(super) struct SaidChunk {
    pub(super) range: Option<ChunkRange>,
    pub(super) length: Option<u64>,
    pub(super) pieces: Pieces,
}

impl Model {
    pub(super) fn new(rules: RegistryRules) -> Self {
        let repositories = REPOSITORIES
            .iter()
            .map(|name| (name.clone(), Repository::default()));
        Self {
            rules,
            stored: BTreeMap::new(),
            repositories: repositories.collect(),
            uploads: Vec::new(),
            made: Vec::new(),
            has_orphans: false,
        }
    }

    pub(super) fn repository(&self, name: &RepositoryName) -> &Repository {
        &self.repositories[name]
    }

    pub(super) fn repository_mut(&mut self, name: &RepositoryName) -> &mut Repository {
        self.repositories.get_mut(name).expect("one of ours")
    }

    /// Whether content is stored as it was pushed.
    pub(super) fn is_whole(&self, digest: &Digest) -> bool {
        self.stored
            .get(digest)
            .is_some_and(|stored| stored.damage == Damage::None)
    }

    pub(super) fn store(&mut self, digest: Digest, bytes: Bytes) {
        let damage = Damage::None;
        self.stored.insert(digest, Stored { bytes, damage });
    }

    pub(super) fn claim(&mut self, name: &RepositoryName, digest: Digest) {
        self.repository_mut(name).claims.insert(digest);
    }

    /// What appending a chunk to `data` comes to: the data then, and the answer.
    pub(super) fn append(
        &self,
        data: &[u8],
        chunk: &SaidChunk,
    ) -> (Vec<u8>, Result<u64, RegistryError>) {
        let unchanged = data.to_vec();
        let received = data.len() as u64;
        let SaidChunk {
            range,
            length,
            pieces,
        } = chunk;
        if let (Some(range), Some(length)) = (range, length)
            && range.length != *length
        {
            return (unchanged, Err(RegistryError::SizeInvalid));
        }
        let length = length.or(range.map(|range| range.length));
        let limit = self.rules.largest_blob;
        let room = limit - received;
        if length.is_some_and(|length| length > room) {
            return (unchanged, Err(RegistryError::BlobTooLarge { limit }));
        }
        if range.is_some_and(|range| range.first != received) {
            return (unchanged, Err(RegistryError::ChunkOutOfOrder { received }));
        }
        let (kept, end) = pieces.outcome(length, room);
        let data = [unchanged, kept].concat();
        let received = data.len() as u64;
        let answer = end
            .map(|()| received)
            .map_err(|error| RegistryError::body(error, limit));
        (data, answer)
    }

    /// What finishing an upload of `data` with a chunk comes to: its data then,
    /// or the content that it has become.
    pub(super) fn finish(
        &self,
        data: &[u8],
        chunk: &SaidChunk,
        digest: &Digest,
    ) -> Result<Bytes, (Vec<u8>, RegistryError)> {
        let (appended, answer) = self.append(data, chunk);
        if let Err(error) = answer {
            return Err((appended, error));
        }
        let actual = Digest::of(digest.algorithm(), &appended);
        if actual == *digest {
            return Ok(appended.into());
        }
        let error = RegistryError::DigestMismatch {
            expected: *digest,
            actual,
        };
        Err((data.to_vec(), error))
    }

    /// Why a manifest is refused for what it is.
    pub(super) fn fault_of(&self, manifest: &Manifest) -> Option<RegistryError> {
        let limit = self.rules.largest_manifest;
        match manifest.fault {
            _ if manifest.bytes.len() as u64 > limit => {
                Some(RegistryError::ManifestTooLarge { limit })
            }
            Fault::Ambiguous => Some(RegistryError::ManifestInvalid(ManifestError::Ambiguous)),
            Fault::None | Fault::TooLarge => None,
        }
    }

    /// Why a manifest is refused for what it refers to.
    pub(super) fn missing_of(
        &self,
        name: &RepositoryName,
        manifest: &Manifest,
    ) -> Option<RegistryError> {
        let repository = self.repository(name);
        let allowed = self.rules.allow_missing;
        let is_missing = |(role, digest): &&(Role, Digest)| match role {
            Role::Child => {
                allowed == AllowMissing::None && !repository.manifests.contains_key(digest)
            }
            Role::NondistributableBlob => false,
            Role::Blob => {
                let present = repository.claims.contains(digest) && self.is_whole(digest);
                allowed != AllowMissing::All && !present
            }
        };
        let missing: Vec<Digest> = manifest
            .references
            .iter()
            .filter(is_missing)
            .map(|(_, digest)| *digest)
            .collect();
        (!missing.is_empty()).then_some(RegistryError::ManifestBlobUnknown(missing))
    }

    pub(super) fn put_manifest(
        &mut self,
        name: &RepositoryName,
        digest: Digest,
        manifest: &Manifest,
        tags: &[Tag],
    ) {
        self.store(digest, manifest.bytes.clone());
        let repository = self.repository_mut(name);
        repository.manifests.insert(digest, manifest.clone());
        repository.unlisted.remove(&digest);
        repository
            .tags
            .extend(tags.iter().map(|tag| (tag.clone(), digest)));
    }

    /// Deletes a manifest; `false` if there is none.
    pub(super) fn delete_manifest(&mut self, name: &RepositoryName, digest: &Digest) -> bool {
        let repository = self.repository_mut(name);
        repository.may_be_listed = false;
        repository.tags.retain(|_, tagged| tagged != digest);
        repository.unlisted.remove(digest);
        repository.manifests.remove(digest).is_some()
    }
}
