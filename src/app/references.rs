//! What a pushed manifest refers to: looked for before it exists, and confirmed
//! once it does.
//!
//! Before, so that a manifest whose content is missing is refused without a
//! trace. Afterwards, because a collector may have looked for references just
//! before this one was there: [`crate::app::collect`] has the argument.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::error::RegistryError;
use super::registry::{AllowMissing, Registry};
use crate::domain::digest::Digest;
use crate::domain::manifest::{ManifestReference, Role};
use crate::domain::name::RepositoryName;
use crate::domain::push::PushedManifest;
use crate::domain::record::{Revision, decode, encode};
use crate::domain::record_key::RecordKey;
use crate::ports::record_store::{Expected, RecordWrite, WriteOutcome};
use crate::ports::{StoreError, StoreErrorKind};

/// How many references are looked up at a time.
const LOOKUPS: usize = 16;

/// How often a revision is written anew when others write it, too.
const ATTEMPTS: usize = 16;

/// Something that a manifest refers to and that was there when it was looked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum PresentReference {
    /// A blob of so many bytes that the repository may serve.
    Blob(Digest, u64),
    /// A manifest of the repository.
    Child(Digest),
}

impl Registry {
    /// Checks that everything a manifest refers to is in the repository, as far
    /// as the rules demand, and renews the leases of its blobs. Returns what is
    /// there.
    pub(super) async fn check_references(
        &self,
        repository: &RepositoryName,
        references: &[ManifestReference],
    ) -> Result<Vec<PresentReference>, RegistryError> {
        let lookups = references.iter().copied().map(|reference| async move {
            let present = self.look_for(repository, reference).await?;
            Ok::<_, RegistryError>((reference, present))
        });
        let found: Vec<(ManifestReference, Option<PresentReference>)> = stream::iter(lookups)
            .buffered(LOOKUPS)
            .try_collect()
            .await?;
        let allowed = self.rules.allow_missing;
        let missing = found
            .iter()
            .filter(|(reference, present)| present.is_none() && is_required(*reference, allowed));
        let missing: Vec<Digest> = missing.map(|(reference, _)| reference.digest).collect();
        match missing.is_empty() {
            true => Ok(found
                .into_iter()
                .filter_map(|(_, present)| present)
                .collect()),
            false => Err(RegistryError::ManifestBlobUnknown(missing)),
        }
    }

    async fn look_for(
        &self,
        repository: &RepositoryName,
        reference: ManifestReference,
    ) -> Result<Option<PresentReference>, RegistryError> {
        let ManifestReference { role, digest } = reference;
        match role {
            Role::Blob | Role::NondistributableBlob => self.look_for_blob(repository, digest).await,
            Role::Child => {
                let key = RecordKey::Revision(repository.clone(), digest);
                if self.records.get(&key).await?.is_some() {
                    return Ok(Some(PresentReference::Child(digest)));
                }
                match self.rules.allow_missing {
                    // A blob of the same bytes is no manifest.
                    AllowMissing::None => Ok(None),
                    // Some lists of blobs are indexes, such as BuildKit's caches.
                    AllowMissing::Children | AllowMissing::All => {
                        self.look_for_blob(repository, digest).await
                    }
                }
            }
        }
    }

    async fn look_for_blob(
        &self,
        repository: &RepositoryName,
        digest: Digest,
    ) -> Result<Option<PresentReference>, RegistryError> {
        let Some(claim) = self.claim(repository, &digest).await? else {
            return Ok(None);
        };
        let Some(stat) = self.stat_whole(&digest, claim.size).await? else {
            return Ok(None);
        };
        let is_stored = self.renew_lease(&digest, stat.leased).await?;
        Ok(is_stored.then_some(PresentReference::Blob(digest, claim.size)))
    }

    /// Confirms, once a manifest exists, that what was there is there still, and
    /// that nobody who looked for references before will remove it.
    ///
    /// # Errors
    /// [`RegistryError::ManifestBlobUnknown`] if something has been collected
    /// or deleted meanwhile.
    pub(super) async fn confirm_references(
        &self,
        pushed: &PushedManifest<'_>,
        content: &Bytes,
        present: &[PresentReference],
    ) -> Result<(), RegistryError> {
        let repository = pushed.repository;
        let blobs = present.iter().filter_map(|reference| match reference {
            PresentReference::Blob(digest, _) => Some(*digest),
            PresentReference::Child(_) => None,
        });
        let blobs: Vec<Digest> = blobs.chain([pushed.digest]).collect();
        let mut missing = self.blobs.touch_all(&blobs).await?;
        if missing.contains(&pushed.digest) {
            self.blobs.put(&pushed.digest, content.clone()).await?;
            // Its name is durable only with what is written after it.
            let [_, revision] = pushed.writes()?;
            self.records
                .write(&[RecordWrite {
                    key: revision.key,
                    value: revision.value,
                    expected: Expected::Any,
                }])
                .await?;
            missing.retain(|digest| *digest != pushed.digest);
        }
        let confirmations = present.iter().copied().map(|reference| async move {
            match reference {
                PresentReference::Blob(digest, size) => {
                    self.write_claim(repository, &digest, size).await?;
                    Ok(None)
                }
                PresentReference::Child(digest) => {
                    let stands = self.pardon_revision(repository, &digest).await?;
                    Ok::<_, RegistryError>((!stands).then_some(digest))
                }
            }
        });
        let gone: Vec<Option<Digest>> = stream::iter(confirmations)
            .buffered(LOOKUPS)
            .try_collect()
            .await?;
        missing.extend(gone.into_iter().flatten());
        if let Some(subject) = &pushed.manifest.subject {
            // It need not exist, but if it does it is needed now.
            self.pardon_revision(repository, subject).await?;
        }
        match missing.is_empty() {
            true => Ok(()),
            false => Err(RegistryError::ManifestBlobUnknown(missing)),
        }
    }

    /// Takes the mark from a revision that is condemned; `false` if there is no
    /// such revision.
    pub(super) async fn pardon_revision(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, RegistryError> {
        let key = RecordKey::Revision(repository.clone(), *digest);
        for _ in 0..ATTEMPTS {
            let Some(stored) = self.records.get(&key).await? else {
                return Ok(false);
            };
            let mut revision: Revision = decode(&stored.value)
                .map_err(|error| RegistryError::damaged_record(&key, error))?;
            if revision.condemned.take().is_none() {
                return Ok(true);
            }
            let write = RecordWrite {
                key: key.clone(),
                value: encode(&revision)?,
                expected: Expected::Matches(stored.version),
            };
            if self.records.write(&[write]).await? == WriteOutcome::Written {
                return Ok(true);
            }
        }
        let context = format_args!("manifest {digest}").to_string();
        Err(StoreError::new(
            StoreErrorKind::Temporary,
            "outlast the collectors of",
            context,
        )
        .into())
    }
}

/// Whether a manifest is refused if a reference of it is not there.
fn is_required(reference: ManifestReference, allowed: AllowMissing) -> bool {
    match reference.role {
        Role::Blob => allowed != AllowMissing::All,
        Role::NondistributableBlob => false,
        Role::Child => allowed == AllowMissing::None,
    }
}
